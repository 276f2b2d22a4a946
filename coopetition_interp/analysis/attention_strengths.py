"""Where heads look: induction strength, previous-token strength, and attention by kind of token.

Everything is read from attention patterns (after the softmax), averaged over sequences. Clamps, if
given, are held while the patterns are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from coopetition_interp.analysis.right_label_places import with_right_label
from coopetition_interp.interventions import Clamps, bind, clamped
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, require_sequences

_CHUNK = 256  # sequences whose activations stay in the processor's cache

QUERY_TARGETS = ("right label", "other label", "right exemplar", "other exemplar", "query")
"""What the query can attend to: labels that are the right answer or not, the exemplars they belong
to, and the query itself."""


def induction_strength(
    model: ExemplarLabelTransformer, sequences: Sequences, clamps: Clamps = ()
) -> pd.DataFrame:
    """Mean attention delta of every head (thesis 4.3).

    The attention delta of a sequence is the query's attention to label tokens that carry the right
    label, minus that to label tokens that do not: 1 for a perfect induction head, 0 for uniform
    attention to two labels. The thesis measures it on training sequences, the paper on Flip.

    Args:
        model: The model.
        sequences: Sequences; those without the right label in context, where there is nothing to
            find, are left out.
        clamps: Clamps to hold.

    Returns:
        Columns `layer`, `head`, `strength`.

    Raises:
        ValueError: If no sequence has the right label in context, or the sequences or clamps do
            not fit the model.
    """
    sequences = with_right_label(sequences)
    return _by_head(_mean(pattern_chunks(model, sequences, clamps), _attention_delta), "strength")


def attention_deltas(
    model: ExemplarLabelTransformer, sequences: Sequences, clamps: Clamps = ()
) -> pd.DataFrame:
    """Attention delta of every head on every sequence (coopetition paper C.2).

    Args:
        model: The model.
        sequences: Sequences, all with the right label in context.
        clamps: Clamps to hold.

    Returns:
        Columns `sequence` (its place in `sequences`), `layer`, `head`, `delta`.

    Raises:
        ValueError: If a sequence lacks the right label in context, or see `induction_strength`.
    """
    if len(with_right_label(sequences)) < len(sequences):
        raise ValueError(
            "an attention delta needs the right label in context, which some sequences lack: "
            "leave them out"
        )
    deltas = torch.cat(
        [_attention_delta(p, part) for part, p in pattern_chunks(model, sequences, clamps)]
    )
    index = pd.MultiIndex.from_product(
        [range(size) for size in deltas.shape], names=["sequence", "layer", "head"]
    )
    return pd.DataFrame({"delta": deltas.flatten().cpu()}, index=index).reset_index()


def previous_token_strength(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    rows: Literal["label", "all"] = "label",
    clamps: Clamps = (),
) -> pd.DataFrame:
    """Mean attention of every head from tokens to their previous token (thesis 4.3.3, C.3).

    Args:
        model: The model.
        sequences: Sequences.
        rows: Attending tokens: context "label" tokens, whose previous token is their exemplar, or
            "all" but the first, which has none.
        clamps: Clamps to hold.

    Returns:
        Columns `layer`, `head`, `strength`: 1 for a perfect previous-token head.

    Raises:
        TypeError: They are no `Sequences`.
        ValueError: If `rows` is neither, or the sequences or clamps do not fit the model.
    """
    positions = _attending(sequences, rows)

    def previous(
        patterns: Float[Tensor, "batch layers heads n n"], part: Sequences
    ) -> Float[Tensor, "batch layers heads"]:
        return patterns.diagonal(-1, -2, -1)[..., positions].mean(-1)

    return _by_head(_mean(pattern_chunks(model, sequences, clamps), previous), "strength")


def head_strengths(
    model: ExemplarLabelTransformer, sequences: Sequences, clamps: Clamps = ()
) -> pd.DataFrame:
    """Induction strength and previous-token strength (of label tokens), from one run of the model.

    Returns:
        Columns `layer`, `head`, `induction_strength`, `previous_token_strength`.

    Raises:
        ValueError: See `induction_strength`.
    """
    sequences = with_right_label(sequences)
    rows = _attending(sequences, "label")

    def both(
        patterns: Float[Tensor, "batch layers heads n n"], part: Sequences
    ) -> Float[Tensor, "batch layers heads 2"]:
        previous = patterns.diagonal(-1, -2, -1)[..., rows].mean(-1)
        return torch.stack([_attention_delta(patterns, part), previous], dim=-1)

    means = _mean(pattern_chunks(model, sequences, clamps), both)
    table = _by_head(means[..., 0], "induction_strength")
    table["previous_token_strength"] = means[..., 1].flatten().tolist()
    return table


def query_attention(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    by: Literal["role", "position"] = "role",
    clamps: Clamps = (),
) -> pd.DataFrame:
    """Mean attention of every head from the query (coopetition paper 4.1).

    Args:
        model: The model.
        sequences: Sequences; `with_right_label_in` chooses those of one panel of the figures.
        by: Give attention to each of `QUERY_TARGETS` (summed over the tokens of that kind), or to
            each "position".
        clamps: Clamps to hold.

    Returns:
        Columns `layer`, `head`, `to` (one of `QUERY_TARGETS`, or a position from 0),
        `attention`; a head's attentions sum to 1.

    Raises:
        ValueError: If `by` is neither, or the sequences or clamps do not fit the model.
    """
    if by not in ("role", "position"):
        raise ValueError(f"by must be 'role' or 'position'; got {by!r}")

    def from_query(
        patterns: Float[Tensor, "batch layers heads n n"], part: Sequences
    ) -> Float[Tensor, "batch layers heads targets"]:
        row = patterns[..., -1, :]
        if by == "position":
            return row
        right = part.carries_right_label[:, None, None]
        exemplars, labels = row[..., 0:-1:2], row[..., 1::2]
        return torch.stack(
            [
                (labels * right).sum(-1),
                (labels * ~right).sum(-1),
                (exemplars * right).sum(-1),
                (exemplars * ~right).sum(-1),
                row[..., -1],
            ],
            dim=-1,
        )

    targets = list(QUERY_TARGETS) if by == "role" else list(range(sequences.n_tokens))
    means = _mean(pattern_chunks(model, sequences, clamps), from_query)
    return _tidy(means, {"to": targets})


def label_attention(
    model: ExemplarLabelTransformer, sequences: Sequences, clamps: Clamps = ()
) -> pd.DataFrame:
    """Mean attention of every head from label tokens to the previous token and to themselves.

    Returns:
        Columns `layer`, `head`, `position` (of the label token), `to` ("previous" or "itself"),
        `attention`.

    Raises:
        ValueError: If the sequences or clamps do not fit the model.
    """
    rows = sequences.label_positions

    def from_labels(
        patterns: Float[Tensor, "batch layers heads n n"], part: Sequences
    ) -> Float[Tensor, "batch layers heads labels 2"]:
        previous = patterns.diagonal(-1, -2, -1)[..., [row - 1 for row in rows]]
        itself = patterns.diagonal(0, -2, -1)[..., rows]
        return torch.stack([previous, itself], dim=-1)

    means = _mean(pattern_chunks(model, sequences, clamps), from_labels)
    return _tidy(means, {"position": rows, "to": ["previous", "itself"]})


def pattern_chunks(
    model: ExemplarLabelTransformer, sequences: Sequences, clamps: Clamps
) -> Iterator[tuple[Sequences, Float[Tensor, "batch layers heads n_tokens n_tokens"]]]:
    """Sequences, some at a time, with all heads' attention patterns. The unembedding is not run.

    Args:
        model: The model.
        sequences: Sequences of any kind.
        clamps: Clamps to hold.

    Yields:
        The next sequences, and their patterns.

    Raises:
        TypeError: They are no `Sequences`, or the model has no attention.
        ValueError: If there are no sequences, or they or the clamps do not fit the model.
    """
    require_sequences(sequences)
    if not isinstance(model, ExemplarLabelTransformer):
        raise TypeError(f"attention is measured in transformers; got a {type(model).__name__}")
    if len(sequences) == 0:
        raise ValueError("there are no sequences to average over")
    clamps = bind(clamps, model)
    layers = range(model.cfg.n_layers)
    for part in sequences.to(model.W_E.device).split(_CHUNK):
        recorded: dict[str, Tensor] = {}

        def record(pattern: Tensor, hook: HookPoint, into: dict[str, Tensor] = recorded) -> None:
            into[str(hook.name)] = pattern

        names = [f"blocks.{layer}.attn.hook_pattern" for layer in layers]
        with (
            torch.no_grad(),
            clamped(model, part, clamps),
            model.hooks(fwd_hooks=[(name, record) for name in names]),
        ):
            model(part, stop_at_layer=model.cfg.n_layers)
        yield part, torch.stack([recorded[name] for name in names], dim=1)


def _attending(sequences: Sequences, rows: str) -> list[int]:
    """Where on the diagonal below the main one the chosen rows are: row i at i - 1."""
    require_sequences(sequences)
    if rows == "label":
        return [position - 1 for position in sequences.label_positions]
    if rows == "all":
        return list(range(sequences.n_tokens - 1))
    raise ValueError(f"rows must be 'label' or 'all'; got {rows!r}")


def _attention_delta(
    patterns: Float[Tensor, "batch layers heads n n"], part: Sequences
) -> Float[Tensor, "batch layers heads"]:
    to_labels = patterns[..., -1, 1::2]
    sign = torch.where(part.carries_right_label, 1.0, -1.0).to(to_labels.dtype)
    return (to_labels * sign[:, None, None]).sum(-1)


def _mean(
    patterns: Iterator[tuple[Sequences, Tensor]], read: Callable[[Tensor, Sequences], Tensor]
) -> Tensor:
    """Mean over all sequences of what is read from the patterns of each."""
    sums, n = [], 0
    for part, chunk in patterns:
        sums.append(read(chunk, part).sum(0))
        n += len(part)
    return torch.stack(sums).sum(0) / n


def _by_head(values: Float[Tensor, "layers heads"], name: str) -> pd.DataFrame:
    return _tidy(values, {}).rename(columns={"attention": name})


def _tidy(values: Tensor, more_axes: dict[str, list]) -> pd.DataFrame:
    """One row per entry of [layers, heads, ...]."""
    axes: dict[str, list] = {
        "layer": list(range(values.shape[0])),
        "head": list(range(values.shape[1])),
        **more_axes,
    }
    index = pd.MultiIndex.from_product(list(axes.values()), names=list(axes))
    return pd.DataFrame({"attention": values.flatten().tolist()}, index=index).reset_index()
