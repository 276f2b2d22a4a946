"""The coopetition model over seeds, and that its figures' verdicts follow the simulations."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses.toy_models.coopetition_seeds import (
    COLOURS,
    DIVOT_COLOUR,
    coopetition_tables,
    draw_seeds,
    lengths_of_d,
    span_told,
)
from coopetition_interp.reporting.figure_file import FigureFile
from coopetition_interp.reporting.verdicts import verdict_of
from coopetition_interp.toy_models import CoopetitionModel, simulate_coopetition

FOLDER = Path(__file__).parents[2] / "analyses" / "toy_models"
MODEL = CoopetitionModel()
QUICK_SEEDS = [8, 5, 6, 2]  # off the plateau, with a divot, and done within 8000 steps


def figure(name):
    return FigureFile.load(FOLDER / f"{name}.py").module


def runs_of(steps=8000, seeds=QUICK_SEEDS, **settings):
    return coopetition_tables(CoopetitionModel(**settings), seeds, steps, every=200, drawn=3)


@pytest.fixture(scope="module")
def with_floor():
    return runs_of(mu1=0.1)


@pytest.fixture(scope="module")
def without_floor():
    return runs_of(steps=5000, mu1=0.0)


@pytest.fixture(scope="module")
def without_competition():
    return runs_of(steps=5000, mu1=0.1, alpha=0.0)


def one(tables):
    """The part of the first seed."""
    return {name: rows[rows["seed"] == QUICK_SEEDS[0]] for name, rows in tables.items()}


def told(rows):
    return {row.statement: row.found for row in rows}


def test_transience_is_claimed_with_the_floor_alone(with_floor, without_floor, without_competition):
    transience = figure("fig16_transience")
    rules = transience.rules(with_floor)
    assert verdict_of(rules) == "reproduced"
    assert [rule.found.partition(" (")[0] for rule in rules] == ["in 4 of 4 seeds"] * 4
    assert "0 of 4" in told(transience.beside(with_floor))["seeds that never leave the plateau"]
    for other in (without_floor, without_competition):
        first = transience.rules(other)[0]
        assert first.found == "in 0 of 4 seeds"
        assert verdict_of(transience.rules(other)) == "contradicted"


def test_no_transience_is_claimed_without_the_floor_alone(with_floor, without_floor):
    no_transience = figure("fig17_no_transience")
    assert verdict_of(no_transience.rules(without_floor)) == "reproduced"
    beside = told(no_transience.beside(without_floor))
    assert beside["seeds in which mechanism 1 is transient"] == "0 of 4"
    assert verdict_of(no_transience.rules(with_floor)) == "contradicted"


def test_one_seed_agrees_or_disagrees(with_floor, without_floor, without_competition):
    module = figure("fig5a_coopetition")
    assert verdict_of(module.rules(one(with_floor)), single_run=True) == "agrees (one run)"
    peak = with_floor["outcomes"]["peak"].iloc[0]
    assert f"peak at {peak:.0f}" in told(module.beside(one(with_floor)))["divot of mechanism 2"]
    for other in (without_floor, without_competition):
        assert verdict_of(module.rules(one(other)), single_run=True) == "disagrees (one run)"


def test_every_drawn_seed_has_a_panel_with_its_three_curves(with_floor):
    drawn = draw_seeds(with_floor, "a title", columns=2)
    assert list(with_floor["outcomes"]["seed"]) == QUICK_SEEDS
    assert len(drawn.data) == 9
    titles = [note.text for note in drawn.layout.annotations]
    assert titles == [f"seed {seed}: transient" for seed in QUICK_SEEDS[:3]]
    for place, seed in enumerate(QUICK_SEEDS[:3]):
        panel = [trace for trace in drawn.data if trace.xaxis == f"x{place + 1 if place else ''}"]
        assert [trace.name for trace in panel] == list(COLOURS)
        for trace in panel:
            rows = with_floor[""]
            rows = rows[(rows["seed"] == seed) & (rows["quantity"] == trace.name)]
            assert list(trace.y) == list(rows["value"])
            assert list(trace.x) == list(rows["step"])
            assert trace.showlegend == (place == 0)


def test_the_divot_of_a_single_seed_is_drawn_over_mechanism_2(with_floor):
    marked = draw_seeds(one(with_floor), "a title").data[-1]
    row = with_floor["outcomes"].iloc[0]
    curve = one(with_floor)[""]
    second = curve[curve["quantity"] == "mechanism 2"]
    climb = second[second["step"].between(row["start"], row["end"])]
    assert marked.line.color == DIVOT_COLOUR
    assert list(marked.y) == list(climb["value"])


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


@pytest.mark.parametrize(
    ("name", "mu1", "seeds"),
    [
        ("fig5a_coopetition", 0.1, [3]),
        ("fig16_transience", 0.1, [0, 1]),
        ("fig17_no_transience", 0.0, [0, 1]),
    ],
)
def test_tables_are_the_simulations(name, mu1, seeds):
    sizes = {"seed": seeds[0]} if name == "fig5a_coopetition" else {"seeds": seeds}
    tables = figure(name).table(steps=100, every=50, **sizes)
    assert list(tables["outcomes"]["seed"]) == seeds
    assert set(tables["outcomes"]["outcome"]) == {"plateau"}
    model = CoopetitionModel(mu1=mu1)
    run = simulate_coopetition(model, seeds, 100)
    for column, seed in enumerate(seeds):
        for quantity, expression in model.curves().items():
            rows = tables[""][(tables[""]["seed"] == seed) & (tables[""]["quantity"] == quantity)]
            assert list(rows["step"]) == [0, 50, 100]
            np.testing.assert_allclose(rows["value"], run.value(expression)[::50, column])


@pytest.mark.parametrize("name", ["fig16_transience", "fig17_no_transience"])
def test_seeds_that_stay_on_the_plateau_bear_out_no_claim(name):
    module = figure(name)
    tables = module.table(seeds=range(4), steps=12, every=5)
    # No seed has left the plateau: "every one that did" must not hold by default.
    assert verdict_of(module.rules(tables)) == "undecided"
    assert {rule.verdict() for rule in module.rules(tables)} == {"undecided"}
    assert "4 of 4" in told(module.beside(tables))["seeds that never leave the plateau"]


def test_sizes_that_make_no_simulation_are_refused():
    transience = figure("fig16_transience")
    for sizes, complaint in (
        ({"seeds": []}, "at least one"),
        ({"steps": 0}, "at least 3 points"),
        ({"every": 0}, "every must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=complaint):
            transience.table(**{"seeds": [1], "steps": 100, "every": 10, **sizes})


def test_spans_in_words():
    assert span_told(pd.Series([3.0, 1.0, 2.5]), "{:.1f}") == "1.0 to 3.0, median 2.5"
    assert span_told(pd.Series([], dtype=float), "{:.1f}") == "no seed"
