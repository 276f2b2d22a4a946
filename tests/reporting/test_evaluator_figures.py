import numpy as np
import pandas as pd
import pytest
from unchecked import without_shape_checks

from coopetition_interp.reporting.evaluators import evaluator_curves
from coopetition_interp.reporting.style import (
    EVALUATOR_STYLES,
    PALETTE,
    evaluator_styles,
    sequence_count,
)

SEEN = [0, 1_000_000, 2_000_000]
ACCURACY = {
    "icl": [0.5, 0.9, 0.8],
    "ciwl": [0.5, 0.6, 0.9],
    "flip": [0.5, 0.7, 0.1],
    "train": [0.5, 0.95, 1.0],
    "iwl": [np.nan] * 3,
}


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


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="no evaluator 'held_out_icl'"):
        evaluator_curves(metrics(), ["held_out_icl"])
    with pytest.raises(ValueError, match="NaN throughout: take 'accuracy'"):
        evaluator_curves(metrics(), ["iwl"])


def test_a_run_and_a_single_name_are_told_what_is_asked_for():
    with without_shape_checks():
        with pytest.raises(TypeError, match=r"metrics is a table, .*; got a dict"):
            evaluator_curves({}, ["icl"])
        with pytest.raises(TypeError, match=r"are several names, such as \('icl',\)"):
            evaluator_curves(metrics(), "icl")


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
