import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coopetition_interp.analysis.curves import smooth
from coopetition_interp.analysis.divot import Divot, divot_coincides_with, find_divot
from coopetition_interp.analysis.rises import Rise

X = np.linspace(0.0, 10.0, 2001)


def falling_with_bump(height=0.5, width=0.3, centre=5.0):
    return 2.0 - 0.15 * X + height * np.exp(-0.5 * ((X - centre) / width) ** 2)


def test_depth_and_places_on_an_analytic_curve():
    # loss = x^3 / 3 - 2 x^2 + 3 x, mirrored: local minimum at 1, local maximum at 3.
    x = np.linspace(-1.0, 6.0, 70_001)
    loss = -(x**3 / 3 - 2 * x**2 + 3 * x)
    divot = find_divot(x, loss, window=1)
    assert divot.start == pytest.approx(1.0, abs=2e-4)
    assert divot.peak == pytest.approx(3.0, abs=2e-4)
    # -(1/3 - 2 + 3) = -4/3 and -(9 - 18 + 9) = 0; it is back at -4/3 at x = 4.
    assert divot.depth == pytest.approx(4 / 3, abs=1e-6)
    assert divot.end == pytest.approx(4.0, abs=2e-4)


def test_the_running_median_keeps_a_clean_divot():
    clean = find_divot(X, falling_with_bump(), window=1)
    smoothed = find_divot(X, falling_with_bump())
    assert smoothed.depth == pytest.approx(clean.depth, rel=0.05)
    assert smoothed.peak == pytest.approx(clean.peak, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_a_divot_is_found_under_noise_and_outliers(seed):
    generator = np.random.default_rng(seed)
    clean = find_divot(X, falling_with_bump(), window=1)
    noisy = falling_with_bump() + 0.05 * generator.standard_normal(len(X))
    noisy[generator.integers(0, len(X), 20)] += 3.0
    divot = find_divot(X, noisy)
    assert divot.depth == pytest.approx(clean.depth, rel=0.2)
    assert divot.peak == pytest.approx(clean.peak, abs=0.2)
    assert clean.start - 0.6 < divot.start < divot.peak < divot.end
    assert divot.depth > divot.least_depth > 0


def test_noise_alone_makes_no_divot():
    # Flat stretches are where noise most looks like a rise.
    curves = [np.zeros_like(X), 2.0 - 0.15 * X, np.exp(-X), np.where(X < 5, 1.0, 6.0 - X)]
    found = [
        find_divot(X[::thin], curve[::thin] + 0.05 * generator.standard_normal(len(X[::thin])))
        for curve in curves
        for thin in (1, 10, 50)
        for generator in map(np.random.default_rng, range(20))
    ]
    assert len(found) == 240
    assert sum(divot is not None for divot in found) == 0


@settings(max_examples=100)
@given(
    drops=arrays(np.float64, st.integers(3, 60), elements=st.floats(0, 1e3)),
    window=st.sampled_from([1, 3, 5, 9]),
)
def test_a_monotone_curve_has_none_and_stays_monotone_when_smoothed(drops, window):
    loss = -np.cumsum(drops)
    assert (np.diff(smooth(loss, window, ends="cut")) <= 0).all()
    x = np.arange(len(loss), dtype=float)
    assert find_divot(x, loss, window=window) is None
    assert find_divot(x, -loss, window=window) is None


def test_a_rise_that_is_never_undone_is_no_divot():
    assert find_divot(X, np.abs(X - 3.0)) is None
    # Nor is transience of the other mechanism: down, then up for good.
    assert find_divot(X, np.where(X < 3, 1.0, np.minimum(1.0, 0.2 * (X - 3)))) is None


def test_the_deepest_of_several_is_reported():
    loss = falling_with_bump(0.3, centre=2.0) + falling_with_bump(0.6, centre=7.0)
    divot = find_divot(X, loss, window=1)
    assert divot.peak == pytest.approx(7.0, abs=0.1)


def test_units_of_x_and_loss_only_rescale_the_answer():
    divot = find_divot(X, falling_with_bump())
    other = find_divot(1000 * X + 7, 4 * falling_with_bump() + 1)
    assert other.depth == pytest.approx(4 * divot.depth)
    for place in ("start", "peak", "end"):
        assert getattr(other, place) == pytest.approx(1000 * getattr(divot, place) + 7)


def test_thresholds_hide_shallow_divots():
    depth = find_divot(X, falling_with_bump()).depth
    assert find_divot(X, falling_with_bump(), min_depth=1.01 * depth) is None
    assert find_divot(X, falling_with_bump(), min_depth=0.99 * depth) is not None
    height = np.ptp(smooth(falling_with_bump(), 41, ends="cut"))
    assert find_divot(X, falling_with_bump(), min_relative_depth=1.01 * depth / height) is None


def test_bad_curves_are_refused():
    with pytest.raises(ValueError, match="same length, at least 3"):
        find_divot(X, X[:-1])
    with pytest.raises(ValueError, match="at least 3"):
        find_divot(X[:2], X[:2])
    with pytest.raises(ValueError, match="must be finite"):
        find_divot(X, np.where(X > 5, np.nan, X))
    with pytest.raises(ValueError, match="x must increase"):
        find_divot(X[::-1], X)
    with pytest.raises(ValueError, match="odd and positive, got 4"):
        find_divot(X, X, window=4)


@pytest.mark.parametrize(
    ("rise", "expected"),
    [((0, 4), False), ((0, 5), True), ((5.5, 5.6), True), ((6, 9), True), ((6.1, 9), False)],
)
def test_coincidence_is_overlap_of_the_climb_with_the_rise(rise, expected):
    divot = Divot(1.0, 5.0, 6.0, end=8.0, least_depth=0.0)
    start, end = map(float, rise)
    assert divot_coincides_with(divot, Rise(start, (start + end) / 2, end, 1.0)) is expected
