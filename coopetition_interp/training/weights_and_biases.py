"""Optional logging of metrics to Weights & Biases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from coopetition_interp.one_line import one_line
from coopetition_interp.training.metrics_table import ADDED_TO_SCORES
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.run_records import RunError


class MetricsLog:
    """A log that keeps nothing: what a run without Weights & Biases writes to."""

    def write(self, rows: pd.DataFrame) -> None:
        """Logs one evaluation: a row per evaluator, all at the same sequences seen."""

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Ends the log."""


class WeightsAndBiasesLog(MetricsLog):
    """Metrics as `evaluator/metric` against sequences seen, in one Weights & Biases run."""

    def __init__(self, run: Any):
        self._run = run

    def write(self, rows: pd.DataFrame) -> None:
        """Logs one evaluation."""
        values: dict[str, float] = {}
        for row in rows.to_dict("records"):
            evaluator = row.pop("evaluator")
            values |= {name: row.pop(name) for name in ADDED_TO_SCORES if name in row}
            values |= {f"{evaluator}/{metric}": value for metric, value in row.items()}
        self._run.log(values)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._run.finish(exit_code=0 if kind is None else 1)


def open_metrics_log(project: str | None, directory: Path, config: RunConfig) -> MetricsLog:
    """A log for a run; without a project, one that keeps nothing.

    Raises:
        RunError: Weights & Biases does not start.
    """
    if project is None:
        return MetricsLog()
    import wandb

    try:
        run = wandb.init(
            project=project, name=directory.name, dir=str(directory), config=config.to_dict()
        )
    except wandb.Error as error:
        raise RunError(
            f"Weights & Biases does not start ({one_line(error)}): log in by `wandb login`, set "
            "WANDB_MODE=offline, or leave the project out"
        ) from error
    run.define_metric("*", step_metric="sequences_seen")
    return WeightsAndBiasesLog(run)
