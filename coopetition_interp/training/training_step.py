"""One optimizer step as one graph: forward with its clamps, backward, Adam.

Every tensor operation of the forward pass, of its gradient and of the update is recorded once and
compiled as a whole (see `training.recorded_graph`). What is trained is thus exactly the
`HookedTransformer` with the clamps on it, while a step costs neither Python nor autograd nor one
kernel per parameter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten
from transformer_lens import HookedRootModule

from coopetition_interp.interventions import BoundClamps, Clamp, bind
from coopetition_interp.training.optimizer_state import (
    OptimizerState,
    joined_flat,
    pack_parameters,
    unpack,
)
from coopetition_interp.training.recorded_graph import compile_record
from coopetition_interp.training.recorded_training import record_training
from coopetition_interp.training.schedules import OptimizerConfig
from coopetition_interp.training.shared_parameters import SharedParameters
from coopetition_interp.training.steps_at_once import StepsAtOnce
from coopetition_interp.training.task import (
    Batch,
    ClampedModel,
    Loss,
    checked_loss,
    models_own_loss,
    tensors_in_order,
)
from coopetition_interp.training.training_mode import in_training_mode
from coopetition_interp.training.unchanged_tensors import UnchangedTensors

STEPS_AHEAD = 100
"""Steps for which Adam's numbers are made at a time."""


class TrainingStep:
    """A step of training, ready to be called once per batch.

    Args:
        model: The model to train; its parameters are updated in place.
        optimizer: Adam's settings.
        n_steps: Length of the run in steps (for schedules that end with it).
        example: A batch, any pytree of tensors, for its shapes. Later ones must have the same.
        clamps: What is held while the rest learns; gradients flow as each clamp says.
        compile: Whether to compile the graph; without a compiler it falls back, with a warning.
        state: Of another step of the same model, to go on from there; None to begin.
        loss: From a way to run the clamped model, and a batch, to the loss. By default the model's
            own, `return_type="loss"`. What it may not do: see `Task.loss`.
        n_at_once: Steps that `several` takes in one launch; by default what pays on the device.

    Attributes:
        state: Parameters and moments.
        compiled: Whether the compiled graph is in use.

    Raises:
        ValueError: The loss or a clamp does what cannot be recorded (see `record_training`), or
            the model is in half precision, or has none of a part that an L2 penalty is set on.
    """

    def __init__(
        self,
        model: HookedRootModule,
        optimizer: OptimizerConfig,
        n_steps: int,
        example: Batch,
        clamps: Sequence[Clamp] | BoundClamps = (),
        compile: bool = True,
        state: OptimizerState | None = None,
        loss: Loss = models_own_loss,
        n_at_once: int | None = None,
    ):
        self.model = model
        self.optimizer = optimizer
        self.n_steps = n_steps
        self.clamps = clamps if isinstance(clamps, BoundClamps) else bind(clamps, model)
        self.state = pack_parameters(model) if state is None else state
        self._shared = SharedParameters(model, self.state.names)
        self._penalised = set(optimizer.penalised(model))
        self.loss = loss
        tensors, self._structure = tree_flatten(example)
        self._example_shapes = _shapes(tensors)
        # Of the weights' own precision: that of float32 would round the steps of float64.
        scales = self.state.packed[0].new_zeros(2, device=tensors[0].device)
        self._scales_ahead, self._ahead_from = scales.new_empty(0, 2), 0
        inputs = self._graph_inputs(scales, tensors)
        written = list(self.state.buffers().values())
        recorded = record_training(self._step_operations, inputs, model, written, loss)
        self._unchanged = UnchangedTensors(recorded, model)
        self._graph, self.compiled = (
            compile_record(recorded, inputs) if compile else (recorded, False)
        )
        self._at_once = StepsAtOnce(self._one_step, written, scales, tensors, n_at_once)

    @property
    def n_at_once(self) -> int:
        """How many steps `several` is best called for."""
        return self._at_once.n

    def __call__(self, batch: Batch) -> Float[Tensor, ""]:
        """Takes one step on a batch.

        Returns:
            The loss before the step, without any L2 penalty.

        Raises:
            ValueError: If the batch is built otherwise, or has another shape, than the example
                given at the start.
            RuntimeError: If the model's parameters were replaced since, as `.to()` does, or another
                tensor that the step reads was changed.
        """
        return self._take([batch])[0]

    def several(self, batches: Sequence[Batch]) -> list[Float[Tensor, ""]]:
        """Takes a step on each batch, in order: the same steps, of which a GPU takes many at once.

        Returns:
            The loss before each step.

        Raises:
            ValueError, RuntimeError: As a call; none of `n_at_once` steps is then taken.
        """
        if len(batches) == self.n_at_once > 1:
            return self._take(batches)
        return [self(batch) for batch in batches]

    def _take(self, batches: Sequence[Batch]) -> list[Float[Tensor, ""]]:
        self._shared.require()
        self._unchanged.require()
        tensors = [self._tensors_of(batch) for batch in batches]
        first = self.state.steps_done
        scales = [self._scales_of(step) for step in range(first, first + len(batches))]
        losses = self._at_once(scales, tensors)
        self.state.steps_done += len(batches)
        return losses

    def _tensors_of(self, batch: Batch) -> list[Tensor]:
        tensors = tensors_in_order(batch, self._structure)
        shapes = _shapes(tensors)
        if shapes != self._example_shapes:
            raise ValueError(
                f"the training step was built for a batch of tensors {self._example_shapes}; got "
                f"{shapes}"
            )
        return tensors

    def _one_step(self, scales: Tensor, batch: Sequence[Tensor]) -> Float[Tensor, ""]:
        (loss,) = self._graph(*self._graph_inputs(scales, batch))
        return loss

    def _scales_of(self, step: int) -> Float[Tensor, 2]:
        """Adam's numbers of a step, from a table made for many: none is waited for."""
        if not 0 <= step - self._ahead_from < len(self._scales_ahead):
            steps = range(step, step + STEPS_AHEAD)
            table = [self.optimizer.scales_at(each, self.n_steps) for each in steps]
            self._scales_ahead = self._scales_ahead.new_tensor(table)
            self._ahead_from = step
        return self._scales_ahead[step - self._ahead_from]

    def _graph_inputs(self, scales: Tensor, batch: Sequence[Tensor]) -> list[Tensor]:
        state = [*self.state.packed, *(t for group in self.state.large for t in group)]
        return [*state, scales, *self.state.running.values(), *batch]

    def _step_operations(self, *inputs: Tensor) -> tuple[Tensor]:
        """The step itself, on plain tensors; run once, to be recorded."""
        n_state = 3 * (1 + len(self.state.large))
        n_before_batch = n_state + 1 + len(self.state.running)
        state, scales, leaves_of_batch = inputs[:n_state], inputs[n_state], inputs[n_before_batch:]
        running = dict(zip(self.state.running, inputs[n_state + 1 : n_before_batch], strict=True))
        groups = [tuple(state[i : i + 3]) for i in range(0, len(state), 3)]
        packed, large = groups[0], groups[1:]
        weights = unpack(packed[0], self.state.shapes[: self.state.n_packed])
        weights += [group[0] for group in large]
        leaves = [weight.detach().requires_grad_() for weight in weights]
        named = dict(zip(self.state.names, leaves, strict=True))
        batch = tree_unflatten(list(leaves_of_batch), self._structure)
        run_model = ClampedModel(self.model, self.clamps, named, running)
        with torch.enable_grad(), in_training_mode(self.model):
            loss = checked_loss(self.loss(run_model, batch))
            gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            with_penalty = [
                g + 2 * self.optimizer.l2 * p if name in self._penalised else g
                for g, p, name in zip(gradients, weights, self.state.names, strict=True)
            ]
            joined = joined_flat(with_penalty[: self.state.n_packed], like=packed[0])
            self._adam(packed, joined, scales)
            for group, gradient in zip(large, with_penalty[self.state.n_packed :], strict=True):
                self._adam(group, gradient, scales)
        return (loss.detach(),)

    def _adam(self, updated: tuple[Tensor, ...], g: Tensor, scales: Tensor) -> None:
        """Adam's update in place; `scales` carries the bias corrections and the learning rate."""
        parameter, first, second = updated
        first.mul_(self.optimizer.beta1).add_(g, alpha=1 - self.optimizer.beta1)
        second.mul_(self.optimizer.beta2).addcmul_(g, g, value=1 - self.optimizer.beta2)
        parameter.sub_(scales[0] * first / (second.sqrt() * scales[1] + self.optimizer.eps))


def _shapes(tensors: Sequence[Tensor]) -> list[list[int]]:
    return [list(tensor.shape) for tensor in tensors]
