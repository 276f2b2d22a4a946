import numpy as np
import pytest
from unchecked import without_shape_checks

from analyses.toy_models.coopetition_seeds import divots_and_rises
from coopetition_interp.analysis.divots_across_seeds import coincidence_across_seeds, divot_table
from coopetition_interp.toy_models import CoopetitionModel, outcomes, simulate_coopetition

SEEDS = list(range(12))
WITH_FLOOR, WITHOUT_FLOOR = CoopetitionModel(mu1=0.1), CoopetitionModel(mu1=0.0)


@pytest.fixture(scope="module")
def with_floor():
    with without_shape_checks():
        return simulate_coopetition(WITH_FLOOR, SEEDS)


@pytest.fixture(scope="module")
def without_floor():
    with without_shape_checks():
        return simulate_coopetition(WITHOUT_FLOOR, SEEDS)


def test_a_floor_under_mechanism_1_makes_it_transient(with_floor):
    # Coopetition paper, Figure 16. Seeds that never leave the plateau are counted, not an error.
    found = outcomes(WITH_FLOOR, with_floor)
    counts = found["outcome"].value_counts().to_dict()
    assert set(counts) <= {"transient", "plateau"}
    assert counts["transient"] >= 9
    gone = found[found["outcome"] == "transient"]
    assert (gone["mechanism_1_lowest"] < 0.2 * gone["mechanism_1_plateau"]).all()
    # a has gone back to zero, where mechanism 1's error is that of the plateau.
    np.testing.assert_allclose(gone["mechanism_1_last"], gone["mechanism_1_plateau"], rtol=0.05)
    assert (gone["mechanism_2_last"] < 1e-4).all()
    assert (gone["mechanism_1_lowest_step"] < gone["last_step"]).all()


def test_without_the_floor_mechanism_1_stays(without_floor):
    # Figure 17.
    found = outcomes(WITHOUT_FLOOR, without_floor)
    counts = found["outcome"].value_counts().to_dict()
    assert set(counts) <= {"persistent", "plateau"}
    assert counts["persistent"] >= 9
    stayed = found[found["outcome"] == "persistent"]
    assert (stayed["mechanism_1_last"] < 0.1 * stayed["mechanism_1_plateau"]).all()
    assert (stayed["mechanism_2_last"] > stayed["mechanism_2_plateau"]).all()


def test_seeds_that_stay_on_the_plateau_have_no_end_of_it_and_run_all_steps(with_floor):
    found = outcomes(WITH_FLOOR, with_floor)
    stuck = found["outcome"] == "plateau"
    assert stuck.any()
    np.testing.assert_array_equal(found["plateau_end"].isna(), stuck)
    assert (found.loc[stuck, "last_step"] == 16_000).all()
    assert (found.loc[~stuck, "last_step"] < 16_000).all()


def test_the_plateau_ends_when_the_first_mechanism_is_under_half_its_height(with_floor):
    found = outcomes(WITH_FLOOR, with_floor).set_index("seed")
    for column, seed in enumerate(SEEDS):
        end = found.loc[seed, "plateau_end"]
        if np.isnan(end):
            continue
        halves = [
            with_floor.value(error)[:, column] / with_floor.saddle_value(error)[column]
            for error in (WITH_FLOOR.mechanism_1, WITH_FLOOR.mechanism_2)
        ]
        lower = np.minimum(*halves)
        assert lower[int(end)] < 0.5
        assert (lower[: int(end)] >= 0.5).all()


def test_the_divot_of_mechanism_2_comes_while_mechanism_1_forms(with_floor):
    divots, rises = divots_and_rises(WITH_FLOOR, with_floor)
    table = divot_table(divots, rises)
    coincides = table["coincides"].dropna()
    assert len(coincides) >= 6
    assert coincides.all()
    # The plateaus end thousands of steps apart, so this is no accident.
    assert coincidence_across_seeds(table).with_other_seeds < 0.2
    second = with_floor.value(WITH_FLOOR.mechanism_2)
    for column, seed in enumerate(SEEDS):
        if (divot := divots[seed]) is None:
            continue
        at = second[:, column]
        assert divot.depth == at[int(divot.peak)] - at[int(divot.start)] > 0
        assert at[int(divot.end)] < at[int(divot.start)]


def test_mechanism_2_has_no_divot_where_it_is_never_learned(without_floor):
    divots, rises = divots_and_rises(WITHOUT_FLOOR, without_floor)
    formed = [seed for seed in SEEDS if rises[seed] is not None]
    assert len(formed) >= 9
    assert all(divots[seed] is None for seed in formed)


def test_the_two_settings_share_their_draws_and_clamps_hold(with_floor, without_floor):
    np.testing.assert_array_equal(with_floor.vectors.targets, without_floor.vectors.targets)
    np.testing.assert_array_equal(
        with_floor.products.overlaps[0], without_floor.products.overlaps[0]
    )
    clamped = simulate_coopetition(WITH_FLOOR, [0], steps=20, clamped=("d",))
    vectors, targets = clamped.vectors.unpadded()["d"]
    np.testing.assert_array_equal(vectors, targets)


def test_curves_add_the_floor_or_the_given_offset(with_floor):
    bare = with_floor.value(WITH_FLOOR.mechanism_1)
    np.testing.assert_allclose(with_floor.value(WITH_FLOOR.curves()["mechanism 1"]), bare + 0.1)
    np.testing.assert_allclose(
        with_floor.value(WITHOUT_FLOOR.curves(offset=0.2)["mechanism 1"]), bare + 0.2
    )
