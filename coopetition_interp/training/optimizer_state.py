"""What training moves: parameters and Adam's moments, the small ones in one buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from coopetition_interp.interventions.model_weights import running_statistics

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
        groups = zip(
            ["packed", *self.names[self.n_packed :]], [self.packed, *self.large], strict=True
        )
        every = [(f"{n}.{kind}", t) for n, g in groups for kind, t in zip(kinds, g, strict=True)]
        named: dict[str, Tensor] = {}
        for name, tensor in [*every, *self.running.items()]:
            while name in named:  # a parameter may be called "packed", say
                name += "_"
            named[name] = tensor
        return named

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

    Raises:
        ValueError: They are in half precision, or in several.
    """
    trainable = trainable_parameters(model)
    precisions = {str(p.dtype).removeprefix("torch.") for p in trainable.values()}
    if len(precisions) > 1 or precisions <= {"float16", "bfloat16"}:
        raise ValueError(
            f"the model is in {' and '.join(sorted(precisions))}: train it in float32 "
            "(model.float()); half precision has no room for Adam's moments, and all weights need "
            "one precision"
        )
    packed_names = [name for name, p in trainable.items() if p.numel() < PACKED_BELOW]
    large_names = [name for name in trainable if name not in packed_names]
    values = [trainable[name].detach() for name in packed_names]
    flat = joined_flat(values, like=next(iter(trainable.values())).detach())
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


def joined_flat(tensors: Sequence[Tensor], like: Tensor) -> Tensor:
    """Their numbers one after the other; none, of the type and place of `like`, if there are none.

    Args:
        tensors: Of any shapes.
        like: One of the same type and place.
    """
    return torch.cat([t.reshape(-1) for t in tensors]) if tensors else like.new_empty(0)


def unpack(flat: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Views of a packed buffer, by shape."""
    sizes = [shape.numel() for shape in shapes]
    return [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
