"""Scoring finished models on fixed sequences."""

from coopetition_interp.tasks.exemplar_label.evaluation.evaluate import (
    evaluate,
    evaluate_with,
    score_model,
)
from coopetition_interp.tasks.exemplar_label.evaluation.scorer import Scorer

__all__ = ["Scorer", "evaluate", "evaluate_with", "score_model"]
