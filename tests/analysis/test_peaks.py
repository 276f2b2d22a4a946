"""Heights, onsets, falls and slopes of curves whose shape is known."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition_interp.analysis.peaks import curve_shape, shape_of, window_mean

SEEN = np.linspace(0, 2e6, 201)


def tent(height, peak, end):
    """Chance until half the peak's time, up to the peak, and down to the end."""
    corners = [0, 0.5 * peak, peak, 2e6]
    return np.interp(SEEN, corners, [0.5, 0.5, height, end])


@given(st.floats(0.56, 1), st.floats(0.2e6, 1.5e6), st.floats(0, 1))
def test_a_tent_has_the_shape_it_was_made_with(height, peak, kept):
    end = 0.5 + kept * (height - 0.5)
    shape = curve_shape(SEEN, tent(height, peak, end))
    step = SEEN[1]
    tolerance = 2 * step * (height - 0.5) / (0.5 * peak) + 1e-9  # its tip is cut by a step's rise
    assert height - tolerance <= shape.height <= height
    assert abs(shape.peak - peak) <= 2 * step
    assert abs(shape.onset - 0.95 * peak) <= 2 * step + 1e-3 * peak
    per_million = (end - height) / (2 - peak / 1e6)
    assert shape.slope == pytest.approx(per_million, abs=0.1)
    last_tenth = np.mean(tent(height, peak, end)[SEEN >= 1.8e6])
    assert shape.fall == pytest.approx(shape.height - last_tenth, abs=1e-9)
    assert shape.emerged == (shape.height >= 0.55)
    assert shape.transient == (shape.emerged and shape.fall >= 0.05)


def test_one_outlier_is_no_peak_and_chance_does_not_emerge():
    values = np.full(201, 0.5)
    values[100] = 0.9
    shape = curve_shape(SEEN, values)
    assert (shape.height, shape.emerged, shape.transient) == (0.5, False, False)
    assert math.isnan(shape.onset)


def test_a_curve_that_rises_to_its_end_has_no_slope_after_it():
    shape = curve_shape(SEEN, np.linspace(0.5, 0.9, 201))
    assert shape.peak == 2e6
    assert math.isnan(shape.slope)
    assert shape.emerged
    assert shape.rising
    assert shape.transient is None


def test_a_steep_rise_at_the_end_is_no_fall():
    shape = curve_shape(SEEN, np.interp(SEEN, [0, 1.8e6, 2e6], [0.5, 0.5, 0.9]))
    assert shape.fall > 0.05  # from the height to the mean of the last tenth
    assert shape.transient is None


def test_noise_about_a_level_and_a_late_fall_do_not_rise():
    level = np.full(201, 0.9)
    level[195:199] = 0.905
    assert curve_shape(SEEN, level).transient is False
    late = np.interp(SEEN, [0, 0.5e6, 1.85e6, 1.9e6, 2e6], [0.5, 0.89, 0.9, 0.6, 0.6])
    assert curve_shape(SEEN, late).transient is True


def test_shapes_and_means_are_read_off_metrics():
    metrics = pd.DataFrame(
        {
            "sequences_seen": np.tile(SEEN, 2),
            "evaluator": np.repeat(["icl", "iwl"], 201),
            "in_context_accuracy": np.concatenate([tent(0.9, 1e6, 0.6), np.full(201, np.nan)]),
            "accuracy": np.concatenate([np.zeros(201), SEEN / 2e6]),
        }
    )
    assert shape_of(metrics).height == pytest.approx(0.9, abs=0.01)
    assert window_mean(metrics, "iwl") == pytest.approx(0.9)
    assert window_mean(metrics, "iwl", start=0.0, stop=0.2) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="finite"):
        curve_shape(SEEN, np.full(201, np.nan))
