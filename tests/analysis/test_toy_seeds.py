import numpy as np
import pytest

from coopetition_interp.analysis.toy_seeds import lengths_of_d, run_toy_seeds
from coopetition_interp.toy_models import CoopetitionModel, simulate_coopetition

MODEL = CoopetitionModel()


def test_length_of_d_is_that_of_the_vectors():
    steps = 40
    run = simulate_coopetition(MODEL, [3, 7], steps)
    table = lengths_of_d(run, np.array([np.nan, 25.0]))
    vectors, targets = run.vectors.unpadded()["d"]
    np.testing.assert_allclose(
        table["d_length_last"], np.linalg.norm(vectors, axis=1) / np.linalg.norm(targets, axis=1)
    )
    shorter = simulate_coopetition(MODEL, [3, 7], 25)
    at_end = table["d_length_at_plateau_end"]
    assert np.isnan(at_end[0])
    assert at_end[1] == pytest.approx(
        lengths_of_d(shorter, np.full(2, np.nan))["d_length_last"][1], rel=1e-12
    )


def test_curves_of_the_first_seeds_and_a_row_for_each():
    runs = run_toy_seeds(MODEL, [5, 2, 9], steps=20, every=10, drawn=2)
    assert list(runs.curves["seed"].unique()) == [5, 2]
    assert list(runs.curves["step"].unique()) == [0, 10, 20]
    assert list(runs.per_seed()["seed"]) == [5, 2, 9]
    assert {"outcome", "divot", "coincides", "d_length_last"} <= set(runs.per_seed())
    assert "3 seed(s), at most 20" in runs.told()
    everything = run_toy_seeds(MODEL, [5, 2, 9], steps=20, every=10)
    assert list(everything.curves["seed"].unique()) == [5, 2, 9]


def test_points_need_a_distance():
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        run_toy_seeds(MODEL, [5], steps=20, every=0)
