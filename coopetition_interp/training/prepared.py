"""What the training loop uses, made from a config."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch.utils._pytree import tree_leaves

from coopetition_interp.interventions import ByPhase
from coopetition_interp.training.built_task import checked_task
from coopetition_interp.training.config_to_train import require_own_task
from coopetition_interp.training.freed_memory import keep_freed_memory
from coopetition_interp.training.machine import require_real_tensors
from coopetition_interp.training.moments import Moments
from coopetition_interp.training.phased_training_step import PhasedTrainingStep
from coopetition_interp.training.run import load_weights
from coopetition_interp.training.run_config import Evaluate, RunConfig
from coopetition_interp.training.same_run import digests_of_weights, require_same_weights
from coopetition_interp.training.task import (
    Task,
    bind_clamps,
    check_evaluators,
    moved,
)

STEPS_BETWEEN_CHECKS = 100
COMPILE_ABOVE_SCORED = 1_000_000


def build_task(config: RunConfig, device: torch.device) -> Task:
    """The task of a config, on a device, from the weights it starts from.

    Raises:
        ConfigError: See `require_real_tensors`, `require_own_task` and `checked_task`.
    """
    require_real_tensors()
    require_own_task(config)
    task = checked_task(config.build())
    if config.start_from is not None:
        load_weights(task.model, config.start_from)
    task.to(device)
    return task


@dataclass
class Training:
    """All that the loop uses, made: what can fail for the config has not failed.

    Attributes:
        config: The run.
        resolved: What the config left open, and what tells the weights that it names.
        task: Its data, model and evaluation sequences.
        device: Where it is trained.
        step: The training step, or what `make_step` gave for it.
        evaluate: What evaluates the model, under the clamps of each phase.
        evaluations: Steps at which it is evaluated.
        checkpoints: Steps at which its weights are kept.
    """

    config: RunConfig
    resolved: dict[str, Any]
    task: Task
    device: torch.device
    step: Any
    evaluate: ByPhase[Evaluate]
    evaluations: Moments
    checkpoints: Moments

    @classmethod
    def prepare(
        cls,
        config: RunConfig,
        resolved: Mapping[str, Any],
        task: Task,
        make_step: Callable[..., Any] | None = None,
    ) -> Training:
        """Builds it; `make_step` may stand for `PhasedTrainingStep`, of which it takes arguments.

        Raises:
            ValueError: A clamp or an evaluator does not fit the model.
            FileNotFoundError: A clamp's checkpoint is not there.
            RunError: Weights that the config names are not those that `resolved` tells of.
        """
        keep_freed_memory()
        device = torch.device(resolved["device"])
        clamps = bind_clamps(config, task)
        digests = digests_of_weights(config, task, clamps)
        require_same_weights(digests, resolved, config)
        for held in clamps.bound:
            check_evaluators(config, task, held)
        evaluations = config.evaluate_at.steps(config.n_steps, config.batch_size)
        n_scored = len(evaluations) * sum(
            len(tree_leaves(sequences)[0]) for sequences in task.evaluation_sequences.values()
        )
        compile = resolved["compile"] and n_scored > COMPILE_ABOVE_SCORED
        step = (make_step or PhasedTrainingStep)(
            task.model,
            config.optimizer,
            config.n_steps,
            example=moved(task.batch(0), device),
            clamps=clamps,
            compile=resolved["compile"],
            loss=task.loss,
        )
        return cls(
            config=config,
            resolved={**resolved, **digests},
            task=task,
            device=device,
            step=step,
            evaluate=ByPhase(clamps, lambda held: config.evaluator(task.model, held, compile)),
            evaluations=evaluations,
            checkpoints=config.checkpoint_at.steps(config.n_steps, config.batch_size),
        )

    def scores(self, moment: int) -> pd.DataFrame:
        """The model evaluated as it is now, under the clamps of this step."""
        evaluate = self.evaluate.at(moment * self.config.batch_size)
        return evaluate(self.task.evaluation_sequences)

    def l2_penalty(self) -> float:
        """What the weights add to the loss now."""
        return self.config.optimizer.penalty(self.task.model)

    def moments(self, first: int) -> Iterator[int]:
        """Steps from `first` on after which training is left for a moment, in order.

        The checks among them bound how late a loss is seen not to be finite.
        """
        next_check = -(-first // STEPS_BETWEEN_CHECKS) * STEPS_BETWEEN_CHECKS
        checks = range(next_check, self.config.n_steps, STEPS_BETWEEN_CHECKS)
        previous = -1
        for moment in heapq.merge(
            self.evaluations.since(first), self.checkpoints.since(first), checks
        ):
            if moment > previous:
                yield moment
            previous = moment
