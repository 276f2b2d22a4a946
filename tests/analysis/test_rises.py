import numpy as np
import pytest

from coopetition_interp.analysis.rises import find_rise

X = np.linspace(0.0, 10.0, 10_001)


def test_marks_of_a_logistic_rise():
    accuracy = 0.5 + 0.4 / (1 + np.exp(-4 * (X - 5)))
    rise = find_rise(X, accuracy, baseline=0.5)
    # A logistic is at 10 % and 90 % at ln(9) / rate to either side of its middle.
    assert rise.start == pytest.approx(5 - np.log(9) / 4, abs=0.01)
    assert rise.middle == pytest.approx(5, abs=0.01)
    assert rise.end == pytest.approx(5 + np.log(9) / 4, abs=0.01)
    assert rise.top == pytest.approx(0.9)


def test_what_follows_the_top_does_not_matter():
    accuracy = 0.5 + 0.4 * np.exp(-((X - 4) ** 2))
    fading = find_rise(X, accuracy, baseline=0.5)
    kept = find_rise(X, np.where(X > 4, 0.9, accuracy), baseline=0.5)
    assert fading == kept


def test_a_fall_is_the_rise_of_the_mirrored_curve():
    rising = 0.5 + 0.4 / (1 + np.exp(-4 * (X - 5)))
    up = find_rise(X, rising, baseline=0.5)
    down = find_rise(X, 1 - rising, baseline=0.5, falling=True)
    assert (down.start, down.middle, down.end) == (up.start, up.middle, up.end)
    assert down.top == pytest.approx(1 - up.top)


def test_an_early_blip_is_not_the_start():
    curve = np.where(X < 1, 0.6, 0.5) + 0.4 * (X > 5)
    assert find_rise(X, curve, baseline=0.5).start == pytest.approx(5.0, abs=0.01)


def test_no_climb_is_no_rise():
    assert find_rise(X, np.full_like(X, 0.5), baseline=0.5) is None
    assert find_rise(X, 0.5 - 0.01 * X, baseline=0.5) is None
    assert find_rise(X, 0.5 + 0.01 * X, baseline=0.5, least_climb=0.2) is None


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="as long"):
        find_rise(X, X[1:], baseline=0.0)
    with pytest.raises(ValueError, match="finite"):
        find_rise(X, np.full_like(X, np.inf), baseline=0.0)
    with pytest.raises(ValueError, match=r"low=0\.9, high=0\.1"):
        find_rise(X, X, baseline=0.0, low=0.9, high=0.1)
