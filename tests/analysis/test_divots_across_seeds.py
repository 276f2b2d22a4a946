import math

import pytest

from coopetition_interp.analysis.divot import Divot
from coopetition_interp.analysis.divots_across_seeds import coincidence_across_seeds, divot_table
from coopetition_interp.analysis.rises import Rise


def divot(start, peak):
    return Divot(0.1, start, peak, peak + 1, 0.01)


def rise(start, end):
    return Rise(float(start), (start + end) / 2, float(end), 0.9)


def table():
    return divot_table(
        {
            1: divot(10.0, 12.0),
            2: divot(30.0, 33.0),
            3: divot(50.0, 51.0),
            4: None,
            5: divot(3.0, 4.0),
        },
        {1: rise(9.0, 11.0), 2: rise(31.0, 35.0), 3: rise(60.0, 70.0), 4: rise(1, 2), 5: None},
    )


def test_the_table_has_a_row_per_seed_and_leaves_out_what_is_missing():
    found = table().set_index("seed")
    assert list(found["found"]) == [True, True, True, False, True]
    assert found["coincides"].isna().tolist() == [False, False, False, True, True]
    assert found["coincides"].dropna().tolist() == [True, True, False]
    assert found.loc[1, "lag"] == 2.0
    assert math.isnan(found.loc[4, "depth"])
    assert math.isnan(found.loc[5, "rise_middle"])


def test_the_summary_is_of_seeds_with_both():
    found = coincidence_across_seeds(table())
    # None of the six crossed pairs overlap.
    assert found.with_other_seeds == 0.0
    assert found.median_lag == 0.0


def test_pairs_of_different_seeds_are_counted_in_both_directions():
    found = coincidence_across_seeds(
        divot_table({1: divot(10.0, 12.0), 2: divot(11.0, 13.0)}, {1: rise(9, 20), 2: rise(1, 2)})
    )
    # Seed 2's divot falls in seed 1's rise, but not seed 1's in seed 2's.
    assert found.with_other_seeds == 0.5


def test_no_seed_with_both_gives_no_share():
    found = coincidence_across_seeds(divot_table({1: None, 2: None}, {1: rise(1, 2), 2: None}))
    assert math.isnan(found.with_other_seeds)
    assert math.isnan(found.median_lag)


def test_different_seeds_are_refused():
    with pytest.raises(ValueError, match=r"divots of seeds \[1\], but rises of seeds \[2\]"):
        divot_table({1: None}, {2: None})
