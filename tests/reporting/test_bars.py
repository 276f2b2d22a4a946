"""Tests of bars with a point for each seed."""

import math

import pandas as pd

from coopetition_interp.reporting.bars import seed_bars


def drawn():
    table = pd.DataFrame(
        {
            "init_seed": [5, 6, 5, 6],
            "heads": ["one", "one", "all", "all"],
            "accuracy": [0.2, 0.6, math.nan, math.nan],
        }
    )
    return seed_bars(table, "heads", {"accuracy": "right"}, "Heads", "accuracy")


def test_a_mean_stands_in_figures_above_its_points():
    (figures,) = drawn().select_traces({"mode": "text"})
    assert list(figures.text) == ["40.0%", ""]
    assert figures.y[0] > 0.6


def test_where_no_seed_has_a_value_there_is_no_bar_and_no_figure():
    (bars,) = drawn().select_traces({"type": "bar"})
    assert list(bars.y) == [0.4, 0.0]
    assert bars.text is None


def test_each_seed_is_a_point():
    (points,) = drawn().select_traces({"mode": "markers"})
    assert list(points.y[:2]) == [0.2, 0.6]
    assert list(points.text) == ["seed 5", "seed 6", "seed 5", "seed 6"]
