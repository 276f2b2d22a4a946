import numpy as np
import pytest
from unchecked import without_shape_checks

from coopetition_interp.toy_models import (
    PHASE_CHANGE_DIMS,
    PHASE_CHANGE_LOSS,
    Err,
    Size,
    first_step_where,
    loss_with_final,
    loss_with_targets,
    plateau_end,
    simulate_phase_change,
    squared_cosine,
)

from . import materialised

SEEDS = list(range(12))


@pytest.fixture(scope="module")
def runs():
    with without_shape_checks():
        return {
            clamped: simulate_phase_change(SEEDS, clamped, 3000)
            for clamped in ((), ("c",), ("b", "c"))
        }


def test_every_clamp_shortens_the_plateau_of_every_seed(runs):
    ends = [plateau_end(run, PHASE_CHANGE_LOSS) for run in runs.values()]
    assert np.isfinite(ends).all()
    assert (ends[0] > 1.5 * ends[1]).all()
    assert (ends[1] > 1.5 * ends[2]).all()


def test_unclamped_loss_rests_on_the_saddles_height_and_then_falls(runs):
    run = runs[()]
    loss, height = run.value(PHASE_CHANGE_LOSS), run.saddle_value(PHASE_CHANGE_LOSS)
    end = plateau_end(run, PHASE_CHANGE_LOSS)
    for column in range(len(SEEDS)):
        # Half way through the plateau the loss is within a tenth of the saddle's.
        assert loss[int(end[column] / 2), column] == pytest.approx(height[column], rel=0.1)
        assert loss[-1, column] < 0.01 * height[column]


def test_with_b_and_c_clamped_the_error_shrinks_by_a_constant_factor_per_step(runs):
    run = runs[("b", "c")]
    loss = run.value(PHASE_CHANGE_LOSS)
    targets = run.products.target_squared_norms
    # a - a* is multiplied by 1 - |b*|^2 |c*|^2 / 8000 each step; the loss by its square.
    factor = (1 - targets[:, 1] * targets[:, 2] / 8000) ** 2
    steps = np.arange(40)[:, None]
    np.testing.assert_allclose(loss[:40], loss[0] * factor**steps, rtol=1e-6, atol=1e-12)


def test_plateau_end_is_the_first_step_below_and_nan_without_one(runs):
    run = runs[()]
    loss, height = run.value(PHASE_CHANGE_LOSS), run.saddle_value(PHASE_CHANGE_LOSS)
    end = plateau_end(run, PHASE_CHANGE_LOSS, fraction=0.3)
    for column in range(len(SEEDS)):
        assert loss[int(end[column]), column] < 0.3 * height[column]
        assert (loss[: int(end[column]), column] >= 0.3 * height[column]).all()
    short = simulate_phase_change(SEEDS, steps=5)
    assert np.isnan(plateau_end(short, PHASE_CHANGE_LOSS)).all()
    with pytest.raises(ValueError, match="no plateau"):
        plateau_end(short, Size("a", "b"))
    np.testing.assert_array_equal(
        first_step_where(np.array([[False, False], [False, True], [False, True]])), [np.nan, 1]
    )


class TestProgressMeasures:
    def test_loss_with_targets_is_the_materialised_loss_at_the_better_signs(self, runs):
        run = runs[()]
        measured = loss_with_targets(run, PHASE_CHANGE_LOSS, ["b", "c"])[-1]
        for row in range(len(SEEDS)):
            current, targets = materialised.of_seed(run.vectors, row)
            candidates = [
                materialised.err(
                    {"a": current["a"], "b": sign * targets["b"], "c": targets["c"]},
                    targets,
                    "a",
                    "b",
                    "c",
                ).item()
                for sign in (1, -1)
            ]
            assert measured[row] == pytest.approx(min(candidates), rel=1e-9, abs=1e-12)

    def test_perfecting_every_vector_leaves_no_loss_and_no_vector_changes_nothing(self, runs):
        run = runs[()]
        everything = loss_with_targets(run, PHASE_CHANGE_LOSS, list(PHASE_CHANGE_DIMS))
        np.testing.assert_allclose(everything, 0, atol=1e-12)
        np.testing.assert_allclose(
            loss_with_targets(run, PHASE_CHANGE_LOSS, []), run.value(PHASE_CHANGE_LOSS), rtol=1e-12
        )

    def test_loss_with_final_ends_at_the_training_loss(self, runs):
        run = runs[()]
        before = run.products.overlaps.copy()
        final = loss_with_final(run, PHASE_CHANGE_LOSS, ["b", "c"])
        np.testing.assert_allclose(final[-1], run.value(PHASE_CHANGE_LOSS)[-1], atol=1e-12)
        np.testing.assert_array_equal(run.products.overlaps, before)
        assert (final[0] > 10 * final[-1]).all()

    def test_squared_cosine_is_that_of_the_vectors_and_reaches_one(self, runs):
        run = runs[()]
        measured = squared_cosine(run, "a")
        for row in range(len(SEEDS)):
            current, targets = materialised.of_seed(run.vectors, row)
            cosine = current["a"] @ targets["a"] / current["a"].norm() / targets["a"].norm()
            assert measured[-1, row] == pytest.approx(cosine.item() ** 2)
        assert (measured[-1] > 0.99).all()
        assert (measured[0] < 0.5).all()

    def test_a_measure_is_late_where_the_clamp_is_early(self, runs):
        # Thesis, Section 4.4.3: the measure of a follows the phase change of the whole.
        plain, clamped = runs[()], runs[("b", "c")]
        measured = first_step_where(squared_cosine(plain, "a") > 0.5)
        assert (measured > 2 * plateau_end(clamped, PHASE_CHANGE_LOSS)).all()
        # In a seed or two a aligns with its target long before it grows.
        assert np.median(measured / plateau_end(plain, PHASE_CHANGE_LOSS)) > 0.8

    def test_unknown_vectors_are_refused(self, runs):
        for measure in (loss_with_targets, loss_with_final):
            with pytest.raises(ValueError, match="no vector named 'd'"):
                measure(runs[()], Err("a"), ["d"])
        with pytest.raises(ValueError, match="no vector named 'd'"):
            squared_cosine(runs[()], "d")
