"""What belongs to the study of each sweep: its tables, and what its small copy keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coopetition_interp.analysis.landmarks import landmarks
from coopetition_interp.analysis.phase_change import loss_shape
from coopetition_interp.studies.coopetition_heads import HEAD_TABLES
from coopetition_interp.studies.coopetition_layers import LAYER_TABLES
from coopetition_interp.studies.induction_curves import (
    CURVE_COLUMNS,
    CURVE_TABLES,
    training_curve,
)
from coopetition_interp.studies.induction_weights import WEIGHT_TABLES
from coopetition_interp.studies.study import StudyTable
from coopetition_interp.training import Run


@dataclass(frozen=True)
class StudyContents:
    """What belongs to the study of a sweep.

    Attributes:
        sweep: The sweep's name.
        tables: Everything, besides metrics, that the figures are drawn from.
        metric_columns: Columns of metrics that the small copy keeps.
        main_moments: Checkpoints of the main run that it keeps.
    """

    sweep: str
    tables: tuple[StudyTable, ...]
    metric_columns: tuple[str, ...]
    main_moments: Callable[[Run], list[int]]


def _around_the_fall(main: Run) -> list[int]:
    """Start, plateau's end, fall, end."""
    curve = training_curve(main.metrics)
    wrong = 1 - curve["p_right_in_context"].to_numpy()
    shape = loss_shape(curve["sequences_seen"].to_numpy(), wrong)
    marks = (shape.fall_start, shape.plateau_end, shape.fall_middle, shape.fall_end)
    moments = [0.0, *(mark for mark in marks if np.isfinite(mark)), float(main.checkpoints[-1])]
    return sorted({main.nearest_checkpoint(moment) for moment in moments})


def _peak_and_end(main: Run) -> list[int]:
    peak = landmarks(main.metrics).flip_peak
    moments = [float(main.checkpoints[-1]), *([peak.sequences_seen] if peak else [])]
    return sorted({main.nearest_checkpoint(moment) for moment in moments})


INDUCTION_HEADS = StudyContents(
    sweep="induction-heads",
    tables=(*WEIGHT_TABLES, *CURVE_TABLES),
    metric_columns=("evaluator", *CURVE_COLUMNS),
    main_moments=_around_the_fall,
)

COOPETITION = StudyContents(
    sweep="coopetition",
    tables=(*HEAD_TABLES, *LAYER_TABLES),
    metric_columns=(
        "sequences_seen",
        "evaluator",
        "loss",
        "accuracy",
        "in_context_accuracy",
        "n_sequences",
    ),
    main_moments=_peak_and_end,
)

STUDIES = {contents.sweep: contents for contents in (INDUCTION_HEADS, COOPETITION)}
"""By the sweep's name."""
