import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coopetition_interp.analysis.curves import first_crossing, first_to_stay, smooth

CURVES = arrays(np.float64, st.integers(1, 30), elements=st.floats(-5, 5))


@given(
    place=st.floats(0.5, 9.5),
    slope=st.floats(0.1, 5),
    level=st.floats(-2, 2),
    falling=st.booleans(),
)
def test_a_straight_line_is_crossed_where_algebra_says(place, slope, level, falling):
    x = np.array([0.0, 0.2, 3.0, 4.0, 10.0])
    line = level + (-slope if falling else slope) * (x - place)
    assert first_crossing(x, line, level, falling=falling) == pytest.approx(place, abs=1e-9)
    assert first_crossing(x, line, level, falling=not falling) is None


def test_the_first_of_several_crossings_counts():
    x = np.arange(5.0)
    assert first_crossing(x, np.array([0.0, 2.0, 0.0, 2.0, 0.0]), 1.0) == 0.5
    assert first_crossing(x, np.array([0.0, 2.0, 0.0, 2.0, 0.0]), 1.0, falling=True) == 1.5
    assert first_crossing(x[:1], np.array([0.0]), 1.0) is None


def test_a_crossing_that_does_not_stay_does_not_count():
    x = np.arange(8.0)
    blip = np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -3.0, -1.0])
    assert first_crossing(x, blip, 0.0, falling=True) == 0.5
    assert first_crossing(x, blip, 0.0, falling=True, stays=2) == 3.5
    assert first_crossing(x, blip, 0.0, falling=True, stays=5) is None
    # One that begins below has to rise first.
    assert first_crossing(x[4:], blip[4:], 0.0, falling=True) is None
    assert first_crossing(x, -blip, 0.0, stays=2) == 3.5


@given(CURVES, st.floats(-5, 5), st.integers(1, 4))
def test_after_a_crossing_the_curve_stays_beyond(curve, level, stays):
    x = np.arange(len(curve), dtype=np.float64)
    place = first_crossing(x, curve, level, stays=stays)
    beyond = curve > level
    starts = [
        start
        for start in range(1, len(curve) - stays + 1)
        if not beyond[:start].all()
        and beyond[start : start + stays].all()
        and not beyond[start - 1]
    ]
    assert (place is None) == (not starts)
    if place is not None:
        assert starts[0] - 1 <= place <= starts[0]


def test_first_to_stay():
    assert first_to_stay(np.array([True, False, True, True, True]), 3) == 2
    assert first_to_stay(np.array([True, True]), 3) is None


@given(CURVES, st.sampled_from([1, 3, 5, 9]))
def test_smoothing_keeps_both_ends_and_a_median_every_monotone_curve(curve, window):
    for by in ("median", "mean"):
        smoothed = smooth(curve, window, by)
        assert smoothed[[0, -1]].tolist() == curve[[0, -1]].tolist()
        assert smoothed.min() >= curve.min() - 1e-12
        assert smoothed.max() <= curve.max() + 1e-12
    rising = np.sort(curve)
    assert smooth(rising, window).tolist() == rising.tolist()


def test_smoothing_in_numbers():
    spike = np.array([0.0, 0.0, 3.0, 0.0, 0.0])
    assert smooth(spike, 3).tolist() == [0] * 5
    assert smooth(spike, 3, by="mean").tolist() == [0, 1, 1, 1, 0]
    for window in (0, 2):
        with pytest.raises(ValueError, match="odd and positive"):
            smooth(spike, window)
