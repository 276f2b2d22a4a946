"""Clamps on where heads look: their attention scores and patterns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from coopetition_interp.interventions.claims import ATTENTION_PATTERN, PREVIOUS_TOKEN_ATTENTION
from coopetition_interp.interventions.clamp import MASKED_SCORE, ClampedBatch, hold
from coopetition_interp.interventions.fields import fraction, softmax_temperature, truth
from coopetition_interp.interventions.heads import Head
from coopetition_interp.interventions.heads_clamp import HeadsClamp, HeadsEdit


@dataclass(frozen=True)
class PreviousTokenHeads(HeadsClamp):
    """Holds heads as perfect previous-token heads (thesis 4.4.2 and C.5.2, "step 1").

    Row i of the pattern is `strength` on token i - 1 and 1 - `strength` on token i itself; row 0
    has only itself to attend to. One pass; queries and keys of these heads get no gradient from
    the rows that are held, values do.

    Attributes:
        heads: (layer, head) pairs.
        strength: Attention on the previous token, 0 to 1.
        label_rows_only: Hold only the rows of label tokens and leave the others to the head.
            Needs `Sequences`.
    """

    heads: Iterable[Head]
    strength: float | int = 1.0
    label_rows_only: bool = False
    numbers: ClassVar[tuple[str, ...]] = ("strength",)
    what_is_held: ClassVar[tuple[str, ...]] = (ATTENTION_PATTERN, PREVIOUS_TOKEN_ATTENTION)

    def __post_init__(self) -> None:
        name = type(self).__name__
        truth(self.label_rows_only, "label_rows_only", name)
        self._normalise(strength=fraction(self.strength, "strength", name))

    def _edit(self, batch: ClampedBatch) -> HeadsEdit:
        rows = batch.labelled(self).label_positions if self.label_rows_only else None

        def edit(pattern: Tensor, heads: list[int]) -> Tensor:
            held = previous_token_pattern(self.strength, pattern)
            return hold(pattern, held, heads, rows)

        return edit


@dataclass(frozen=True)
class BlockPreviousToken(HeadsClamp):
    """Forbids heads to attend to the previous token (coopetition paper E.1).

    The score of (i, i - 1) is -1e9 before the softmax, so the head spreads its attention over the
    other tokens. One pass.

    Attributes:
        heads: (layer, head) pairs.
        label_rows_only: Forbid it only to label tokens, as the paper does. Needs `Sequences`.
    """

    heads: Iterable[Head]
    label_rows_only: bool = False
    hook_point: ClassVar[str] = "hook_attn_scores"
    what_is_held: ClassVar[tuple[str, ...]] = (PREVIOUS_TOKEN_ATTENTION,)

    def __post_init__(self) -> None:
        truth(self.label_rows_only, "label_rows_only", type(self).__name__)
        self._normalise()

    def _edit(self, batch: ClampedBatch) -> HeadsEdit:
        rows = batch.labelled(self).label_positions if self.label_rows_only else None

        def edit(scores: Tensor, heads: list[int]) -> Tensor:
            n_tokens = scores.shape[-1]
            ones = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=scores.device)
            previous = ones.tril(-1) & ones.triu(-1)
            return hold(scores, torch.where(previous, MASKED_SCORE, scores), heads, rows)

        return edit


@dataclass(frozen=True)
class SelfAttentionHeads(HeadsClamp):
    """Holds heads to the token itself: no other token is seen (sibling of `BlockPreviousToken`).

    Row i of the pattern is 1 on token i and 0 elsewhere, so the head moves nothing between tokens
    and writes a function of the token it stands at. One pass; queries and keys of these heads get
    no gradient from the rows that are held, values do.

    Attributes:
        heads: (layer, head) pairs.
        label_rows_only: Hold only the rows of label tokens and leave the others to the head.
            Needs `Sequences`.
    """

    heads: Iterable[Head]
    label_rows_only: bool = False
    what_is_held: ClassVar[tuple[str, ...]] = (ATTENTION_PATTERN, PREVIOUS_TOKEN_ATTENTION)

    def __post_init__(self) -> None:
        truth(self.label_rows_only, "label_rows_only", type(self).__name__)
        self._normalise()

    def _edit(self, batch: ClampedBatch) -> HeadsEdit:
        rows = batch.labelled(self).label_positions if self.label_rows_only else None

        def edit(pattern: Tensor, heads: list[int]) -> Tensor:
            itself = torch.eye(pattern.shape[-1], dtype=pattern.dtype, device=pattern.device)
            return hold(pattern, itself, heads, rows)

        return edit


@dataclass(frozen=True)
class InductionHeads(HeadsClamp):
    """Holds heads as perfect induction heads (thesis 4.4.2 and C.5.2, "match"; paper 4.1).

    The query's row of the pattern is `strength` on the correct label token, 1 - `strength` on the
    other, 0 elsewhere: an attention delta of 2 * `strength` - 1. Other rows are the head's own.
    One pass.

    With more than two pairs, `strength` is shared equally by the label tokens that carry the right
    label, and the rest equally by those that do not. Where all or none of them carry it (as on the
    iwl evaluator) there is nothing to prefer, and attention is uniform over label tokens.

    Attributes:
        heads: (layer, head) pairs.
        strength: Attention on the correct label, 0 to 1.
    """

    heads: Iterable[Head]
    strength: float | int = 1.0
    numbers: ClassVar[tuple[str, ...]] = ("strength",)
    what_is_held: ClassVar[tuple[str, ...]] = (ATTENTION_PATTERN,)

    def __post_init__(self) -> None:
        self._normalise(strength=fraction(self.strength, "strength", type(self).__name__))

    def _edit(self, batch: ClampedBatch) -> HeadsEdit:
        sequences = batch.labelled(self)
        right = sequences.carries_right_label  # [batch, n_pairs]
        n_right = right.sum(1, keepdim=True)
        n_wrong = sequences.n_pairs - n_right
        undecided = (n_right == 0) | (n_wrong == 0)

        def edit(pattern: Tensor, heads: list[int]) -> Tensor:
            shares = torch.where(
                right,
                self.strength / n_right.to(pattern.dtype).clamp(min=1),
                (1 - self.strength) / n_wrong.to(pattern.dtype).clamp(min=1),
            )
            shares = torch.where(undecided, 1 / sequences.n_pairs, shares)
            held = label_token_row(shares)
            return hold(pattern, held[:, None, None], heads, [sequences.query_position])

        return edit


@dataclass(frozen=True)
class MatchHeads(HeadsClamp):
    """Holds heads as matchers of raw inputs: attention by likeness of exemplars.

    The query's row of the pattern is the softmax, at `temperature`, of the cosine similarities of
    the query's and each context exemplar's INPUT features, put on those exemplars' label tokens;
    temperature 0 puts all attention on the most similar (the first of equals). Other rows are the
    head's own. One pass. Nothing of it is learned, so unlike `InductionHeads` it also errs where
    likeness misleads.

    Attributes:
        heads: (layer, head) pairs.
        temperature: Of the softmax: 0, or from 1e-6 to 1e6.
    """

    heads: Iterable[Head]
    temperature: float | int = 0.0
    what_is_held: ClassVar[tuple[str, ...]] = (ATTENTION_PATTERN,)

    def __post_init__(self) -> None:
        name = type(self).__name__
        self._normalise(temperature=softmax_temperature(self.temperature, name, zero=True))

    def _edit(self, batch: ClampedBatch) -> HeadsEdit:
        sequences = batch.labelled(self)

        def edit(pattern: Tensor, heads: list[int]) -> Tensor:
            features = F.normalize(sequences.exemplars.to(pattern.dtype), dim=-1)
            similarity = (features[:, :-1] * features[:, -1:]).sum(-1)  # [batch, n_pairs]
            if self.temperature == 0:
                best = similarity.argmax(1, keepdim=True)
                pairs = torch.arange(sequences.n_pairs, device=pattern.device)
                shares = (pairs == best).to(pattern.dtype)
            else:
                shares = (similarity / self.temperature).softmax(1)
            held = label_token_row(shares)
            return hold(pattern, held[:, None, None], heads, [sequences.query_position])

        return edit


@dataclass(frozen=True)
class SilenceExemplarAttention(HeadsClamp):
    """Lets the query attend to label tokens only (coopetition paper C.2).

    In the query's row, scores on exemplar tokens, the query itself included, are -1e9. The paper
    does this to the last layer's heads. One pass.

    Attributes:
        heads: (layer, head) pairs.
    """

    heads: Iterable[Head]
    hook_point: ClassVar[str] = "hook_attn_scores"

    def _edit(self, batch: ClampedBatch) -> HeadsEdit:
        sequences = batch.labelled(self)
        query, exemplars = [sequences.query_position], sequences.exemplar_positions

        def edit(scores: Tensor, heads: list[int]) -> Tensor:
            return hold(scores, MASKED_SCORE, heads, query, exemplars)

        return edit


def previous_token_pattern(
    strength: float | Float[Tensor, ""], like: Float[Tensor, "... n_tokens n_tokens"]
) -> Float[Tensor, "n_tokens n_tokens"]:
    """The pattern of a previous-token head, on the device and in the dtype of `like`."""
    n_tokens = like.shape[-1]
    itself = torch.eye(n_tokens, dtype=like.dtype, device=like.device)
    previous = F.pad(itself[:-1], (0, 0, 1, 0))  # row 0 has none
    return strength * previous + torch.cat([itself[:1], (1 - strength) * itself[1:]])


def label_token_row(
    shares: Float[Tensor, "batch n_pairs"],
) -> Float[Tensor, "batch n_tokens"]:
    """The query's row of a pattern that gives each pair's label token its share."""
    pairs = torch.stack([torch.zeros_like(shares), shares], dim=2).flatten(1)
    return F.pad(pairs, (0, 1))  # the query's own place
