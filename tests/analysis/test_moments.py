"""Moments of curves whose algebra is known, and of random ones."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition_interp.analysis.moments import Moments, moments_of, value_at

X = np.arange(0, 3_000_001, 50_000)


def metrics_of(**curves):
    return pd.concat(
        pd.DataFrame({"sequences_seen": X, "evaluator": name, "in_context_accuracy": values})
        for name, values in curves.items()
    )


def straight(*corners):
    """Straight lines through (millions of sequences seen, value)."""
    places, values = zip(*corners, strict=True)
    return np.interp(X / 1e6, places, values)


ICL = straight((0.2, 0.5), (0.7, 1.0))
FLIP = straight((0.2, 0.5), (0.5, 0.8), (1.0, 0.4), (3.0, 0.0))


def test_moments_of_straight_lines_are_where_algebra_says():
    found = moments_of(metrics_of(icl=ICL, flip=FLIP))
    assert found.rise == 350_000  # 0.5 + (x - 0.2) reaches 0.65 there
    assert found.peak == 500_000
    assert found.crossing == pytest.approx(875_000)  # 0.8 - 0.8 (x - 0.5) is 0.5
    assert found.end == pytest.approx(3 * 875_000)


def test_a_blip_is_no_rise_and_no_crossing():
    blip = ICL.copy()
    blip[1:3] = 0.9  # two evaluations, not three
    assert moments_of(metrics_of(icl=blip, flip=FLIP)).rise == 350_000
    dip = FLIP.copy()
    dip[12:14] = 0.3
    assert moments_of(metrics_of(icl=ICL, flip=dip)).crossing == pytest.approx(875_000)


def test_what_did_not_happen_is_none():
    never = np.full(len(X), 0.6)
    assert moments_of(metrics_of(icl=never, flip=FLIP)) == Moments()
    stays = straight((0.2, 0.5), (0.5, 0.8))
    found = moments_of(metrics_of(icl=ICL, flip=stays))
    assert found.peak is not None
    assert found.crossing is None
    assert found.end is None
    under = np.full(len(X), 0.3)  # Flip was never above chance, so it falls through nothing
    assert moments_of(metrics_of(icl=ICL, flip=under)).crossing is None


@given(st.lists(st.floats(0, 1), min_size=len(X), max_size=len(X)), st.integers(0, 2**31))
def test_moments_come_in_order_and_do_not_hang_on_the_order_of_rows(values, seed):
    metrics = metrics_of(icl=np.sqrt(values), flip=values)
    found = moments_of(metrics)
    shuffled = metrics.sample(frac=1, random_state=seed)
    assert moments_of(shuffled) == found
    there = [m for m in (found.rise, found.peak, found.crossing) if m is not None]
    assert there == sorted(there)


def test_a_value_beyond_the_run_or_at_no_moment_is_none():
    metrics = metrics_of(icl=ICL, flip=FLIP)
    assert value_at(metrics, "flip", 2_990_000.0) == FLIP[-1]
    assert value_at(metrics, "flip", 4e6) is None
    assert value_at(metrics, "flip", None) is None
