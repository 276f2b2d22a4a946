"""One evaluator's curve out of a run's table of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

CHANCE = 0.5
"""In-context accuracy of a model that uses the context labels but not the exemplars, of two."""

OWN_SCORES = {"iwl": "accuracy"}
"""Evaluators whose right label is not in context, so that in-context accuracy says nothing."""


FIRST_METRICS = ("in_context_accuracy", "accuracy", "loss")
NO_METRICS = ("sequences_seen", "n_sequences", "training_loss", "l2_penalty")
"""Columns of numbers that say nothing of an evaluator."""


def score_of(evaluator: str, metric: str = "in_context_accuracy") -> str:
    """The metric that stands for an evaluator where ``metric`` stands for the others."""
    return OWN_SCORES.get(evaluator, metric)


def evaluator_curve(
    metrics: pd.DataFrame, evaluator: str, metric: str = "in_context_accuracy"
) -> pd.DataFrame:
    """One metric of one evaluator over training.

    Args:
        metrics: A run's metrics: a row per moment and evaluator, with columns ``sequences_seen``,
            ``evaluator`` and the metrics.
        evaluator: For example "icl".
        metric: Column to take.

    Returns:
        Columns ``sequences_seen`` (increasing) and ``value``; moments where the metric is NaN are
        left out.

    Raises:
        ValueError: The table is empty, lacks a column or the evaluator, holds a moment twice, or
            the metric is NaN throughout.
    """
    rows = rows_of_evaluator(metrics, evaluator)
    if metric not in rows:
        raise ValueError(
            f"the metrics have no column {metric!r}; they have {', '.join(map(str, rows))}"
        )
    rows = rows.dropna(subset=[metric])
    if rows.empty:
        hint = f": take {OWN_SCORES[evaluator]!r}" if evaluator in OWN_SCORES else ""
        raise ValueError(f"{metric} of evaluator {evaluator!r} is NaN throughout{hint}")
    return pd.DataFrame(
        {
            "sequences_seen": rows["sequences_seen"].to_numpy(dtype=np.float64),
            "value": rows[metric].to_numpy(dtype=np.float64),
        }
    )


def metric_to_show(metrics: pd.DataFrame, evaluators: Sequence[str] | None = None) -> str:
    """The metric that says most: the first of `FIRST_METRICS`, or else of the columns, with values.

    Args:
        metrics: A run's metrics so far.
        evaluators: It has values for each of these; None if any evaluator will do.
    """
    numbers = metrics.select_dtypes("number").columns.difference(NO_METRICS, sort=False)
    for metric in dict.fromkeys([*FIRST_METRICS, *numbers]):
        if metric in metrics:
            with_values = {*metrics.dropna(subset=[metric])["evaluator"]}
            if with_values and with_values >= {*(evaluators or ())}:
                return metric
    return FIRST_METRICS[0]  # whoever draws it tells what is missing


def evaluators_with(metrics: pd.DataFrame, metric: str = "in_context_accuracy") -> list[str]:
    """The evaluators that a metric says something about: those where it is not NaN throughout.

    Raises:
        ValueError: There are none.
    """
    columns = {"evaluator", metric}
    named = metrics.dropna(subset=[metric])["evaluator"] if columns <= set(metrics) else ()
    if not len(named):
        raise ValueError(
            f"the metrics have no value of {metric!r}: wait for the run's first evaluation, or "
            f"name one of their columns ({', '.join(map(str, metrics)) or 'none yet'})"
        )
    return list(dict.fromkeys(named))


def rows_of_evaluator(metrics: pd.DataFrame, evaluator: str) -> pd.DataFrame:
    """The rows of one evaluator, by sequences seen.

    Raises:
        ValueError: As ``evaluator_curve``.
    """
    if metrics.empty:
        raise ValueError(
            "the table of metrics is empty: the run has not been evaluated yet, so wait for its "
            "first evaluation"
        )
    for column in ("sequences_seen", "evaluator"):
        if column not in metrics:
            raise ValueError(
                f"the metrics have no column {column!r}; they have "
                f"{', '.join(map(str, metrics.columns))}"
            )
    rows = metrics[metrics["evaluator"] == evaluator].sort_values("sequences_seen")
    if rows.empty:
        raise ValueError(
            f"the metrics have no evaluator {evaluator!r}; they have "
            f"{', '.join(map(str, metrics['evaluator'].unique()))}"
        )
    twice = rows["sequences_seen"][rows["sequences_seen"].duplicated()]
    if len(twice):
        raise ValueError(
            f"evaluator {evaluator!r} has several rows at {twice.iloc[0]} sequences seen: give "
            "the metrics of one run"
        )
    return rows
