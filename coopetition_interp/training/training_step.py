"""One optimizer step as one graph: forward with its clamps, backward, Adam.

Every tensor operation of the forward pass, of its gradient and of the update is recorded once and
compiled as a whole (see `model.recorded_graph`). What is trained is thus exactly the
`HookedTransformer` with the clamps on it, while a step costs neither Python nor autograd nor one
kernel per parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from transformer_lens import HookedRootModule

from coopetition_interp.interventions import BoundClamps, Clamp, bind
from coopetition_interp.interventions.model_weights import running_statistics
from coopetition_interp.training.recorded_graph import compile_record, record
from coopetition_interp.training.schedules import OptimizerConfig
from coopetition_interp.training.shared_parameters import SharedParameters
from coopetition_interp.training.task import Batch, Loss, models_own_loss, run_with_clamps

STEPS_AHEAD = 100
"""Steps for which Adam's numbers are made at a time."""

PACKED_BELOW = 200_000
"""Parameters with fewer entries share one buffer, so that one kernel updates them all."""


@dataclass
class OptimizerState:
    """Parameters and Adam's moments: all that a step reads and writes.

    Attributes:
        names: Parameter names, packed ones first.
        shapes: Their shapes.
        n_packed: How many of them share the packed buffers.
        packed: Parameters, first and second moments of the packed ones, each [n].
        large: The same three for each other parameter.
        running: Statistics that the model gathers in training, by name; its own buffers.
        steps_done: Optimizer steps behind this state.
    """

    names: list[str]
    shapes: list[torch.Size]
    n_packed: int
    packed: tuple[Tensor, Tensor, Tensor]
    large: list[tuple[Tensor, Tensor, Tensor]]
    running: dict[str, Tensor] = field(default_factory=dict)
    steps_done: int = 0

    def buffers(self) -> dict[str, Tensor]:
        """Everything a resume needs, by name."""
        kinds = ("parameters", "first_moments", "second_moments")
        named = {f"packed.{kind}": tensor for kind, tensor in zip(kinds, self.packed, strict=True)}
        for name, group in zip(self.names[self.n_packed :], self.large, strict=True):
            named |= {f"{name}.{kind}": tensor for kind, tensor in zip(kinds, group, strict=True)}
        return {**named, **self.running}

    def load_buffers(self, saved: dict[str, Tensor], steps_done: int) -> None:
        """Copies back what `buffers` gave.

        Raises:
            ValueError: If the saved tensors belong to another model.
        """
        own = self.buffers()
        if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in saved.items()}:
            raise ValueError("the saved optimizer state belongs to a model of another shape")
        for name, tensor in own.items():
            tensor.copy_(saved[name])
        self.steps_done = steps_done

    def share_with(self, model: nn.Module) -> None:
        """Makes the model's parameters views of the buffers: it is up to date after every step."""
        parameters = dict(model.named_parameters())
        values = [
            *unpack(self.packed[0], self.shapes[: self.n_packed]),
            *(p for p, *_ in self.large),
        ]
        for name, value in zip(self.names, values, strict=True):
            parameters[name].data = value

    def not_finite(self) -> str | None:
        """The first parameter that is NaN or infinite somewhere, or whose moments are, or None."""
        groups = [self.packed, *self.large]
        finite = [torch.isfinite(tensor).all() for group in groups for tensor in group]
        if torch.stack(finite).all():
            return None
        sizes = [shape.numel() for shape in self.shapes[: self.n_packed]]
        columns = zip(*(tensor.split(sizes) for tensor in self.packed), strict=True)
        for name, tensors in zip(self.names, [*columns, *self.large], strict=True):
            if not all(torch.isfinite(tensor).all() for tensor in tensors):
                return name
        return None


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training moves, by name: the model's own choice, or those with gradients.

    Raises:
        ValueError: There are none.
    """
    choose = getattr(model, "trainable_parameters", None)
    named = dict(model.named_parameters())
    chosen = choose() if choose else {n: p for n, p in named.items() if p.requires_grad}
    if not chosen:
        raise ValueError("the model has no parameter that requires a gradient: nothing to train")
    return chosen


def pack_parameters(model: nn.Module) -> OptimizerState:
    """Moves the model's trainable parameters into an `OptimizerState` that it then shares.

    See `OptimizerState.share_with`.
    """
    trainable = trainable_parameters(model)
    packed_names = [name for name, p in trainable.items() if p.numel() < PACKED_BELOW]
    large_names = [name for name in trainable if name not in packed_names]
    flat = torch.cat([trainable[name].detach().reshape(-1) for name in packed_names])
    large = []
    for name in large_names:
        value = trainable[name].detach().contiguous()
        large.append((value, torch.zeros_like(value), torch.zeros_like(value)))
    state = OptimizerState(
        names=packed_names + large_names,
        shapes=[trainable[name].shape for name in packed_names + large_names],
        n_packed=len(packed_names),
        packed=(flat, torch.zeros_like(flat), torch.zeros_like(flat)),
        large=large,
        running=running_statistics(model),
    )
    state.share_with(model)
    return state


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
            own, `return_type="loss"`.

    Attributes:
        state: Parameters and moments.
        compiled: Whether the compiled graph is in use.
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
    ):
        self.model = model
        self.optimizer = optimizer
        self.n_steps = n_steps
        self.clamps = clamps if isinstance(clamps, BoundClamps) else bind(clamps, model)
        self.state = pack_parameters(model) if state is None else state
        self._shared = SharedParameters(model, self.state.names)
        self.loss = loss
        tensors, self._structure = tree_flatten(example)
        self._example_shapes = _shapes(tensors)
        self._scales = torch.zeros(2, device=tensors[0].device)
        self._scales_ahead, self._ahead_from = self._scales.new_empty(0, 2), 0
        inputs = self._graph_inputs(tensors)
        recorded = record(self._step_operations, inputs)
        self._graph, self.compiled = (
            compile_record(recorded, inputs) if compile else (recorded, False)
        )

    def __call__(self, batch: Batch) -> Float[Tensor, ""]:
        """Takes one step on a batch.

        Returns:
            The loss before the step, without any L2 penalty.

        Raises:
            ValueError: If the batch has another shape than the example given at the start.
            RuntimeError: If the model's parameters were replaced since, as `.to()` does.
        """
        self._shared.require()
        tensors, structure = tree_flatten(batch)
        shapes = _shapes(tensors)
        if structure != self._structure or shapes != self._example_shapes:
            raise ValueError(
                f"the training step was built for a batch of tensors {self._example_shapes}; got "
                f"{shapes}"
            )
        self._scales.copy_(self._next_scales())
        (loss,) = self._graph(*self._graph_inputs(tensors))
        self.state.steps_done += 1
        return loss

    def not_finite(self) -> str | None:
        """See `OptimizerState.not_finite`."""
        return self.state.not_finite()

    def _next_scales(self) -> Float[Tensor, 2]:
        """Adam's numbers of the step to come, from a table made for many: none is waited for."""
        step = self.state.steps_done
        if not 0 <= step - self._ahead_from < len(self._scales_ahead):
            steps = range(step, step + STEPS_AHEAD)
            table = [self.optimizer.scales_at(each, self.n_steps) for each in steps]
            self._scales_ahead = torch.tensor(table, device=self._scales.device)
            self._ahead_from = step
        return self._scales_ahead[step - self._ahead_from]

    def _graph_inputs(self, batch: list[Tensor]) -> list[Tensor]:
        state = [*self.state.packed, *(t for group in self.state.large for t in group)]
        return [*state, self._scales, *self.state.running.values(), *batch]

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
        run_model = partial(
            run_with_clamps, self.model, self.clamps, parameters={**named, **running}
        )
        with torch.enable_grad(), _in_training_mode(self.model):
            loss = self.loss(run_model, batch)
            gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            with_penalty = [
                g + 2 * self.optimizer.l2 * p if self.optimizer.penalises(name) else g
                for g, p, name in zip(gradients, weights, self.state.names, strict=True)
            ]
            joined = torch.cat([g.reshape(-1) for g in with_penalty[: self.state.n_packed]])
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


@contextmanager
def _in_training_mode(model: nn.Module) -> Iterator[None]:
    """Has batch normalisations use, and note, the batch's statistics."""
    was = model.training
    model.train()
    try:
        yield
    finally:
        model.train(was)


def _shapes(tensors: Sequence[Tensor]) -> list[list[int]]:
    return [list(tensor.shape) for tensor in tensors]


def unpack(flat: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Views of a packed buffer, by shape."""
    sizes = [shape.numel() for shape in shapes]
    return [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
