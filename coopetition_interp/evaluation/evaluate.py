"""Running a finished model, clamped or not, on evaluation sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from coopetition_interp.interventions import BoundClamps, Clamp, bind, run_clamped
from coopetition_interp.model import ExemplarLabelTransformer
from coopetition_interp.sequences import (
    Sequences,
    context_scores,
    context_scores_of_logits,
    score_sequences,
    summarise,
)

Metrics = Literal["all", "in_context"]

# Found by timing at 12,800 labels: logits of 256 sequences stay in cache; without logits larger
# chunks share the cost of calling the blocks.
_CHUNK_WITH_LOGITS = 256
_CHUNK_WITHOUT_LOGITS = 1000


def evaluate(
    model: ExemplarLabelTransformer,
    evaluation_sequences: Mapping[str, Sequences],
    clamps: Iterable[Clamp] | BoundClamps = (),
    chunk: int | None = None,
    metrics: Metrics = "all",
) -> pd.DataFrame:
    """Mean metrics of a model on each evaluator's sequences.

    Args:
        model: The model; hooks attached to it act.
        evaluation_sequences: Sequences by evaluator, from `make_evaluation_sequences`.
        clamps: Clamps to hold while evaluating.
        chunk: Sequences run at a time; None chooses.
        metrics: "all" of `METRICS`, or "in_context": those of `IN_CONTEXT_METRICS` alone, many
            times faster where there are many labels.

    Returns:
        One row per evaluator: "evaluator", the metrics, "n_sequences".

    Raises:
        ValueError: If `chunk` or `metrics` is not of the stated kind, or the sequences do not fit
            the model.
    """
    rows: list[dict[str, Any]] = []
    for name, sequences in evaluation_sequences.items():
        means = summarise(score_model(model, sequences, clamps, chunk, metrics))
        rows.append({"evaluator": name, **means, "n_sequences": len(sequences)})
    return pd.DataFrame(rows)


@torch.no_grad()
def score_model(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    clamps: Iterable[Clamp] | BoundClamps = (),
    chunk: int | None = None,
    metrics: Metrics = "all",
) -> dict[str, Float[Tensor, " n_sequences"]]:
    """Metrics of each sequence; arguments as of `evaluate`."""
    if metrics not in ("all", "in_context"):
        raise ValueError(f"metrics must be 'all' or 'in_context'; got {metrics!r}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1; got {chunk}")
    # Clamps and hooks on the unembedding act on logits, so those must then be formed.
    clamps = bind(clamps, model)
    if metrics == "in_context" and not clamps.clamps and not _is_hooked(model.unembed):
        score, chosen_chunk = _context_scorer(model), chunk or _CHUNK_WITHOUT_LOGITS
    else:
        score, chosen_chunk = _logit_scorer(model, clamps, metrics), chunk or _CHUNK_WITH_LOGITS
    device = model.W_exemplar.device
    parts = [score(part.to(device)) for part in sequences.split(chosen_chunk)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


Scorer = Callable[[Sequences], dict[str, Tensor]]


def _logit_scorer(model: ExemplarLabelTransformer, clamps: BoundClamps, metrics: Metrics) -> Scorer:
    to_scores = score_sequences if metrics == "all" else context_scores_of_logits
    return lambda part: to_scores(run_clamped(model, part, clamps), part)


def _context_scorer(model: ExemplarLabelTransformer) -> Scorer:
    # One copy with each label's column contiguous: the columns are then gathered as rows.
    W_U = model.W_U.T.contiguous().T

    def score(part: Sequences) -> dict[str, Tensor]:
        query = model(part, stop_at_layer=model.cfg.n_layers)[:, -1:]
        if model.cfg.normalization_type is not None:
            query = model.ln_final(query)
        return context_scores(query[:, 0], W_U, model.b_U, part)

    return score


def _is_hooked(module: nn.Module) -> bool:
    return any(bool(m.fwd_hooks) for m in module.modules() if isinstance(m, HookPoint))
