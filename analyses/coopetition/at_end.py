"""What the figures about a finished network share: main's checkpoint at its end.

The end is three times the crossing. A seed whose run has not come so far, or never crosses, has no
end: it counts as a seed without the number, which leaves what is claimed of the end undecided.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.tasks.exemplar_label.sequences import Sequences
from coopetition_interp.training import Run

IN_CONTEXT_EVALUATORS = ("train", "icl", "ciwl", "flip")


def end_checkpoint(run: Run) -> int:
    """The checkpoint at the run's end, or its last if it has not come so far."""
    end = moments_of(run.metrics).end
    return run.checkpoints[-1] if end is None else run.nearest_checkpoint(end)


def end_state(run: Run) -> str:
    """Whether the run came to its end: "end", "too short" or "no crossing"."""
    end = moments_of(run.metrics).end
    if end is None:
        return "no crossing"
    every = max(b - a for a, b in zip(run.checkpoints[:-1], run.checkpoints[1:], strict=True))
    return "end" if end <= run.checkpoints[-1] + every else "too short"


def with_end_state(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """A table of the run at its end, with the checkpoint and whether it is the end."""
    table.insert(0, "end_state", end_state(run))
    table.insert(0, "checkpoint", end_checkpoint(run))
    return table


def by_seed_at_end(
    table: pd.DataFrame, number: Callable[[pd.DataFrame], float | None]
) -> dict[int, float]:
    """`by_seed` of the runs at their end; NaN for those that have none."""

    def of_end(rows: pd.DataFrame) -> float | None:
        return number(rows) if rows["end_state"].iloc[0] == "end" else math.nan

    return by_seed(table, of_end)


def first_sequences(run: Run, evaluator: str, n: int) -> Sequences:
    """The first so many sequences of one of the run's evaluators."""
    return run.evaluation_sequences[evaluator][:n]
