import pandas as pd
import pytest

from coopetition_interp.analysis.divot import Divot
from coopetition_interp.figures.toy_models import (
    CURVE_COLOURS,
    DIVOT_COLOUR,
    coopetition_figure,
    phase_change_figure,
    progress_measures_figure,
)
from coopetition_interp.toy_models import CoopetitionModel, gradient_descent

MODEL = CoopetitionModel(dims={"a": 3, "b": 3, "c": 3, "d": 6})


def table(seeds):
    return gradient_descent(MODEL.dims, MODEL.loss, seeds, 20, learning_rate=0.1).table(
        MODEL.curves(), every=5
    )


def test_every_seed_has_a_panel_with_its_three_curves():
    curves = table([4, 2, 7])
    figure = coopetition_figure(curves, panel_titles={2: "the second"}, columns=2)
    assert len(figure.data) == 9
    assert [note.text for note in figure.layout.annotations] == ["seed 4", "the second", "seed 7"]
    for place, seed in enumerate((4, 2, 7)):
        panel = [trace for trace in figure.data if trace.xaxis == f"x{place + 1 if place else ''}"]
        assert [trace.name for trace in panel] == list(CURVE_COLOURS)
        for trace in panel:
            drawn = curves[(curves["seed"] == seed) & (curves["quantity"] == trace.name)]
            assert list(trace.y) == list(drawn["value"])
            assert list(trace.x) == list(drawn["step"])
            assert trace.line.color == CURVE_COLOURS[trace.name]
            assert trace.showlegend == (place == 0)


def test_the_divot_is_drawn_over_mechanism_2():
    curves = table([4])
    divot = Divot(0.1, 5.0, 10.0, end=15.0, loss_before=1.0, loss_at_peak=2.0, least_depth=0.0)
    marked = coopetition_figure(curves, divot=divot).data[-1]
    second = curves[(curves["quantity"] == "mechanism 2") & curves["step"].between(5, 15)]
    assert marked.line.color == DIVOT_COLOUR
    assert list(marked.y) == list(second["value"])
    assert len(marked.y) == 3


def test_a_curve_per_clamp_and_a_panel_per_measure():
    rows = pd.DataFrame(
        {
            "step": [0, 1] * 3,
            "clamped": ["nothing"] * 2 + ["b and c"] * 2 + ["nothing"] * 2,
            "quantity": ["loss"] * 4 + ["cosine"] * 2,
            "value": [1.0, 0.9, 1.0, 0.2, 0.1, 0.3],
        }
    )
    plain = phase_change_figure(rows[rows["quantity"] == "loss"])
    assert [(trace.name, list(trace.y)) for trace in plain.data] == [
        ("nothing clamped", [1.0, 0.9]),
        ("b and c clamped", [1.0, 0.2]),
    ]
    panels = progress_measures_figure(rows)
    assert [note.text for note in panels.layout.annotations] == ["loss", "cosine"]
    assert [trace.xaxis for trace in panels.data] == ["x", "x", "x2"]
    assert [trace.showlegend for trace in panels.data] == [True, True, False]


def test_tables_that_lack_a_column_are_refused():
    incomplete = pd.DataFrame({"step": [1], "value": [2.0]})
    for draw in (phase_change_figure, progress_measures_figure, coopetition_figure):
        with pytest.raises(ValueError, match="the table lacks column"):
            draw(incomplete)
    other = table([1]).assign(quantity="something else")
    with pytest.raises(ValueError, match="none of the quantities"):
        coopetition_figure(other)
