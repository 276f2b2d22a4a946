"""Clamps that take something from a first pass of the same batch.

All two-pass clamps of a list share one first pass: the model without clamps, except for grafts
(which say whose weights the model has) and for `PerfectLayer0` (which says what its first pass is).
Gradients flow through both passes, so the first one trains too, as in the released code of the
papers; `detach=True` keeps it out of the gradient: the same values, but another thing learns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from coopetition_interp.interventions.claims import (
    ATTENTION_TEMPERATURE,
    BLOCK_INPUT,
    OUTPUT_LOGITS,
    Claim,
)
from coopetition_interp.interventions.clamp import (
    MASKED_SCORE,
    ClampedBatch,
    Edit,
    TwoPassClamp,
    hold,
)
from coopetition_interp.interventions.fields import integer, shown, softmax_temperature, truth
from coopetition_interp.interventions.heads import Head, as_head, by_layer, check_heads, check_layer
from coopetition_interp.interventions.heads_clamp import HeadsClamp


@dataclass(frozen=True)
class Preserve(TwoPassClamp):
    """Keeps what heads compute as it is without the other clamps (paper 4.1, 4.2; thesis C.3).

    Patterns, queries, keys or values are those of a first, unclamped pass. Other clamps then
    override: they set what they name whatever is preserved, in either order of the list. (A
    pattern is kept by its scores, so that clamps on scores have their say.)

    Two passes: gradients flow through both, see the module's docstring.

    Attributes:
        patterns: True for every layer, or the layers, kept as a sorted tuple; False for none.
        queries: As `patterns`. With rotary positions, queries before rotation.
        keys: As `patterns`. With rotary positions, keys before rotation.
        values: As `patterns`.
        detach: Keep the first pass out of the gradient.
    """

    patterns: bool | Sequence[int] = False
    queries: bool | Sequence[int] = False
    keys: bool | Sequence[int] = False
    values: bool | Sequence[int] = False
    detach: bool = False
    precedence: ClassVar[int] = 0

    def __post_init__(self) -> None:
        truth(self.detach, "detach", "Preserve")
        for name in _PRESERVED:
            object.__setattr__(self, name, _as_layers(getattr(self, name), name))
        if not any(getattr(self, name) is not False for name in _PRESERVED):
            raise ValueError(
                "Preserve() preserves nothing: give patterns, queries, keys or values "
                "True or a tuple of layers"
            )

    def check(self, cfg: HookedTransformerConfig) -> None:
        """Refuses layers that the model does not have."""
        for name in _PRESERVED:
            layers = getattr(self, name)
            for layer in () if isinstance(layers, bool) else layers:
                check_layer(layer, cfg, self)

    def first_pass_reads(self, cfg: HookedTransformerConfig) -> set[str]:
        """Everything that is preserved."""
        names = set()
        for what, point in _PRESERVED.items():
            layers = getattr(self, what)
            if isinstance(layers, bool):
                layers = range(cfg.n_layers) if layers else ()
            names |= {f"blocks.{layer}.attn.{point}" for layer in layers}
        return names

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """Each becomes what the first pass recorded."""
        for name in sorted(self.first_pass_reads(batch.cfg)):
            kept = batch.from_first_pass(name, self.detach)
            yield name, partial(_replace, by=kept)


def _replace(activation: Tensor, by: Tensor) -> Tensor:
    return by


_PRESERVED = {
    "patterns": "hook_attn_scores",
    "queries": "hook_q",
    "keys": "hook_k",
    "values": "hook_v",
}
"""What can be preserved, and at which hook point of a block's attention."""


def _as_layers(layers: object, name: str) -> bool | tuple[int, ...]:
    if isinstance(layers, bool):
        return layers
    if not isinstance(layers, Iterable) or isinstance(layers, str | bytes | bytearray | Mapping):
        raise ValueError(
            f"Preserve: {name} is True, False or a tuple of layers; got {shown(layers)}"
        )
    chosen = [integer(layer) for layer in layers]
    numbers = {layer for layer in chosen if layer is not None and layer >= 0}
    if not numbers or len(numbers) < len(set(chosen)):
        raise ValueError(f"Preserve: {name} names layers by number from 0 up; got {shown(layers)}")
    return tuple(sorted(numbers))


@dataclass(frozen=True)
class HeadTemperature(HeadsClamp, TwoPassClamp):
    """Sharpens or blurs heads: their scores in a first pass, divided (paper C.2).

    Block-previous-token and silence clamps on the same heads act on the divided scores, in either
    order of the list; a clamp on the heads' pattern overrides it.

    Two passes: gradients flow through both, see the module's docstring.

    Attributes:
        heads: (layer, head) pairs.
        temperature: From 1e-6 to 1e6; below 1 sharpens.
        detach: Keep the first pass out of the gradient.
    """

    heads: Iterable[Head]
    temperature: float | int
    detach: bool = False
    precedence: ClassVar[int] = 1
    numbers: ClassVar[tuple[str, ...]] = ("temperature",)
    what_is_held: ClassVar[tuple[str, ...]] = (ATTENTION_TEMPERATURE,)

    def __post_init__(self) -> None:
        truth(self.detach, "detach", "HeadTemperature")
        self._normalise(temperature=softmax_temperature(self.temperature, "HeadTemperature"))

    def first_pass_reads(self, cfg: HookedTransformerConfig) -> set[str]:
        """The scores of each block that holds any of the heads."""
        return {f"blocks.{layer}.attn.hook_attn_scores" for layer in by_layer(self.heads)}

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """The heads' scores become those of the first pass, divided."""
        for layer, heads in by_layer(self.heads).items():
            name = f"blocks.{layer}.attn.hook_attn_scores"
            divided = batch.from_first_pass(name, self.detach) / self.temperature
            yield name, partial(hold, value=divided, heads=heads)


@dataclass(frozen=True)
class CopyFromHead(TwoPassClamp):
    """Makes copying perfect (thesis C.5.2, "steps 3v, 5"): the output is one head's scores.

    The query's logit of each label in context is that head's attention score, in a first pass,
    from the query to the label's token; -1e9 for all other labels. A label that stands in context
    more than once gets the log-sum-exp of its tokens' scores, so the softmax over labels is the
    head's attention over label tokens.

    The scores are those of the first pass, so of the other clamps only grafts and `PerfectLayer0`,
    which shape that pass, change the output.

    Two passes: gradients flow through the first; with `detach=True` nothing is left to learn.

    Attributes:
        head: (layer, head).
        detach: Keep the first pass out of the gradient.
    """

    head: Head
    detach: bool = False

    def __post_init__(self) -> None:
        truth(self.detach, "detach", "CopyFromHead")
        object.__setattr__(self, "head", as_head(self.head, "CopyFromHead"))

    def check(self, cfg: HookedTransformerConfig) -> None:
        """Refuses a head that the model does not have."""
        check_heads([self.head], cfg, self)

    def claims(self, cfg: HookedTransformerConfig) -> set[Claim]:
        """Nothing else may set the output."""
        return {Claim(OUTPUT_LOGITS)}

    def first_pass_reads(self, cfg: HookedTransformerConfig) -> set[str]:
        """The scores of the head's block."""
        return {f"blocks.{self.head[0]}.attn.hook_attn_scores"}

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """The query's logits become the head's scores."""
        sequences = batch.labelled(self)
        (name,) = self.first_pass_reads(batch.cfg)
        scores = batch.from_first_pass(name, self.detach)[:, self.head[1], -1]  # [batch, n_tokens]
        label_scores = scores[:, 1::2]  # labels are tokens 1, 3, ...

        def edit(logits: Tensor) -> Tensor:
            query_logits = copied_logits(label_scores, sequences.context_labels, logits.shape[-1])
            return torch.cat([logits[:, :-1], query_logits[:, None]], dim=1)

        yield "unembed.hook_out", edit


def copied_logits(
    label_scores: Float[Tensor, "batch n_pairs"],
    context_labels: Int[Tensor, "batch n_pairs"],
    n_labels: int,
) -> Float[Tensor, "batch n_labels"]:
    """Each context label's score as its logit, -1e9 (in float16 the least there is) elsewhere."""
    same = context_labels[:, :, None] == context_labels[:, None, :]
    joint = torch.where(same, label_scores[:, None, :], -torch.inf).logsumexp(2)
    # A repeated label is written once per occurrence, always the same value; its gradient must
    # come back through one of them only.
    is_first = ~same.tril(-1).any(2)
    joint = torch.where(is_first, joint, joint.detach())
    masked = max(MASKED_SCORE, torch.finfo(joint.dtype).min)  # half precision ends before it
    logits = torch.full_like(joint[:, :1], masked).expand(-1, n_labels)
    return logits.scatter(1, context_labels, joint)


@dataclass(frozen=True)
class PerfectLayer0(TwoPassClamp):
    """Puts a perfect layer of previous-token heads before block 1 (thesis C.5.2, "steps 1, 2").

    In the first pass, block 1 reads the embeddings (positions included) with each token but the
    first and the last replaced by its predecessor's: A A 0 B A for A 0 B 1 A. Its attention is
    kept. In the second, block 1 attends so but reads the plain embeddings. Block 0 writes nothing
    that block 1 sees, and gets no gradient.

    That first pass is the one other two-pass clamps of the list take from: with `CopyFromHead`,
    the scores are of a head that matches on perfect previous-token information.

    Two passes: gradients flow through both; with `detach=True` queries and keys of block 1 do not
    learn.

    Attributes:
        detach: Keep the first pass out of the gradient.
    """

    detach: bool = False
    precedence: ClassVar[int] = 0

    def __post_init__(self) -> None:
        truth(self.detach, "detach", "PerfectLayer0")

    def check(self, cfg: HookedTransformerConfig) -> None:
        """Refuses a model without a block 1."""
        if cfg.n_layers < 2:
            raise ValueError("PerfectLayer0() is about what block 1 reads; the model has one block")

    def claims(self, cfg: HookedTransformerConfig) -> set[Claim]:
        """Nothing else may set what block 1 reads."""
        return {Claim(BLOCK_INPUT, 1)}

    def first_pass_reads(self, cfg: HookedTransformerConfig) -> set[str]:
        """The scores of block 1."""
        return {"blocks.1.attn.hook_attn_scores"}

    def first_pass_edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """Block 1 reads the embeddings of predecessors."""
        return _embeddings_into_block_1(predecessors_between_ends)

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """Block 1 reads the embeddings, attending as in the first pass."""
        scores = batch.from_first_pass("blocks.1.attn.hook_attn_scores", self.detach)
        yield from _embeddings_into_block_1(lambda embeddings: embeddings)
        yield "blocks.1.attn.hook_attn_scores", partial(_replace, by=scores)


def _embeddings_into_block_1(change: Callable[[Tensor], Tensor]) -> Iterator[Edit]:
    """What block 0 reads, changed, is what block 1 reads."""
    remembered: list[Tensor] = []

    def remember(residual: Tensor) -> Tensor:
        remembered[:] = [residual]
        return residual

    yield "blocks.0.hook_resid_pre", remember
    yield "blocks.1.hook_resid_pre", lambda _: change(remembered.pop())


def predecessors_between_ends(
    tokens: Float[Tensor, "batch n_tokens d_model"],
) -> Float[Tensor, "batch n_tokens d_model"]:
    """A A 0 B A for A 0 B 1 A: all but the first and the last token are their predecessors'."""
    return torch.cat([tokens[:, :1], tokens[:, :-2], tokens[:, -1:]], dim=1)
