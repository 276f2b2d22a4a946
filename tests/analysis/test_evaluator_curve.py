import numpy as np
import pandas as pd
import pytest

from coopetition_interp.analysis.evaluator_curve import evaluator_curve, score_of

METRICS = pd.DataFrame(
    {
        "sequences_seen": [64, 0, 32, 0],
        "evaluator": ["icl", "icl", "icl", "iwl"],
        "in_context_accuracy": [0.7, 0.5, np.nan, np.nan],
        "accuracy": [0.3, 0.1, 0.2, 0.0],
    }
)


def test_the_curve_is_in_order_and_without_nan():
    curve = evaluator_curve(METRICS, "icl")
    assert curve.to_dict("list") == {"sequences_seen": [0, 64], "value": [0.5, 0.7]}
    assert list(evaluator_curve(METRICS, "icl", "accuracy")["value"]) == [0.1, 0.2, 0.3]


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="empty: the run has not been evaluated"):
        evaluator_curve(pd.DataFrame(), "icl")
    with pytest.raises(ValueError, match="no evaluator 'flip'; they have icl, iwl"):
        evaluator_curve(METRICS, "flip")
    with pytest.raises(ValueError, match="no column 'loss'"):
        evaluator_curve(METRICS, "icl", "loss")
    with pytest.raises(ValueError, match="no column 'evaluator'"):
        evaluator_curve(METRICS.drop(columns="evaluator"), "icl")
    with pytest.raises(ValueError, match="several rows at 0 sequences seen"):
        evaluator_curve(pd.concat([METRICS, METRICS]), "icl")
    with pytest.raises(ValueError, match="'iwl' is NaN throughout: take 'accuracy'"):
        evaluator_curve(METRICS, "iwl")


def test_iwl_is_scored_over_all_labels():
    assert score_of("iwl") == "accuracy"
    assert score_of("icl") == "in_context_accuracy"
    assert score_of("flip", "p_right_in_context") == "p_right_in_context"
