"""Scoring finished models on fixed sequences."""

from coopetition_interp.evaluation.evaluate import evaluate, score_model

__all__ = ["evaluate", "score_model"]
