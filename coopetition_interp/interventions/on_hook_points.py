"""Edits on a model's hook points, and weights in place of its own, for the length of a block."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformer_lens import HookedTransformer
from transformer_lens.hook_points import HookPoint

from coopetition_interp.interventions.clamp import Clamp, ClampedBatch
from coopetition_interp.interventions.fields import shown

FORMS_LOGITS = ("logits", "query_logits", "loss", "both")
"""Return types for which every part of the model is run."""


@dataclass(eq=False)
class PlacedEdit:
    """A clamp's edit of a hook point.

    Attributes:
        clamp: Whose it is.
        name: The hook point.
        edit: What becomes of the activation there.
        batch: What the clamp sees of the batch.
        fired: Whether it has been applied.
    """

    clamp: Clamp
    name: str
    edit: Callable[[Tensor], Any]
    batch: ClampedBatch
    fired: bool = False

    def as_hook(self) -> Any:
        """The edit in the form of a TransformerLens hook."""

        def clamp_hook(activation: Tensor, hook: HookPoint) -> Tensor:
            self.fired = True
            edited = self.edit(activation)
            where = f"{shown(self.clamp)}: its edit of {self.name} must return the activation"
            if not isinstance(edited, Tensor):  # TransformerLens takes None for "as it was"
                raise ValueError(f"{where}; it returned {shown(edited)}")
            if self._is_of_all_tokens(edited, activation):
                edited = edited[:, -1:]
            if edited.shape != activation.shape:
                raise ValueError(
                    f"{where}, of shape {list(activation.shape)}; it returned one of shape "
                    f"{list(edited.shape)}"
                )
            return edited

        return clamp_hook

    def _is_of_all_tokens(self, edited: Tensor, activation: Tensor) -> bool:
        """Whether all tokens are set where the final LayerNorm or unembedding runs on the query."""
        per_token = edited.ndim == activation.ndim == 3 and not self.name.startswith("blocks.")
        return per_token and activation.shape[1] == 1 and edited.shape[1] > 1


def check_all_fired(edits: Iterable[PlacedEdit]) -> None:
    """Refuses edits that a whole pass did not come to.

    Raises:
        ValueError: If the model has a hook point that it does not run, naming the clamp.
    """
    for edit in edits:
        if not edit.fired:
            raise ValueError(
                f"{shown(edit.clamp)} needs the hook point {edit.name}, which this model has but "
                "does not run: nothing would be held there"
            )


@dataclass(frozen=True, eq=False)
class CheckOfRun:
    """On a model that is held by `clamped`: `check_all_fired`, of the part that each run is of."""

    edits: list[PlacedEdit]

    def __call__(
        self, model: HookedTransformer, args: tuple[Any, ...], kwargs: dict[str, Any], _: Any
    ) -> None:
        """Called after each run of the model."""
        given = inspect.signature(model.forward).bind(*args, **kwargs).arguments
        start, stop = given.get("start_at_layer"), given.get("stop_at_layer")
        layers = range(model.cfg.n_layers)[start:stop]
        is_whole = start is stop is None and given.get("return_type", "logits") in FORMS_LOGITS
        of_layers = tuple(f"blocks.{layer}." for layer in layers)
        check_all_fired(e for e in self.edits if is_whole or e.name.startswith(of_layers))


@contextmanager
def edited(model: HookedTransformer, edits: list[PlacedEdit]) -> Iterator[None]:
    """Holds edits on hook points, in order and before any other hook there.

    The hooks are "permanent" to TransformerLens, so that a `reset_hooks` in the meantime leaves
    them; here they go when the block is left.
    """
    points: list[HookPoint] = []
    hooks: list[Any] = []
    try:
        for edit in reversed(edits):  # each goes before those already there
            points.append(model.hook_dict[edit.name])
            hooks.append(edit.as_hook())
            points[-1].add_hook(hooks[-1], is_permanent=True, prepend=True)
        yield
    finally:
        for point in points:
            ours = [handle for handle in point.fwd_hooks if handle.user_hook in hooks]
            for handle in ours:
                handle.hook.remove()
            point.fwd_hooks = [handle for handle in point.fwd_hooks if handle not in ours]


@contextmanager
def weights_in_place(model: HookedTransformer, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Puts weights in place of the model's own, and these back at the end."""
    own: list[tuple[nn.Module, str, Tensor]] = []
    try:
        for name, value in weights.items():
            path, _, leaf = name.rpartition(".")
            module = model.get_submodule(path)
            own.append((module, leaf, getattr(module, leaf)))
            is_parameter = leaf in module._parameters
            setattr(
                module, leaf, nn.Parameter(value, requires_grad=False) if is_parameter else value
            )
        yield
    finally:
        for module, leaf, value in own:
            setattr(module, leaf, value)
