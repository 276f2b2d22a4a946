"""A run's table of metrics, read back and looked over."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd

from coopetition_interp.config_class import shortened
from coopetition_interp.files.regular_file import UnreadableFileError, read_csv_table

ADDED_TO_SCORES = ("sequences_seen", "training_loss", "l2_penalty")
"""Columns of a run's metrics that are not its evaluators'."""


def read_metrics_table(path: str | Path) -> pd.DataFrame:
    """A row per moment and evaluator.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged.
    """
    metrics = read_csv_table(path, columns=("sequences_seen", "evaluator"))
    if problem := _problem_of(metrics):
        raise UnreadableFileError(f"{path} is damaged ({problem})")
    return metrics


def problem_of_scores(scores: Any, before: pd.DataFrame) -> str:
    """Why what an evaluator gave cannot be appended to a run's metrics; nothing if it can.

    Args:
        scores: What it gave: a row for each evaluator.
        before: The metrics so far.
    """
    if not isinstance(scores, pd.DataFrame):
        return f"an evaluator gives a pandas DataFrame; this one gave {type(scores).__name__}"
    if "evaluator" not in scores or len(scores) == 0:
        columns = ", ".join(map(str, scores.columns)) or "none"
        return f"the table needs a column evaluator and rows; its columns: {columns}"
    for column in scores.columns:
        values = scores[column]
        if not isinstance(column, str) or isinstance(values, pd.DataFrame):
            return f"columns need different names, as text; got {column!r}"
        if column in ADDED_TO_SCORES:
            return f"the column {column} is the run's own: give yours another name"
        if column != "evaluator" and not _are_real_numbers(values):
            return f"the column {column} should be numbers; got {shortened(values.iloc[0])}"
    names = scores["evaluator"].tolist()
    if len(set(names)) < len(names):
        return f"an evaluator has two rows: {', '.join(map(str, names))}"
    if names != _written_and_read(names):
        return f"evaluators need names that a CSV file keeps; got {shortened(names)}"
    if len(before) and {*names} != {*before["evaluator"]}:
        known = ", ".join(sorted({*before["evaluator"]}))
        return f"the rows are of {', '.join(sorted(names))}, but were of {known}"
    return ""


def _are_real_numbers(values: pd.Series) -> bool:
    types = pd.api.types
    return types.is_numeric_dtype(values) and not types.is_complex_dtype(values)


def _written_and_read(names: list[Any]) -> list[Any]:
    """As pandas reads them back: it takes "NA" for nothing, and "007" for a number."""
    text = pd.DataFrame({"sequences_seen": 0, "evaluator": names}).to_csv(index=False)
    return pd.read_csv(io.StringIO(text))["evaluator"].tolist()


def _problem_of(metrics: pd.DataFrame) -> str:
    """What cannot be in a table of metrics; nothing if all can."""
    seen = metrics["sequences_seen"]
    if len(metrics) == 0:
        return "it has no rows"
    if not pd.api.types.is_integer_dtype(seen) or (seen < 0).any():
        return "sequences_seen should be whole numbers"
    for column in metrics.columns.drop("evaluator"):
        if not pd.api.types.is_numeric_dtype(metrics[column]):
            return f"{column} should be numbers"
    if metrics.duplicated(["sequences_seen", "evaluator"]).any():
        return "an evaluator is there twice at the same moment"
    counts = seen.value_counts(sort=False)
    if counts.nunique() > 1 or metrics["evaluator"].nunique() != counts.iloc[0]:
        return "not every evaluator has a row at every moment"
    return ""
