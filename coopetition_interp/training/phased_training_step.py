"""Training steps under clamps that begin or cease to hold in the course of a run."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_leaves
from transformer_lens import HookedRootModule

from coopetition_interp.interventions import BoundClamps, ByPhase, PhasedClamps
from coopetition_interp.training.optimizer_state import pack_parameters
from coopetition_interp.training.schedules import OptimizerConfig
from coopetition_interp.training.task import Batch, Loss, models_own_loss
from coopetition_interp.training.training_step import TrainingStep


class PhasedTrainingStep:
    """A `TrainingStep` for each phase of a run, all on one model and one optimizer state.

    A phase's step is recorded (and compiled) when its first batch comes. Which phase that is
    follows from the steps behind the state, so a resumed run goes on in the phase it was in.

    Args:
        model: As for `TrainingStep`.
        optimizer: As for `TrainingStep`.
        n_steps: As for `TrainingStep`.
        example: As for `TrainingStep`.
        clamps: What is held when, from `bind_phases`.
        compile: As for `TrainingStep`.
        loss: As for `TrainingStep`.
        n_at_once: As for `TrainingStep`.

    Attributes:
        state: Parameters and moments.
    """

    def __init__(
        self,
        model: HookedRootModule,
        optimizer: OptimizerConfig,
        n_steps: int,
        example: Batch,
        clamps: PhasedClamps,
        compile: bool = True,
        loss: Loss = models_own_loss,
        n_at_once: int | None = None,
    ):
        self.state = state = pack_parameters(model)
        self._batch_size = len(tree_leaves(example)[0])

        def make(held: BoundClamps) -> TrainingStep:
            return TrainingStep(
                model, optimizer, n_steps, example, held, compile, state, loss, n_at_once
            )

        self._steps = ByPhase(clamps, make)
        self._steps.at(0)  # made now, so that what does not fit shows

    def __call__(self, batch: Batch) -> Float[Tensor, ""]:
        """Takes one step on a batch: see `TrainingStep`."""
        return self.several([batch])[0]

    @property
    def n_at_once(self) -> int:
        """See `TrainingStep`."""
        return self._step_at(self.state.steps_done).n_at_once

    def several(self, batches: Sequence[Batch]) -> list[Float[Tensor, ""]]:
        """Takes a step on each batch: see `TrainingStep`. A phase may end among them."""
        first = self.state.steps_done
        steps = [self._step_at(first + index) for index in range(len(batches))]
        if all(step is steps[0] for step in steps):
            return steps[0].several(batches)
        return [step(batch) for step, batch in zip(steps, batches, strict=True)]

    def _step_at(self, steps_done: int) -> TrainingStep:
        return self._steps.at(steps_done * self._batch_size)
