"""An interval over seeds is Student's, and covers what it says it covers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from coopetition_interp.analysis.seed_intervals import seed_interval

numbers = st.floats(-100, 100)
seeds = st.lists(numbers, min_size=2, max_size=8)


def test_three_seeds_by_hand():
    # Mean 2, standard deviation 1; 97.5 % of Student's distribution of 2 degrees of freedom lie
    # under 4.30265.
    found = seed_interval([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert (found.mean, found.n_seeds, found.confidence) == (2.0, 3, 0.95)
    assert found.low == pytest.approx(2 - half, abs=1e-6)
    assert found.high == pytest.approx(2 + half, abs=1e-6)
    assert str(found) == "2 (95% interval -0.484 to 4.48, 3 seeds)"


def test_two_seeds_by_hand():
    # With one degree of freedom Student's distribution is Cauchy's: at 50 % its quantile is 1.
    found = seed_interval([0.0, 2.0], confidence=0.5)
    assert (found.low, found.high) == pytest.approx((0.0, 2.0), abs=1e-9)


def test_one_seed_has_a_mean_and_no_interval():
    found = seed_interval([0.71])
    assert (found.mean, found.n_seeds) == (0.71, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert str(found) == "0.71 (one seed)"


@given(seeds, st.floats(0.05, 0.99))
def test_it_is_scipys_interval(values, confidence):
    found = seed_interval(values, confidence)
    error = stats.sem(values)
    if error > 1e-9:
        expected = stats.t.interval(confidence, len(values) - 1, np.mean(values), error)
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert found.low <= found.mean <= found.high


@given(seeds, numbers, st.floats(0.1, 10))
def test_it_moves_and_stretches_with_the_numbers(values, shift, factor):
    found = seed_interval(values)
    other = seed_interval(factor * value + shift for value in values)
    for name in ("mean", "low", "high"):
        expected = factor * getattr(found, name) + shift
        assert getattr(other, name) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(seeds, st.floats(0.05, 0.9))
def test_more_confidence_is_a_wider_interval(values, confidence):
    narrow, wide = seed_interval(values, confidence), seed_interval(values, confidence + 0.05)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_it_covers_the_true_mean_as_often_as_it_says(confidence):
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(2_000, 3))
    intervals = [seed_interval(values, confidence) for values in draws]
    covered = np.mean([found.low <= 3.0 <= found.high for found in intervals])
    # Four standard errors of a share of 2000 draws.
    assert covered == pytest.approx(
        confidence, abs=4 * math.sqrt(confidence * (1 - confidence) / 2000)
    )


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf, 0.0, 1.0]])
def test_numbers_must_be_finite_and_there(values):
    with pytest.raises(ValueError, match="needs finite numbers; got"):
        seed_interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_probability(confidence):
    with pytest.raises(ValueError, match="between 0 and 1; got"):
        seed_interval([1.0, 2.0], confidence)
