"""What is checked before a model runs under clamps, and while it is held by them."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformer_lens import HookedRootModule, HookedTransformer

from coopetition_interp.interventions.binding import BoundClamps, Clamps, bind
from coopetition_interp.interventions.clamp import Clamp, ClampedBatch
from coopetition_interp.interventions.fields import shown
from coopetition_interp.interventions.inputs import ModelInput


@dataclass(frozen=True, eq=False)
class GuardOfInput:
    """On a model that is held by `clamped`: refuses another input where a clamp looked at its own.

    Attributes:
        clamps: What is held.
        sequences: The input that is held for.
        batches: What the clamps saw of it.
    """

    clamps: tuple[Clamp, ...]
    sequences: ModelInput
    batches: list[ClampedBatch]

    def __call__(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Called before each run of the model."""
        another = (args[0] if args else kwargs.get("input")) is not self.sequences
        for batch in self.batches:
            batch.another_input_runs = another  # so that a later look at the batch is refused too
            if another and batch.was_looked_at:
                raise batch.refusal()


def runs_as_transformer_lens_does(model: HookedRootModule) -> bool:
    """Whether it takes what a `HookedTransformer` takes, and not what a subclass makes of it."""
    return isinstance(model, HookedTransformer) and (
        type(model).forward is HookedTransformer.forward
        and type(model).input_to_embed is HookedTransformer.input_to_embed
    )


def bind_to_run(
    clamps: Clamps,
    model: HookedRootModule,
    sequences: ModelInput,
    parameters: Mapping[str, Tensor] | None = None,
) -> BoundClamps:
    """Binds clamps, and checks what they are run with.

    Raises:
        TypeError: A model of tokens is given something else.
        ValueError: The model is clamped already, there are no sequences, or it has no such weight.
    """
    bound = bind(clamps, model)
    for hook in model._forward_pre_hooks.values():
        if isinstance(hook, GuardOfInput) and hook.clamps and bound.clamps:
            raise ValueError(
                f"the model is clamped already, by {shown(hook.clamps[0])}, which would undo what "
                f"{shown(bound.clamps[0])} sets: give both in one list"
            )
    if runs_as_transformer_lens_does(model) and not isinstance(sequences, Tensor | str | list):
        raise TypeError(
            f"{type(model).__name__} takes a tensor of tokens; got {type(sequences).__name__}"
        )
    if isinstance(sequences, Sized) and len(sequences) == 0:
        raise ValueError("there are no sequences to run the model on")
    for name in parameters or ():
        path, _, leaf = name.rpartition(".")
        try:
            module = model.get_submodule(path)
        except AttributeError:
            module = None
        if module is None or (leaf not in module._parameters and leaf not in module._buffers):
            raise ValueError(f"parameters names {shown(name)}, but the model has no such weight")
    return bound
