"""Scoring finished models on fixed sequences."""

from coopetition_interp.evaluation.evaluate import evaluate, evaluate_with, score_model
from coopetition_interp.evaluation.scorer import Scorer

__all__ = ["Scorer", "evaluate", "evaluate_with", "score_model"]
