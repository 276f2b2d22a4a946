"""A batch of token sequences with what is to be predicted where, its loss and its scores."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from coopetition_interp.training.task import RunModel


class TokenSequences(NamedTuple):
    """Token sequences and their targets.

    Attributes:
        tokens: What the model reads.
        targets: What it should predict at each position.
        scored: Where that counts.
    """

    tokens: Int[Tensor, "batch n_tokens"]
    targets: Int[Tensor, "batch n_tokens"]
    scored: Bool[Tensor, "batch n_tokens"]


def next_tokens(tokens: Int[Tensor, "batch n_tokens"]) -> TokenSequences:
    """Each token but the last predicts the one after it."""
    targets = torch.cat([tokens[:, 1:], tokens[:, :1]], dim=1)
    scored = torch.ones_like(tokens, dtype=torch.bool)
    scored[:, -1] = False
    return TokenSequences(tokens, targets, scored)


def masked_tokens(
    tokens: Int[Tensor, "batch n_tokens"],
    masked: Bool[Tensor, "batch n_tokens"],
    mask_token: int,
) -> TokenSequences:
    """Masked tokens are replaced by `mask_token` and predicted; the others are not."""
    return TokenSequences(tokens.masked_fill(masked, mask_token), tokens, masked)


def token_loss(run_model: RunModel, batch: TokenSequences) -> Float[Tensor, ""]:
    """Mean cross-entropy over the scored positions, in nats; 0 of a batch without any."""
    losses = _cross_entropy(run_model(batch.tokens), batch.targets)
    scored = batch.scored.to(losses.dtype)
    return (losses * scored).sum() / scored.sum().clamp(min=1)


def score_tokens(
    logits: Float[Tensor, "batch n_tokens d_vocab"], batch: TokenSequences
) -> dict[str, Float[Tensor, " scored"]]:
    """Each sequence's means over its scored positions: "loss" (nats), "accuracy", "p_right".

    Sequences without a scored position are left out.
    """
    has_scored = batch.scored.any(dim=1)
    logits, batch = logits[has_scored], TokenSequences(*(part[has_scored] for part in batch))
    losses = _cross_entropy(logits, batch.targets)
    scores = {
        "loss": losses,
        "accuracy": (logits.argmax(-1) == batch.targets).to(losses.dtype),
        "p_right": (-losses).exp(),
    }
    scored = batch.scored.to(losses.dtype)
    return {name: (s * scored).sum(1) / scored.sum(1) for name, s in scores.items()}


def _cross_entropy(
    logits: Float[Tensor, "batch n_tokens d_vocab"], targets: Int[Tensor, "batch n_tokens"]
) -> Float[Tensor, "batch n_tokens"]:
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
