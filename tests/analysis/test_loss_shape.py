import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unchecked import without_shape_checks

from coopetition_interp.analysis.phase_change import loss_shape
from coopetition_interp.toy_models import (
    PHASE_CHANGE_CLAMPS,
    PHASE_CHANGE_LOSS,
    simulate_phase_change,
)

X = np.linspace(0.0, 60.0, 1201)


def logistic(plateau):
    """A fall whose plateau, until a tenth is fallen, is so many times its 10-90 % duration."""
    middle = plateau * 2 * np.log(9) + np.log(9)
    return 1 / (1 + np.exp(X - middle)), middle


@given(
    rates=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=4),
    floor=st.floats(0.0, 5.0),
    height=st.floats(0.1, 10.0),
)
@settings(max_examples=50)
def test_sums_of_exponentials_have_no_gap(rates, floor, height):
    shape = loss_shape(X, floor + height * sum(np.exp(-rate * X) for rate in rates))
    assert shape.kind == "exponential"
    assert shape.convexity_gap < 1e-9
    assert np.isnan(shape.duration)


def test_a_margin_that_grows_linearly_has_no_gap_and_quadratically_little():
    assert loss_shape(X, np.log1p(np.exp(-X / 5))).convexity_gap < 1e-9
    assert loss_shape(X, np.log1p(np.exp(-((X / 10) ** 2)))).convexity_gap == pytest.approx(
        0.123, abs=0.002
    )


@pytest.mark.parametrize(
    ("plateau", "gap"), [(0.25, 0.153), (0.5, 0.229), (1.0, 0.353), (2.0, 0.506)]
)
def test_a_logistic_fall_has_the_stated_gap_and_marks(plateau, gap):
    curve, middle = logistic(plateau)
    shape = loss_shape(X, curve)
    assert shape.kind == "phase change"
    assert shape.convexity_gap == pytest.approx(gap, abs=0.002)
    if plateau >= 1:
        assert shape.fall_start == pytest.approx(middle - np.log(9), abs=0.15)
        assert shape.fall_middle == pytest.approx(middle, abs=0.1)
        assert shape.fall_end == pytest.approx(middle + np.log(9), abs=0.15)
        assert shape.duration == pytest.approx(2 * np.log(9), abs=0.2)
        assert shape.plateau_end < middle


def test_no_plateau_no_phase_change():
    curve, _ = logistic(0.0)
    assert loss_shape(X, curve).kind == "exponential"


@given(scale=st.floats(0.01, 100), floor=st.floats(-10, 10), stretch=st.floats(1, 1e6))
@settings(max_examples=25)
def test_units_and_floor_do_not_matter(scale, floor, stretch):
    curve, _ = logistic(1.0)
    plain = loss_shape(X, curve)
    other = loss_shape(3 + stretch * X, floor + scale * curve)
    assert other.convexity_gap == pytest.approx(plain.convexity_gap, rel=1e-6)
    assert other.duration == pytest.approx(stretch * plain.duration, rel=1e-6)


def test_a_longer_tail_does_not_matter():
    curve, _ = logistic(1.0)
    half = loss_shape(X[:601], curve[:601])
    assert loss_shape(X, curve).convexity_gap == pytest.approx(half.convexity_gap, abs=1e-3)


@pytest.mark.parametrize("height", [0.0, 1.0, 5.0])
def test_a_first_fall_onto_the_plateau_matters_little(height):
    curve, middle = logistic(3.0)
    shape = loss_shape(X, curve + height * np.exp(-2 * X))
    assert shape.kind == "phase change"
    assert shape.fall_middle == pytest.approx(middle, abs=0.5)
    assert shape.convexity_gap == pytest.approx(loss_shape(X, curve).convexity_gap, abs=0.1)


def test_a_later_rise_does_not_matter():
    exponential = np.exp(-0.5 * X) + 0.3 / (1 + np.exp(-(X - 40)))  # falls, then overfits
    assert loss_shape(X, exponential).kind == "exponential"
    curve, middle = logistic(1.0)
    shape = loss_shape(X, curve + 0.3 / (1 + np.exp(-(X - 40))))
    assert shape.kind == "phase change"
    assert shape.fall_middle == pytest.approx(middle, abs=0.1)


def test_noise_that_is_averaged_out_makes_no_phase_change():
    rng = np.random.default_rng(0)
    curve, middle = logistic(1.0)
    for rate in (0.05, 0.2, 1.0):
        noisy = np.exp(-rate * X) + 0.01 * rng.standard_normal(len(X))
        assert loss_shape(X, noisy, window=21).convexity_gap < 0.1  # 0.22 % of the fall is left
        assert loss_shape(X, noisy).convexity_gap > loss_shape(X, noisy, window=21).convexity_gap
    shape = loss_shape(X, curve + 0.01 * rng.standard_normal(len(X)), window=21)
    assert shape.kind == "phase change"
    assert shape.fall_middle == pytest.approx(middle, abs=0.3)


def test_uneven_spacing_makes_no_difference():
    curve, _ = logistic(1.0)
    even = loss_shape(X, curve)
    uneven = np.unique(np.concatenate([np.arange(0, 200), np.arange(200, 1201, 5)]))
    assert loss_shape(X[uneven], curve[uneven]).convexity_gap == pytest.approx(
        even.convexity_gap, abs=0.005
    )


def test_toy_model_of_a_phase_change():
    """With b and c clamped the loss is an exponential by construction; unclamped it has a saddle.

    With c clamped the start is nearer the saddle for some draws than for others.
    """
    gaps = {}
    with without_shape_checks():
        for name, clamped in PHASE_CHANGE_CLAMPS.items():
            losses = simulate_phase_change(range(1, 9), clamped, 3000).value(PHASE_CHANGE_LOSS)
            shapes = [loss_shape(np.arange(len(loss)), loss) for loss in losses.T]
            gaps[name] = [shape.convexity_gap for shape in shapes]
            if name != "c":
                kind = {"nothing": "phase change", "b and c": "exponential"}[name]
                assert {shape.kind for shape in shapes} == {kind}
    assert max(gaps["b and c"]) < 1e-6
    assert max(gaps["b and c"]) < np.median(gaps["c"]) < np.median(gaps["nothing"])


def test_a_loss_that_does_not_fall():
    assert loss_shape(X, 1 + 0.01 * X).kind == "no fall"
    assert loss_shape(X, np.full_like(X, 0.7)).kind == "no fall"
    assert loss_shape(X, 0.7 - 0.001 * X, least_fall=0.1).kind == "no fall"
    assert loss_shape(X, 0.7 - 0.01 * X, least_fall=0.1).kind == "exponential"


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least three"):
        loss_shape(X[:2], X[:2])
    with pytest.raises(ValueError, match="increase"):
        loss_shape(X[::-1], X)
    with pytest.raises(ValueError, match="finite"):
        loss_shape(X, np.where(X > 3, np.nan, 1.0))
    with pytest.raises(ValueError, match="window"):
        loss_shape(X, X, window=2)
