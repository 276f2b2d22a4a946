"""Clamps for models that read tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from coopetition_interp.interventions.claims import ATTENTION_PATTERN
from coopetition_interp.interventions.clamp import ClampedBatch, hold
from coopetition_interp.interventions.fields import fraction, shown
from coopetition_interp.interventions.heads import Head
from coopetition_interp.interventions.heads_clamp import HeadsClamp, HeadsEdit


@dataclass(frozen=True)
class TokenInductionHeads(HeadsClamp):
    """Holds heads as induction heads over tokens: attention to what followed an equal token.

    A position whose token has come before attends, by `strength`, to the tokens that followed those
    earlier ones, each alike; the rest of its attention stays as the head has it, scaled. Positions
    of tokens that are new keep the head's own pattern. One pass. On exemplar-label sequences take
    `InductionHeads`.

    Attributes:
        heads: (layer, head) pairs.
        strength: Attention on those tokens, 0 to 1.
    """

    heads: Iterable[Head]
    strength: float | int = 1.0
    numbers: ClassVar[tuple[str, ...]] = ("strength",)
    what_is_held: ClassVar[tuple[str, ...]] = (ATTENTION_PATTERN,)

    def __post_init__(self) -> None:
        self._normalise(strength=fraction(self.strength, "strength", type(self).__name__))

    def _edit(self, batch: ClampedBatch) -> HeadsEdit:
        tokens = batch.input
        if not isinstance(tokens, Tensor) or tokens.ndim != 2:
            raise TypeError(
                f"{shown(self)} has to see tokens [batch, n_tokens]; got {type(tokens).__name__}"
            )
        followers = after_equal_tokens(tokens)
        n_followers = followers.sum(-1, keepdim=True)

        def edit(pattern: Tensor, heads: list[int]) -> Tensor:
            even = (followers / n_followers.clamp(min=1)).to(pattern.dtype)[:, None]
            held = self.strength * even + (1 - self.strength) * pattern
            held = torch.where(n_followers[:, None] > 0, held, pattern)
            return hold(pattern, held, heads)

        return edit


def after_equal_tokens(
    tokens: Int[Tensor, "batch n_tokens"],
) -> Bool[Tensor, "batch n_tokens n_tokens"]:
    """Which positions (columns) follow an earlier token equal to that of a position (rows)."""
    equal = tokens[:, :, None] == tokens[:, None, :]
    earlier = equal.tril(-1)  # [batch, position, earlier position]
    return torch.cat([torch.zeros_like(earlier[..., :1]), earlier[..., :-1]], dim=-1)
