"""Verdicts of the toy figures follow the simulations: true where the claim is, else not."""

import inspect

import numpy as np
import pandas as pd
import pytest
from toy_models.unchecked import without_shape_checks

from coopetition_interp.analysis.divots_across_seeds import wilson_interval
from coopetition_interp.analysis.toy_phase_change import clamped_loss_shapes
from coopetition_interp.analysis.toy_seeds import run_toy_seeds
from coopetition_interp.figures.toy_coopetition_entries import (
    no_transience_entry,
    one_seed_entry,
    transience_entry,
)
from coopetition_interp.figures.toy_entries import TOY_FIGURES
from coopetition_interp.figures.toy_phase_change_entries import phase_change_entry
from coopetition_interp.reporting.seed_counts import Count, span_told, step_told
from coopetition_interp.toy_models import CoopetitionModel

QUICK_SEEDS = [8, 5, 6, 2]  # off the plateau, with a divot, and done within 8000 steps


def runs_of(steps=8000, **settings):
    with without_shape_checks():
        return run_toy_seeds(CoopetitionModel(**settings), QUICK_SEEDS, steps, every=200, drawn=3)


@pytest.fixture(scope="module")
def with_floor():
    return runs_of(mu1=0.1)


@pytest.fixture(scope="module")
def without_floor():
    return runs_of(steps=5000, mu1=0.0)


@pytest.fixture(scope="module")
def without_competition():
    return runs_of(steps=5000, mu1=0.1, alpha=0.0)


def ours(made):
    return dict(zip(made.entry.numbers["quantity"], made.entry.numbers["ours"], strict=True))


def failing(made):
    return made.entry.note.count(": NO")


def test_transience_is_claimed_with_the_floor_alone(with_floor, without_floor, without_competition):
    made = transience_entry(with_floor)
    assert made.entry.verdict == "reproduced"
    assert failing(made) == 0
    low, high = wilson_interval(4, 4)
    told = f"4 of 4 (95% interval {low:.2f} to {high:.2f})"
    assert ours(made)["mechanism 1 transient, of seeds that leave the plateau"] == told
    assert ours(made)["it coincides with mechanism 1's formation"] == told
    for other in (without_floor, without_competition):
        made = transience_entry(other)
        assert made.entry.verdict == "differs"
        assert "mechanism 1 is transient in every seed that leaves the plateau: 0 of 4" in (
            made.entry.note
        )


def test_no_transience_is_claimed_without_the_floor_alone(with_floor, without_floor):
    made = no_transience_entry(without_floor)
    assert made.entry.verdict == "reproduced"
    assert ours(made)["mechanism 1 transient, of seeds that leave the plateau"].startswith("0 of 4")
    assert no_transience_entry(with_floor).entry.verdict == "differs"


def test_one_seed(with_floor, without_floor, without_competition):
    made = one_seed_entry(with_floor)
    assert made.entry.verdict == "reproduced"
    divot = with_floor.first_divot
    assert f"peak at {divot.peak:.0f}" in ours(made)["divot of mechanism 2"]
    assert one_seed_entry(without_floor).entry.verdict == "differs"
    assert one_seed_entry(without_competition).entry.verdict == "differs"


def test_the_first_seeds_are_drawn_and_all_are_in_the_table(with_floor):
    made = transience_entry(with_floor)
    assert list(made.tables["outcomes"]["seed"]) == QUICK_SEEDS
    assert set(made.tables[""]["seed"]) == set(QUICK_SEEDS[:3])
    assert len(made.entry.figure.data) == 3 * 3
    assert "4 seed(s), at most 8000" in made.entry.run


@pytest.mark.parametrize("name", TOY_FIGURES)
def test_a_few_steps_bear_out_no_claim(name):
    draw = TOY_FIGURES[name]
    sizes = {"seeds": 2, "steps": 12, "every": 5}
    taken = inspect.signature(draw).parameters
    made = draw(**{size: value for size, value in sizes.items() if size in taken})
    assert made.entry.verdict == "differs"
    # No seed has left the plateau: "every one that did" must not hold by default.
    assert "that leaves the plateau: 0 of 0: yes" not in made.entry.note
    assert failing(made) >= 3
    assert set(made.tables) in ({"", "outcomes"}, {"", "shapes"})


def test_claims_of_the_phase_change_over_the_seeds_of_the_table():
    with without_shape_checks():
        table = clamped_loss_shapes([5, 7, 8, 9, 11], 1000)
        made = phase_change_entry(table, seed=5, steps=1000)
        # Seeds whose start is far from the saddle once c is clamped.
        other = phase_change_entry(clamped_loss_shapes([1, 2, 3, 6], 1000), seed=1, steps=1000)
    assert made.entry.verdict == "reproduced"
    assert ours(made)["nothing clamped: leave the plateau in 1000 steps"].startswith("3 of 5")
    assert ours(made)["phase changes, of those"].startswith("3 of 3")
    assert other.entry.verdict == "differs"
    assert failing(other) == 1
    assert "c clamped: still a phase change in most seeds: 0 of 4" in other.entry.note


def test_progress_measures_differ_from_the_clamp():
    with without_shape_checks():
        made = TOY_FIGURES["ih_fig4_7_toy_progress_measures"](seed=3, seeds=12, steps=1000)
    shapes = made.tables["shapes"]
    counted = ours(made)["phase change of the squared cosine of a and its target"]
    left = shapes[(shapes["measure"] == "squared cosine of a and its target")
                  & shapes["leaves_plateau_at"].notna()]  # fmt: skip
    n_changes = int((left["kind"] == "phase change").sum())
    assert n_changes > 0
    assert counted.startswith(f"{n_changes} of {len(left)} ")
    assert ours(made)["b and c clamped: exponential"].startswith("12 of 12")


class TestCount:
    def test_every_needs_a_seed_and_no_exception(self):
        assert Count(3, 3).every
        assert not Count(2, 3).every
        assert not Count(0, 0).every

    def test_most_needs_an_interval_above_one_half(self):
        assert Count(4, 4).most
        assert not Count(3, 3).most
        assert Count(29, 33).most
        assert not Count(7, 12).most
        assert not Count(0, 0).most

    def test_in_words(self):
        assert str(Count(0, 0)) == "0 of 0"
        assert str(Count(1, 1)) == "1 of 1"
        assert str(Count(4, 4)) == "4 of 4 (95% interval 0.51 to 1.00)"
        assert Count.where(pd.Series([True, False, True])) == Count(2, 3)


def test_steps_and_spans_in_words():
    assert step_told(np.nan) == "not reached"
    assert step_told(61.0) == "61"
    assert span_told(pd.Series([3.0, 1.0, 2.5]), "{:.1f}") == "1.0 to 3.0, median 2.5"
    assert span_told(pd.Series([], dtype=float), "{:.1f}") == "no seed"
