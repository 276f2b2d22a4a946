import numpy as np
import pandas as pd
import pytest

from coopetition_interp.analysis.landmarks import Landmarks, Peak
from coopetition_interp.reporting.evaluators import evaluator_curves, evaluator_grid
from coopetition_interp.reporting.style import (
    EVALUATOR_STYLES,
    PALETTE,
    evaluator_styles,
    sequence_count,
    sequences_seen_axis,
)

SEEN = [0, 1_000_000, 2_000_000]
ACCURACY = {
    "icl": [0.5, 0.9, 0.8],
    "ciwl": [0.5, 0.6, 0.9],
    "flip": [0.5, 0.7, 0.1],
    "train": [0.5, 0.95, 1.0],
    "iwl": [np.nan] * 3,
}
FOUND = Landmarks(
    plateau_end=250_000.0,
    flip_peak=Peak(1e6, 0.7, at_end=False),
    crossing=1.5e6,
    icl_peak=Peak(1e6, 0.9, at_end=False),
    final={"icl": 0.8, "ciwl": 0.9, "flip": 0.1},
    sequences_seen=2_000_000,
)


def metrics():
    return pd.concat(
        pd.DataFrame(
            {
                "sequences_seen": SEEN,
                "evaluator": name,
                "in_context_accuracy": values,
                "accuracy": 0.25,
                "loss": [1.6, 0.7, 0.3],
            }
        )
        for name, values in ACCURACY.items()
    )


def test_a_curve_per_evaluator_in_its_colour_over_millions():
    figure = evaluator_curves(metrics(), title="a run")
    assert [trace.name for trace in figure.data] == ["ICL", "CIWL", "Flip", "Train"]
    for trace in figure.data:
        assert list(trace.x) == [0.0, 1.0, 2.0]
        assert list(trace.y) == ACCURACY[trace.legendgroup]
        assert trace.line.color == EVALUATOR_STYLES[trace.legendgroup].colour
    assert figure.layout.title.text == "a run"
    assert figure.layout.xaxis.ticksuffix == "M"
    assert figure.layout.yaxis.title.text == "in-context accuracy"
    assert [line.y0 for line in figure.layout.shapes] == [0.5]  # chance


def test_other_evaluators_and_metrics():
    figure = evaluator_curves(metrics(), ["iwl", "train"], metric="accuracy")
    assert [(trace.name, list(trace.y)) for trace in figure.data] == [
        ("IWL", [0.25] * 3),
        ("Train", [0.25] * 3),
    ]
    assert figure.layout.yaxis.title.text == "accuracy (all labels)"
    assert not figure.layout.shapes
    loss = evaluator_curves(metrics(), ["train"], metric="loss")
    assert list(loss.data[0].y) == [1.6, 0.7, 0.3]
    assert loss.layout.yaxis.range is None


def test_landmarks_sit_on_their_curves_and_are_numbered_in_order():
    figure = evaluator_curves(metrics(), landmarks=FOUND)
    marks = [trace for trace in figure.data if "markers" in trace.mode]
    assert [(trace.name, trace.x[0], round(trace.y[0], 6)) for trace in marks] == [
        ("1: plateau ends, 250k", 0.25, 0.6125),
        ("2: Flip peaks (0.70), 1M", 1.0, 0.7),
        ("3: ICL peaks (0.90), 1M", 1.0, 0.9),
        ("4: Flip falls through 0.5, 1.5M", 1.5, 0.4),
    ]


def test_landmarks_that_did_not_happen_or_whose_curve_is_not_drawn_are_left_out():
    nothing = Landmarks(None, None, None, None, {}, 2_000_000)
    assert len(evaluator_curves(metrics(), landmarks=nothing).data) == 4
    only_icl = evaluator_curves(metrics(), ["icl"], landmarks=FOUND)
    assert [trace.name for trace in only_icl.data] == ["ICL", "1: ICL peaks (0.90), 1M"]


def test_a_panel_per_run_and_one_legend():
    runs = {f"seed {seed}": metrics() for seed in range(4)}
    figure = evaluator_grid(runs, ["icl", "flip"], columns=3)
    assert len(figure.data) == 8
    assert [note.text for note in figure.layout.annotations] == list(runs)
    assert [trace.showlegend for trace in figure.data] == [True] * 2 + [False] * 6
    assert len({trace.xaxis for trace in figure.data}) == 4
    assert len(figure.layout.shapes) == 4  # chance, in every panel
    assert len(evaluator_grid({"alone": metrics()}).data) == 4


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="no evaluator 'held_out_icl'"):
        evaluator_curves(metrics(), ["held_out_icl"])
    with pytest.raises(ValueError, match="NaN throughout: take 'accuracy'"):
        evaluator_curves(metrics(), ["iwl"])
    with pytest.raises(ValueError, match="panel 'second': the table of metrics is empty"):
        evaluator_grid({"first": metrics(), "second": pd.DataFrame()})
    with pytest.raises(ValueError, match="no runs to draw"):
        evaluator_grid({})


def test_evaluators_without_a_colour_of_their_own_take_different_ones():
    styles = evaluator_styles(["mine", "icl", "yours"])
    assert styles["icl"] == EVALUATOR_STYLES["icl"]
    assert (styles["mine"].name, styles["mine"].colour) == ("mine", PALETTE[0])
    assert styles["yours"].colour == PALETTE[1]


@pytest.mark.parametrize(
    ("sequences", "words"),
    [
        (0, "0"),
        (640, "640"),
        (999.9, "1k"),
        (16_320, "16.3k"),
        (999_600, "1M"),
        (2_451_000, "2.45M"),
        (400e6, "400M"),
    ],
)
def test_a_number_of_sequences_has_three_digits_and_a_unit(sequences, words):
    assert sequence_count(sequences) == words
    assert sequences_seen_axis(type="log")["type"] == "log"
