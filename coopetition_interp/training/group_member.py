"""A run of a group, with its own directory, data, schedule and record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coopetition_interp.training.grouped_step import MemberStep
from coopetition_interp.training.machine import choose_device, should_compile
from coopetition_interp.training.prepared import Training, build_task
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.run_directory import RunDirectory
from coopetition_interp.training.run_record import RunRecord
from coopetition_interp.training.same_run import require_same_data
from coopetition_interp.training.weights_and_biases import MetricsLog


class Member:
    """A run of the group.

    Args:
        directory: Its own, entered.
        config: The run.

    Attributes:
        next_moment: The next step after which something is due.
    """

    def __init__(self, directory: RunDirectory, config: RunConfig):
        self.config = config
        self.record = RunRecord(directory, config)
        self._begun = directory.config_path.exists()
        self._how: dict[str, Any]
        if self._begun:
            self._how = dict(directory.read_resolved(config))
        else:
            self._how = {
                "device": choose_device(config.device).type,
                "n_threads": config.n_threads or torch.get_num_threads(),
                "compile": should_compile(config),
            }

    @property
    def path(self) -> Path:
        """Its directory."""
        return self.record.directory.path

    @property
    def how(self) -> dict[str, Any]:
        """What must be the same for the whole group, as it was settled when the run began."""
        return {name: self._how[name] for name in ("device", "n_threads", "compile")}

    def prepare(self) -> None:
        """Builds it, as it was at the last save.

        Raises:
            ValueError, FileNotFoundError: Bad input.
            RunError: Its config, data or donors are not those it was begun with, or its save is
                damaged.
        """
        self.record.read_save()
        task = build_task(self.config, torch.device(self._how["device"]))
        if self._begun:
            require_same_data(task, self._how, self.path)
        self._how = {**task.resolved, **self._how}
        self.training = Training.prepare(self.config, self._how, task, MemberStep)
        self.step: MemberStep = self.training.step
        self.record.restore(self.step)
        first = max(self.record.last_moment + 1, self.steps_done)
        self._moments = self.training.moments(first)
        self.next_moment = next(self._moments, self.config.n_steps)

    def begin(self) -> None:
        """Writes what is written first."""
        if not self._begun:
            self.record.directory.write_config(self.config, self.training.resolved)
        self.record.note("finished" if self.is_done else "running")

    @property
    def steps_done(self) -> int:
        """Optimizer steps so far."""
        return self.step.state.steps_done

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.record.last_moment == self.config.n_steps

    def look(self, losses: Tensor, log: MetricsLog) -> None:
        """Takes note of the losses up to here, and does what is due here.

        Raises:
            RunError: A loss or a weight is not finite, or a write failed.
        """
        self.record.add_losses(losses, self.step)
        moment, training = self.steps_done, self.training
        if moment < self.next_moment:
            return
        if moment in training.evaluations:
            self.record.add_evaluation(training.scores(moment), moment, log, training.l2_penalty())
        if moment in training.checkpoints:
            self.record.save_checkpoint(training.task.model, moment)
        self.record.last_moment = moment
        self.next_moment = next(self._moments, self.config.n_steps)

    def save(self) -> None:
        """Saves what a resume needs."""
        self.record.save_resume(self.step)
