"""Verdicts follow the interval; the interval is the textbook's."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition_interp.reporting.verdicts import NumberRule, YesNoRule, verdict_of

numbers = st.lists(st.floats(-10, 10), min_size=3, max_size=8)


def by_seed(values):
    return dict(enumerate(values, start=5))


@given(numbers, st.floats(-10, 10), st.floats(0.01, 5))
def test_moving_the_threshold_away_never_undoes_a_verdict(values, threshold, step):
    def verdict(at):
        return NumberRule("x", by_seed(values), "over", at).verdict()

    order = ["contradicted", "undecided", "reproduced"]
    assert order.index(verdict(threshold - step)) >= order.index(verdict(threshold))


@given(numbers, st.floats(-10, 10))
def test_the_two_sides_are_each_others_opposite(values, threshold):
    over = NumberRule("x", by_seed(values), "over", threshold).verdict()
    under = NumberRule("x", by_seed(values), "under", threshold).verdict()
    opposite = {"reproduced": "contradicted", "contradicted": "reproduced"}
    assert under == opposite.get(over, "undecided")


def test_two_seeds_decide_nothing_and_one_run_is_never_called_reproduced():
    assert NumberRule("x", by_seed([1.0, 1.0]), "over", 0.0).verdict() == "undecided"
    one = NumberRule("x", by_seed([1.0]), "over", 0.0)
    assert one.verdict() == "undecided"
    assert one.verdict(single_run=True) == "agrees (one run)"
    wrong = NumberRule("x", by_seed([1.0]), "under", 0.0)
    assert wrong.verdict(single_run=True) == "disagrees (one run)"


def test_a_seed_without_the_number_leaves_the_claim_undecided_and_is_named():
    rule = NumberRule("x", {5: 1.0, 6: 1.0, 7: 1.0, 8: math.nan}, "over", 0.0)
    assert rule.verdict() == "undecided"
    assert "; no value for seed 8" in rule.found
    nowhere = NumberRule("x", {5: math.nan}, "over", 0.0)
    assert nowhere.verdict(single_run=True) == "undecided"
    assert nowhere.found == "no value for seed 5"
    assert NumberRule("x", {}, "over", 0.0).found == "no seeds yet"


def test_a_yes_no_rule_goes_by_every_seed():
    assert YesNoRule("x", by_seed([True] * 3)).verdict() == "reproduced"
    assert YesNoRule("x", by_seed([False] * 3)).verdict() == "contradicted"
    assert YesNoRule("x", by_seed([True, False, True])).verdict() == "undecided"
    assert YesNoRule("x", by_seed([True])).verdict(single_run=True) == "agrees (one run)"


def most(number, total):
    return YesNoRule("x", by_seed([True] * number + [False] * (total - number)), of="most seeds")


def test_most_seeds_are_those_whose_interval_lies_above_one_half():
    assert most(4, 4).verdict() == "reproduced"
    assert most(3, 3).verdict() == "undecided"
    assert most(29, 33).verdict() == "reproduced"
    assert most(7, 12).verdict() == "undecided"
    assert most(0, 4).verdict() == "contradicted"
    assert most(0, 0).verdict() == "undecided"
    assert most(4, 4).rule == "x, in most seeds"
    assert most(4, 4).found == "in 4 of 4 seeds (95% interval of the share 0.51 to 1.00)"


@given(st.integers(1, 50), st.integers(0, 50))
def test_the_interval_of_a_share_is_wilsons(total, number):
    number = min(number, total)
    for end in most(number, total).share:
        away = (number / total - end) ** 2
        assert away == pytest.approx(1.96**2 * end * (1 - end) / total, rel=1e-3, abs=1e-12)


def test_no_seed_decides_nothing():
    assert YesNoRule("x", {}).verdict() == "undecided"
    assert YesNoRule("x", {}).verdict(single_run=True) == "undecided"


def test_a_claim_is_as_strong_as_its_weakest_part():
    good = NumberRule("x", by_seed([1.0, 1.1, 0.9]), "over", 0.0)
    bad = NumberRule("x", by_seed([1.0, 1.1, 0.9]), "under", 0.0)
    unsure = NumberRule("x", by_seed([1.0, -1.1, 0.9]), "over", 0.0)
    assert verdict_of([good, good]) == "reproduced"
    assert verdict_of([good, unsure]) == "undecided"
    assert verdict_of([unsure, bad]) == "contradicted"
    with pytest.raises(ValueError, match="at least one"):
        verdict_of([])


def test_a_seed_that_cannot_tell_leaves_a_rule_undecided():
    rule = YesNoRule("x", {5: True, 6: True, 7: True, 8: None})
    assert rule.verdict() == "undecided"
    assert rule.found == "in 3 of 4 seeds; cannot be told for seed 8"
    untold = YesNoRule("x", {5: None, 6: None}, counted="runs")
    assert untold.found == "cannot be told for runs 5, 6"
    assert YesNoRule("x", {}, counted="draws").found == "no draws yet"
    assert YesNoRule("x", {5: None}).verdict(single_run=True) == "undecided"
    assert YesNoRule("x", {5: None, 6: None}, of="most seeds").share == (0.0, 1.0)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (lambda: NumberRule("x", {0: 1.0}, ">", 0.0), "side is one of over, under; got '>'"),
        (lambda: NumberRule("x", pd.Series([1.0]), "over", 0.0), "mapping from seeds.*got Series"),
        (lambda: YesNoRule("x", {0: True}, "most"), "of is one of every seed, most seeds"),
        (lambda: YesNoRule("x", {0: math.nan}), r"holds\[0\] is nan: give True, False, or None"),
    ],
)
def test_what_would_turn_a_verdict_round_is_refused(rule, told):
    with pytest.raises(ValueError, match=told):
        rule()
