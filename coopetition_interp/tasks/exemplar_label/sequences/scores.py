"""Metrics of each sequence from the logits at its query.

Everything here is a pure function of tensors with static shapes, so it can be vmapped over models
and compiled.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from coopetition_interp.tasks.exemplar_label.sequences.sequences import Sequences

METRICS = (
    "loss",
    "accuracy",
    "in_context_accuracy",
    "p_right",
    "p_right_in_context",
    "p_context",
)
"""What `score_sequences` gives where a class owns one label, in this order."""

IN_CONTEXT_METRICS = ("in_context_accuracy", "p_right_in_context")
"""What `context_scores` gives."""


def score_sequences(
    query_logits: Float[Tensor, "batch n_labels"], sequences: Sequences, labels_per_class: int = 1
) -> dict[str, Float[Tensor, " batch"]]:
    """Metrics of each sequence (paper section 2.2).

    Args:
        query_logits: Logits at the query. Up to a few hundred sequences at a time stay in the
            processor's cache, which with many labels halves the time.
        sequences: The sequences that gave them.
        labels_per_class: How many neighbouring labels a class owns.

    Returns:
        By name, one number per sequence:
        "loss": cross-entropy of the right label, in nats;
        "accuracy": whether the right label has the highest logit of all labels (0 or 1);
        "in_context_accuracy": whether it has the highest logit of the labels in context; NaN if it
        is not among them (the IWL evaluator), where the question makes no sense;
        "p_right": probability of the right label;
        "p_right_in_context": the same, of the labels in context alone; NaN as above;
        "p_context": total probability of the labels in context, each counted once;
        with several labels per class also "class_accuracy": whether the highest logit of all is
        that of any label of the right label's class.

    Raises:
        ValueError: If logits and sequences differ in number.
    """
    _check_same_number(query_logits, sequences)
    right = sequences.right_labels
    top_logit, top_label = query_logits.max(dim=-1)
    total = (query_logits - top_logit[:, None]).exp_().sum(dim=-1)
    log_normaliser = total.log() + top_logit
    right_log_p = query_logits.gather(1, right[:, None])[:, 0] - log_normaliser
    context_log_p = query_logits.gather(1, sequences.context_labels) - log_normaliser[:, None]
    in_context = _scores_in_context(context_log_p, sequences)
    p_context = context_log_p.exp() * _first_of_its_label(sequences)
    scores = {
        "loss": -right_log_p,
        "accuracy": (top_label == right).to(query_logits.dtype),
        "in_context_accuracy": in_context["in_context_accuracy"],
        "p_right": right_log_p.exp(),
        "p_right_in_context": in_context["p_right_in_context"],
        "p_context": p_context.sum(dim=-1),
    }
    if labels_per_class > 1:
        same_class = top_label // labels_per_class == right // labels_per_class
        scores["class_accuracy"] = same_class.to(query_logits.dtype)
    return scores


def context_scores(
    normalised_query: Float[Tensor, "batch d_model"],
    W_U: Float[Tensor, "d_model n_labels"],
    b_U: Float[Tensor, " n_labels"],
    sequences: Sequences,
) -> dict[str, Float[Tensor, " batch"]]:
    """`IN_CONTEXT_METRICS` alone, from the logits of the labels in context and no others.

    Args:
        normalised_query: Residual stream at the query, after the final LayerNorm.
        W_U: The unembedding. Fastest if each label's column is contiguous in memory (`W_U.T` is a
            contiguous tensor).
        b_U: Its bias.
        sequences: The sequences.

    Returns:
        "in_context_accuracy" and "p_right_in_context" as in `score_sequences`.

    Raises:
        ValueError: If residuals and sequences differ in number.
    """
    _check_same_number(normalised_query, sequences)
    columns = W_U.mT[sequences.context_labels]  # [batch, n_pairs, d_model]
    logits = torch.einsum("bpd,bd->bp", columns, normalised_query)
    return _scores_in_context(logits + b_U[sequences.context_labels], sequences)


def context_scores_of_logits(
    query_logits: Float[Tensor, "batch n_labels"], sequences: Sequences
) -> dict[str, Float[Tensor, " batch"]]:
    """`IN_CONTEXT_METRICS` alone, where the logits of all labels are at hand."""
    _check_same_number(query_logits, sequences)
    return _scores_in_context(query_logits.gather(1, sequences.context_labels), sequences)


def summarise(scores: Mapping[str, Float[Tensor, " n_sequences"]]) -> dict[str, float]:
    """The mean of each metric over sequences, those where it is NaN left out.

    A metric that makes no sense for any sequence is NaN. A loss that is NaN or infinite because
    the logits are is not hidden: only in-context metrics leave sequences out.
    """
    return {
        name: float(values.nanmean() if name in IN_CONTEXT_METRICS else values.mean())
        for name, values in scores.items()
    }


def _scores_in_context(
    context_logits: Float[Tensor, "batch n_pairs"], sequences: Sequences
) -> dict[str, Float[Tensor, " batch"]]:
    """The one place where logits are restricted to the labels in context.

    Args:
        context_logits: Logit of each pair's label; a constant added to all of a sequence's makes
            no difference.
        sequences: The sequences.
    """
    context_labels, right = sequences.context_labels, sequences.right_labels[:, None]
    masked = context_logits.masked_fill(~_first_of_its_label(sequences), float("-inf"))
    top_label = context_labels.gather(1, masked.argmax(dim=-1, keepdim=True))
    is_right = sequences.carries_right_label
    p_right = (masked.softmax(dim=-1) * is_right).sum(dim=-1)
    meaningless = ~is_right.any(dim=-1)
    accuracy = (top_label == right)[:, 0].to(context_logits.dtype)
    return {
        "in_context_accuracy": accuracy.masked_fill(meaningless, float("nan")),
        "p_right_in_context": p_right.masked_fill(meaningless, float("nan")),
    }


def _first_of_its_label(sequences: Sequences) -> Bool[Tensor, "batch n_pairs"]:
    """Which context pairs are the first to carry their label: each label in context, once."""
    labels = sequences.context_labels
    same = labels[:, :, None] == labels[:, None, :]  # [batch, pair, other pair]
    return ~same.tril(diagonal=-1).any(dim=-1)


def _check_same_number(given: Tensor, sequences: Sequences) -> None:
    if given.shape[0] != len(sequences):
        raise ValueError(
            f"{given.shape[0]} queries were given for {len(sequences)} sequences: score the batch "
            "that the model was run on"
        )
