"""Training with clamps: configs, the loop, and runs read back."""

from coopetition_interp.config_class import ConfigError
from coopetition_interp.training.run import Run, load_run, load_weights
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.run_directory import RunError
from coopetition_interp.training.run_record import NonFiniteLossError
from coopetition_interp.training.run_state import state_of
from coopetition_interp.training.schedules import OptimizerConfig, Schedule
from coopetition_interp.training.task import Task
from coopetition_interp.training.train import resume, train
from coopetition_interp.training.train_together import train_together
from coopetition_interp.training.training_step import TrainingStep

__all__ = [
    "ConfigError",
    "NonFiniteLossError",
    "OptimizerConfig",
    "Run",
    "RunConfig",
    "RunError",
    "Schedule",
    "Task",
    "TrainingStep",
    "load_run",
    "load_weights",
    "resume",
    "state_of",
    "train",
    "train_together",
]
