"""What belongs to the study of each sweep: its tables, and what its small copy keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coopetition_interp.analysis.landmarks import landmarks
from coopetition_interp.studies.coopetition_heads import HEAD_TABLES
from coopetition_interp.studies.coopetition_layers import LAYER_TABLES
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


def _peak_and_end(main: Run) -> list[int]:
    peak = landmarks(main.metrics).flip_peak
    moments = [float(main.checkpoints[-1]), *([peak.sequences_seen] if peak else [])]
    return sorted({main.nearest_checkpoint(moment) for moment in moments})


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

STUDIES = {contents.sweep: contents for contents in (COOPETITION,)}
"""By the sweep's name."""
