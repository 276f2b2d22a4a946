"""Whole attention patterns, averaged over sequences by what each token is to the query.

A model is causal, so what the context tokens attend to cannot depend on which pair will turn out to
be the right one; what the query attends to does. So tokens keep their places, and the query has one
row for each place of the right pair, averaged over the sequences that have it there.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_uppercase

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from coopetition_interp.analysis.attention_strengths import pattern_chunks
from coopetition_interp.analysis.checkpoints import (
    checkpoint_models,
    clamps_at_checkpoints,
    one_table,
    spread_checkpoints,
)
from coopetition_interp.interventions import BoundClamps, Clamp
from coopetition_interp.interventions.heads import Head, as_heads, check_heads, layer_heads
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences
from coopetition_interp.training.run import Run


def pair_names(n_pairs: int) -> list[str]:
    """Context pairs in order: A, B, ...; numbers from 1 where letters do not suffice."""
    if n_pairs <= len(ascii_uppercase):
        return list(ascii_uppercase[:n_pairs])
    return [str(pair) for pair in range(1, n_pairs + 1)]


def token_names(n_pairs: int) -> list[str]:
    """Tokens in order: "exemplar A", "label A", "exemplar B", ..., "query"."""
    pairs = [f"{kind} {pair}" for pair in pair_names(n_pairs) for kind in ("exemplar", "label")]
    return [*pairs, "query"]


def query_row_names(n_pairs: int) -> list[str]:
    """The query's rows: "query (A right)", ..., "query (none right)"."""
    return [f"query ({pair} right)" for pair in [*pair_names(n_pairs), "none"]]


def mean_attention(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    heads: Iterable[Head] | None = None,
    clamps: Iterable[Clamp] | BoundClamps = (),
) -> pd.DataFrame:
    """Mean attention patterns of heads.

    Args:
        model: The model.
        sequences: Sequences of any kind.
        heads: (layer, head) pairs, from 0; None for all.
        clamps: Clamps to hold.

    Returns:
        Columns `layer`, `head`, `query` (the attending token), `key` (the token attended to, no
        later than `query`), `attention`; a row of a pattern sums to 1. Keys are `token_names`.
        Context tokens are averaged over all sequences. The query appears as `query_row_names`, each
        averaged over the sequences where that pair carries the right label ("none": where no pair
        does); those without a sequence are left out.

    Raises:
        ValueError: If there are no sequences, the model lacks a head, or the sequences or clamps do
            not fit it.
    """
    chosen = _chosen_heads(model, heads)
    layers, in_layer = zip(*chosen, strict=True)
    context, queries, counts = [], [], []
    for part, of_all in pattern_chunks(model, sequences, clamps):
        patterns = of_all[:, layers, in_layer]  # [batch, chosen head, query, key]
        groups = _by_right_pair(part).to(patterns.dtype)
        context.append(patterns[:, :, :-1].sum(0))
        queries.append(torch.einsum("bg,bhk->hgk", groups, patterns[:, :, -1]))
        counts.append(groups.sum(0))
    n_of_group = torch.stack(counts).sum(0)
    kept = n_of_group > 0
    means = torch.cat(
        [
            torch.stack(context).sum(0) / len(sequences),
            torch.stack(queries).sum(0)[:, kept] / n_of_group[kept, None],
        ],
        dim=1,
    )  # [chosen head, row, key]

    keys = token_names(sequences.n_pairs)
    query_rows = query_row_names(sequences.n_pairs)
    rows = keys[:-1] + [name for name, is_kept in zip(query_rows, kept, strict=True) if is_kept]
    entries = [
        (layer, head, query, key, attention)
        for (layer, head), pattern in zip(chosen, means.tolist(), strict=True)
        for position, (query, row) in enumerate(zip(rows, pattern, strict=True))
        for key, attention in zip(keys[: position + 1], row, strict=False)
    ]
    return pd.DataFrame(entries, columns=["layer", "head", "query", "key", "attention"])


def attention_over_checkpoints(
    run: Run,
    evaluator: str = "flip",
    heads: Iterable[Head] | None = None,
    n_checkpoints: int = 40,
    n_sequences: int = 256,
    clamps: Iterable[Clamp] = (),
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """`mean_attention` over the checkpoints of a run, on the sequences of one of its evaluators.

    Args:
        run: The run; the clamps it was trained with are held only if given here.
        evaluator: Whose sequences.
        heads: (layer, head) pairs, from 0; None for all.
        n_checkpoints: At most so many, evenly spread, the first and the last among them.
        n_sequences: The evaluator's first so many, or as many as it has.
        clamps: As for `evaluate_checkpoints`.
        device: Where the model runs.
        progress: Show a progress bar.

    Returns:
        Column `sequences_seen` and those of `mean_attention`.

    Raises:
        RunError: The run has no checkpoints.
        ValueError: It has no such evaluator, a number is below 1, a clamp's time has no checkpoint,
            or see `mean_attention`.
        FileNotFoundError: If a donor's checkpoint is not there.
    """
    for name, number in (("n_checkpoints", n_checkpoints), ("n_sequences", n_sequences)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1; got {number}")
    chosen = _chosen_heads(run.model("first", device), heads)
    bound = clamps_at_checkpoints(clamps, run, device)
    sequences = sequences_of(run, evaluator)[:n_sequences].to(device)
    models = checkpoint_models(run, spread_checkpoints(run, n_checkpoints), device, progress)
    return one_table(
        (seen, mean_attention(model, sequences, chosen, bound.at(seen))) for seen, model in models
    )


def sequences_of(run: Run, evaluator: str) -> Sequences:
    """The fixed sequences of one of a run's evaluators.

    Raises:
        ValueError: It has no such evaluator.
    """
    names = [each.name for each in run.config.evaluators]
    if evaluator not in names:  # before the features are loaded
        raise ValueError(
            f"{run.path} has no evaluator {evaluator!r}; it has {', '.join(names) or 'none'}"
        )
    return run.evaluation_sequences[evaluator]


def _chosen_heads(
    model: ExemplarLabelTransformer, heads: Iterable[Head] | None
) -> list[tuple[int, int]]:
    if heads is None:
        layers = range(model.cfg.n_layers)
        return [head for layer in layers for head in layer_heads(model.cfg, layer)]
    chosen = as_heads(heads, "attention patterns")
    check_heads(chosen, model.cfg, "attention patterns")
    return list(chosen)


def _by_right_pair(sequences: Sequences) -> Bool[Tensor, "batch n_groups"]:
    """Which sequences each of the query's rows is averaged over."""
    right = sequences.carries_right_label
    return torch.cat([right, ~right.any(1, keepdim=True)], dim=1)
