import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition_interp.analysis.phase_change import loss_shape
from coopetition_interp.analysis.toy_phase_change import (
    LOSS_WITH_FINAL,
    LOSS_WITH_TARGETS,
    SQUARED_COSINE,
    clamped_loss_shapes,
    progress_measure_shapes,
    progress_measures,
    rate_ratio,
    shapes,
)
from coopetition_interp.toy_models import (
    PHASE_CHANGE_DIMS,
    PHASE_CHANGE_LOSS,
    draw_vectors,
    simulate_phase_change,
)

SEEDS = [1, 2, 3]


@given(rate=st.floats(0.01, 1.0), height=st.floats(0.1, 100))
def test_an_exponential_falls_at_one_rate(rate, height):
    assert rate_ratio(height * np.exp(-rate * np.arange(200.0))) == pytest.approx(1, rel=1e-6)


def test_rates_of_other_curves():
    steps = np.arange(100.0)
    two = np.exp(-0.1 * steps) + np.exp(-0.02 * steps)
    slowest = np.log(two[-2] / two[-1])
    fastest = np.log(two[0] / two[1])
    assert rate_ratio(two) == pytest.approx(slowest / fastest)
    assert rate_ratio(np.array([1.0, 0.5, 0.5, 0.2])) == 0  # stands still
    assert rate_ratio(np.array([1.0, 0.5, 0.6, 0.2])) < 0  # rises
    assert np.isnan(rate_ratio(np.array([1.0, 1.0, 1.1])))  # never falls
    # Below a millionth of the first loss, most of it is rounding: not looked at.
    assert rate_ratio(np.array([1.0, 0.1, 0.01, 1e-7, 3e-7])) == pytest.approx(1)
    with pytest.raises(ValueError, match="above 0"):
        rate_ratio(np.array([0.0, 1.0]))


def test_with_b_and_c_clamped_the_rate_is_the_closed_form():
    """Each step shrinks a's error by 1 - |b|^2 |c|^2 / 8000, so the loss by its square."""
    loss = simulate_phase_change(SEEDS, ("b", "c"), 60).value(PHASE_CHANGE_LOSS)
    targets = draw_vectors(PHASE_CHANGE_DIMS, SEEDS).targets
    _, b, c = np.sum(targets**2, axis=-1).T
    expected = (1 - b * c / 8000) ** 2
    kept = loss[1:] > 1e-6 * loss[0]
    ratios = loss[1:] / loss[:-1]
    np.testing.assert_allclose(ratios[kept], np.broadcast_to(expected, ratios.shape)[kept], 1e-6)


def test_a_row_per_clamp_and_seed():
    table = clamped_loss_shapes(SEEDS, 300)
    assert table.groupby("clamped", sort=False)["seed"].apply(list).to_dict() == {
        "nothing": SEEDS,
        "c": SEEDS,
        "b and c": SEEDS,
    }
    exponential = table[table["clamped"] == "b and c"]
    assert (exponential["kind"] == "exponential").all()
    np.testing.assert_allclose(exponential["rate_ratio"], 1, rtol=1e-4)
    assert (table.loc[table["clamped"] != "b and c", "rate_ratio"] < 0.9).all()
    alone = clamped_loss_shapes([2], 300, ["b and c"])
    together = exponential.set_index("seed").loc[2, "convexity_gap"]
    assert alone["convexity_gap"].item() == pytest.approx(together, rel=1e-6, abs=1e-9)


def test_shapes_of_the_measures():
    run = simulate_phase_change(SEEDS, steps=300)
    measures = progress_measures(run)
    table = progress_measure_shapes(SEEDS, 300).set_index(["measure", "seed"])
    assert list(table.index.get_level_values("measure").unique()) == [
        SQUARED_COSINE,
        LOSS_WITH_TARGETS,
        LOSS_WITH_FINAL,
    ]
    steps = np.arange(301)
    for name, values in measures.items():
        falling = 1 - values if name == SQUARED_COSINE else values
        for column, seed in enumerate(SEEDS):
            expected = loss_shape(steps, falling[:, column])
            row = table.loc[(name, seed)]
            assert row["kind"] == expected.kind
            assert row["convexity_gap"] == pytest.approx(expected.convexity_gap, abs=1e-9)
    assert table.loc[(SQUARED_COSINE, 2), "kind"] == "phase change"


def test_too_few_steps_for_a_shape_are_refused():
    with pytest.raises(ValueError, match="at least three points"):
        shapes(np.ones((2, 1)), [0])
