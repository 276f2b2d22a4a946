"""A run's table of metrics, read back and looked over."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from coopetition_interp.files.regular_file import UnreadableFileError, read_csv_table


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
