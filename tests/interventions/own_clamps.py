"""Clamps as a user writes them, in a module of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from coopetition_interp.interventions import Clamp, ClampedBatch, Edit, HeadsClamp, TwoPassClamp


@dataclass(frozen=True)
class HalveValues(Clamp):
    """Halves the values of every head of some blocks."""

    layers: tuple[int, ...]
    by: float = 0.5

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        for layer in self.layers:
            yield f"blocks.{layer}.attn.hook_v", lambda values: self.by * values


@dataclass(frozen=True)
class HalveHeads(HeadsClamp):
    """Halves what some heads write; `heads` is the base's."""

    by: float = 0.5
    hook_point = "hook_z"

    def _edit(self, batch: ClampedBatch):
        def edit(z: Tensor, heads: list[int]) -> Tensor:
            z = z.clone()
            z[:, :, heads] *= self.by
            return z

        return edit


@dataclass(frozen=True)
class KeepEmbedding(TwoPassClamp):
    """Keeps what the embedding was before other clamps."""

    detach: bool = True

    def first_pass_reads(self, cfg) -> set[str]:
        return {"hook_embed"}

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        kept = batch.from_first_pass("hook_embed", self.detach)
        yield "hook_embed", lambda _: kept


@dataclass(frozen=True)
class AddsADirection(Clamp):
    """Holds a tensor: of use on a finished model, but nothing that JSON can save."""

    direction: Tensor

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        yield "blocks.0.hook_resid_pre", lambda residual: residual + self.direction


@dataclass(frozen=True)
class ComesBackChanged(Clamp):
    """Its field grows whenever it is made."""

    layers: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", (*self.layers, 0))

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        yield "hook_embed", torch.relu


@dataclass(frozen=True)
class ForgetsToReturn(Clamp):
    """The commonest mistake."""

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        def edit(values):
            values.mul(0.5)

        yield "blocks.0.attn.hook_v", edit
