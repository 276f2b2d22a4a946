"""Clamps that switch parts of the model off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from coopetition_interp.interventions.clamp import Clamp, ClampedBatch, Edit, axis_mask
from coopetition_interp.interventions.fields import shown
from coopetition_interp.interventions.heads import Head
from coopetition_interp.interventions.heads_clamp import HeadsClamp, HeadsEdit


@dataclass(frozen=True)
class AblateHeads(HeadsClamp):
    """Switches heads off: their values are 0, so they write nothing (thesis 4.3, C.3).

    Patterns are computed as ever but move nothing, so a clamp on the pattern of an ablated head is
    allowed and has no effect on the output. One pass; the heads' weights get no gradient.

    Attributes:
        heads: (layer, head) pairs. `heads.layer_heads` names "all but one".
    """

    heads: Iterable[Head]

    hook_point: ClassVar[str] = "hook_v"

    def check(self, cfg: HookedTransformerConfig) -> None:
        """Refuses heads that the model does not have, or that share their values."""
        super().check(cfg)
        if cfg.n_key_value_heads not in (None, cfg.n_heads):
            raise ValueError(
                f"{shown(self)}: the model's heads share values in groups (grouped-query "
                "attention), so the values of one head cannot be set to 0"
            )

    def _edit(self, batch: ClampedBatch) -> HeadsEdit:
        def edit(values: Tensor, heads: list[int]) -> Tensor:
            ablated = axis_mask(heads, values.shape[2], values.device)[:, None]
            return torch.where(ablated, 0.0, values)  # [batch, n_tokens, n_heads, d_head]

        return edit


@dataclass(frozen=True)
class AblateEmbedding(Clamp):
    """Sets all token embeddings, before positions are added, to 0 (coopetition paper, 4.1, C.1).

    One pass; the embedding's weights get no gradient.
    """

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """Zeros at `hook_embed`."""
        yield "hook_embed", torch.zeros_like
