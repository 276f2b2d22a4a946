"""Training with clamps: configs, presets, the loop, and runs read back."""

from coopetition_interp.config_class import ConfigError
from coopetition_interp.tasks.exemplar_label.presets import PRESETS, preset
from coopetition_interp.training.run import Run, load_run, load_weights
from coopetition_interp.training.run_config import ClassesConfig, RunConfig
from coopetition_interp.training.run_directory import RunError
from coopetition_interp.training.run_record import NonFiniteLossError
from coopetition_interp.training.run_state import state_of
from coopetition_interp.training.schedules import OptimizerConfig, Schedule
from coopetition_interp.training.train import resume, train
from coopetition_interp.training.training_step import TrainingStep

__all__ = [
    "PRESETS",
    "ClassesConfig",
    "ConfigError",
    "NonFiniteLossError",
    "OptimizerConfig",
    "Run",
    "RunConfig",
    "RunError",
    "Schedule",
    "TrainingStep",
    "load_run",
    "load_weights",
    "preset",
    "resume",
    "state_of",
    "train",
]
