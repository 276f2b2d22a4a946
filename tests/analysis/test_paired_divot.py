"""A rise is found where it was put, in the standard errors of a paired t statistic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from coopetition_interp.analysis.paired_divot import (
    PARTS,
    largest_rise,
    losses_over_checkpoints,
    paired_curve,
)

MOMENTS = list(range(0, 1000, 50))


def losses_with(mean, n=400, spread=2.0, noise=0.05, seed=0):
    """Sequences far apart, each of which follows the mean closely."""
    random = np.random.default_rng(seed)
    levels = random.normal(0, spread, n)
    return mean[:, None] + levels + random.normal(0, noise, (len(mean), n))


def test_a_rise_is_found_that_unpaired_losses_would_hide():
    mean = np.interp(MOMENTS, [0, 400, 500, 950], [5.0, 4.0, 4.02, 2.0])
    losses = losses_with(mean)
    found = largest_rise(MOMENTS, losses)
    assert (found.low, found.high) == (400, 500)
    low, high = (MOMENTS.index(place) for place in (400, 500))
    assert found.standard_errors == pytest.approx(
        stats.ttest_rel(losses[high], losses[low]).statistic
    )
    assert found.standard_errors > 3
    assert stats.ttest_ind(losses[high], losses[low]).statistic < 1


def test_a_falling_curve_has_no_rise():
    losses = losses_with(np.linspace(5, 1, len(MOMENTS)), noise=0.0)
    found = largest_rise(MOMENTS, losses)
    assert found.rise == 0.0
    assert found.standard_errors == 0.0


@given(st.integers(0, 2**31), st.floats(-5, 5))
def test_no_pair_of_moments_rises_by_more_and_a_shift_changes_nothing(seed, shift):
    losses = np.random.default_rng(seed).normal(size=(8, 5)).cumsum(axis=0)
    moments = list(range(8))
    found = largest_rise(moments, losses)
    mean = losses.mean(axis=1)
    rises = [mean[j] - mean[i] for i in range(8) for j in range(i, 8)]
    assert found.rise == pytest.approx(max(rises), abs=1e-12)
    shifted = largest_rise(moments, losses + shift)
    assert (shifted.low, shifted.high) == (found.low, found.high)


def test_the_parts_add_up_to_the_losses_of_the_run(short_run):
    sequences = short_run.evaluation_sequences["ciwl"][:100]
    chosen = short_run.checkpoints[:3]
    moments, parts = losses_over_checkpoints(short_run, sequences, chosen)
    assert moments == chosen
    assert set(parts) == set(PARTS)
    whole = parts["context_loss"] + parts["loss_in_context"]
    np.testing.assert_allclose(whole, parts["loss"], atol=1e-5)  # float32 probabilities
    curve = paired_curve(moments, parts["loss"])
    assert curve["standard_error"].min() == 0.0  # the lowest's difference from itself


def test_one_moment_is_refused():
    with pytest.raises(ValueError, match="2 moments"):
        largest_rise([0], np.zeros((1, 5)))
