"""The shape of a loss curve in words, and the measure that decides it."""

from __future__ import annotations

import pandas as pd

from coopetition_interp.analysis.phase_change import LEAST_GAP
from coopetition_interp.figures.study_figure import thousands

MEASURE = (
    f"A phase change is a convexity gap of at least {LEAST_GAP}: how far a curve stands above its "
    "lower convex hull, as a share of what is left to fall; an exponential has none. It is taken "
    "of the probability, of the two labels in context, that is not given to the right one: the "
    "loss also falls exponentially from over 2 to log 2 as the network learns which labels are in "
    "context, which hides a circuit that starts to form meanwhile. The gap of the loss is given "
    "besides."
)
"""What decides whether a curve has a phase change, in words."""


def shape_told(row: pd.Series) -> str:
    """A row of a table of shapes in words."""
    told = f"{row['kind']} (gap {row['convexity_gap']:.2f}; of the loss, {row['loss_gap']:.2f})"
    if row["kind"] == "phase change":
        told += (
            f", {thousands(row['fall_start'])} to {thousands(row['fall_end'])}: "
            f"{thousands(row['duration'])} long"
        )
    return f"{told}; under 0.4 log 2: {thousands(row['learning_time'])}"
