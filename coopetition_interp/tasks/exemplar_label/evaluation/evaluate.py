"""Running a finished model, clamped or not, on evaluation sequences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from coopetition_interp.interventions import BoundClamps, Clamp
from coopetition_interp.tasks.exemplar_label.evaluation.scorer import Metrics, Scorer
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelModel
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, summarise


def evaluate(
    model: ExemplarLabelModel,
    evaluation_sequences: Mapping[str, Sequences],
    clamps: Iterable[Clamp] | BoundClamps = (),
    chunk: int | None = None,
    metrics: Metrics = "all",
    labels_per_class: int = 1,
) -> pd.DataFrame:
    """Mean metrics of a model on each evaluator's sequences.

    Args:
        model: The model; hooks attached to it act.
        evaluation_sequences: Sequences by evaluator, from `make_evaluation_sequences`.
        clamps: Clamps to hold while evaluating.
        chunk: Sequences run at a time; None chooses.
        metrics: "all" of `METRICS`; "in_context": those of `IN_CONTEXT_METRICS` alone, many times
            faster where there are many labels; or functions of your own, from logits at the query
            [batch, n_labels] and sequences to a number each [batch], named by their `__name__`.
        labels_per_class: How many labels a class owns (`sequences.n_labels_per_class` of a run);
            with several, "class_accuracy" is among all metrics.

    Returns:
        One row per evaluator: "evaluator", the metrics, "n_sequences".

    Raises:
        TypeError: They are no `Sequences` by name.
        ValueError: If `chunk` or `metrics` is not of the stated kind, or the sequences do not fit
            the model.
    """
    scorer = Scorer(model, clamps, metrics, chunk=chunk, labels_per_class=labels_per_class)
    return evaluate_with(scorer, evaluation_sequences)


def evaluate_with(scorer: Scorer, evaluation_sequences: Mapping[str, Sequences]) -> pd.DataFrame:
    """`evaluate`, with a scorer made once for many evaluations of a model as it changes."""
    if not isinstance(evaluation_sequences, Mapping):
        raise TypeError(
            "sequences are given by their evaluators' names, as {'icl': sequences}; got "
            f"{type(evaluation_sequences).__name__}"
        )
    rows: list[dict[str, Any]] = []
    W_U = scorer.unembedding_by_label()
    for name, sequences in evaluation_sequences.items():
        means = summarise(scorer(sequences, W_U))
        rows.append({"evaluator": name, **means, "n_sequences": len(sequences)})
    return pd.DataFrame(rows)


def score_model(
    model: ExemplarLabelModel,
    sequences: Sequences,
    clamps: Iterable[Clamp] | BoundClamps = (),
    chunk: int | None = None,
    metrics: Metrics = "all",
    labels_per_class: int = 1,
) -> dict[str, Float[Tensor, " n_sequences"]]:
    """Metrics of each sequence; arguments as of `evaluate`."""
    scorer = Scorer(model, clamps, metrics, chunk=chunk, labels_per_class=labels_per_class)
    return scorer(sequences)
