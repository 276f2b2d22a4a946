"""Claims about a number of each seed hold if its whole interval does."""

import math

import pandas as pd
import pytest

from coopetition_interp.figures.coopetition import claims


def test_a_statement_holds_if_its_whole_interval_does():
    values = {5: 1.0, 6: 2.0, 7: 3.0}  # 95% interval -0.484 to 4.48
    assert claims.over("it", values, -0.5).holds
    assert not claims.over("it", values, 0.0).holds
    assert claims.under("it", values, 4.5).holds
    assert not claims.under("it", values, 4.4).holds
    told = str(claims.over("it", values, 0.0))
    assert told == "it is over 0: it is 2 (95% interval -0.484 to 4.48, 3 seeds): NO"


def test_a_statement_about_one_seed_holds_if_its_number_does():
    assert claims.over("it", {5: 0.6}, 0.5).holds
    assert not claims.over("it", {5: 0.4}, 0.5).holds
    assert claims.under("it", {5: 0.4}, 0.5).holds
    assert not claims.under("it", {5: 0.6}, 0.5).holds
    assert str(claims.under("it", {5: 0.4}, 0.5)) == "it is under 0.5: it is 0.4 (one seed): yes"


def test_a_statement_about_no_seed_does_not_hold():
    for compare in (claims.over, claims.under):
        check = compare("it", {}, 0.0)
        assert not check.holds
        assert "no seed has it" in str(check)
    assert claims.in_seeds({}) == "no seed has it"
    with pytest.raises(ValueError, match="finite"):
        claims.over("it", {5: math.nan}, 0.0)


def test_numbers_by_seed_are_plain():
    series = pd.Series([0.5, 0.25], index=pd.Index([5, 6], name="seed"))
    assert claims.by_seed(series) == {5: 0.5, 6: 0.25}
