"""What clamps on a list of heads share: one edit per block that holds any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from transformer_lens import HookedTransformerConfig

from coopetition_interp.interventions.claims import Claim
from coopetition_interp.interventions.clamp import Clamp, ClampedBatch, Edit
from coopetition_interp.interventions.heads import Head, as_heads, by_layer, check_heads

HeadsEdit = Callable[[Tensor, list[int]], Tensor]
"""An activation and the heads in it to set, to the activation with these set."""


@dataclass(frozen=True)
class _OnHeads:
    """The field of a `HeadsClamp`, which as a base is no clamp itself, and so no dataclass."""

    heads: Iterable[Head]


class HeadsClamp(_OnHeads, Clamp):
    """Base of clamps on chosen heads.

    Subclasses, frozen dataclasses, say what happens to a block's heads (`_edit`), and where
    (`hook_point`). Their first field is `heads`; they need not name it again.

    Attributes:
        heads: (layer, head) pairs, sorted, each once.
        hook_point: Which of an attention's hook points is set.
        what_is_held: What no other clamp may set on the same heads: see `Claim.what`.
    """

    hook_point: ClassVar[str] = "hook_pattern"
    what_is_held: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        self._normalise()

    def _edit(self, batch: ClampedBatch) -> HeadsEdit:
        raise NotImplementedError(f"{type(self).__name__} has no _edit()")

    def _normalise(self, **fields: object) -> None:
        """Sets `heads`, and other checked fields, on the frozen instance."""
        heads = as_heads(self.heads, type(self).__name__)
        for name, value in {"heads": heads, **fields}.items():
            object.__setattr__(self, name, value)

    def check(self, cfg: HookedTransformerConfig) -> None:
        """Refuses heads that the model does not have."""
        check_heads(self.heads, cfg, self)

    def claims(self, cfg: HookedTransformerConfig) -> set[Claim]:
        """`what_is_held`, of each head."""
        return {
            Claim(what, layer, head) for what in self.what_is_held for layer, head in self.heads
        }

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """One edit per block that holds any of the heads."""
        edit = self._edit(batch)
        for layer, heads in by_layer(self.heads).items():
            yield f"blocks.{layer}.attn.{self.hook_point}", _at(heads, edit)


def _at(heads: list[int], edit: HeadsEdit) -> Callable[[Tensor], Tensor]:
    return lambda activation: edit(activation, heads)
