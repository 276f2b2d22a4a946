"""Sequences of exemplar-label pairs, and the transformer that answers their query."""

from coopetition_interp.tasks.exemplar_label.config import ClassesConfig, ExemplarLabelConfig
from coopetition_interp.tasks.exemplar_label.presets import PRESETS, preset
from coopetition_interp.tasks.exemplar_label.run import ExemplarLabelRun
from coopetition_interp.tasks.exemplar_label.task import ExemplarLabelTask, query_loss

__all__ = [
    "PRESETS",
    "ClassesConfig",
    "ExemplarLabelConfig",
    "ExemplarLabelRun",
    "ExemplarLabelTask",
    "preset",
    "query_loss",
]
