"""Non-additivity: by how much heads together do other than the sum of what each does.

The coopetition paper (appendix C.2) infers "non-additive interactions" between heads from a
temperature sweep. This measures them, per sequence, by ablation:

    effect(S)                 metric with the heads S ablated - metric of the intact model
    non-additivity of a layer effect(all its heads) - sum over heads of effect({head})
    of a pair                 effect({i, j}) - effect({i}) - effect({j})

Signs are those of the metric. Where higher is better (all but "loss"), ablations that hurt have
negative effects, and a NEGATIVE non-additivity says that heads together are missed more than
separately: they stand in for each other. A POSITIVE one says that they are missed less: each
already needs the other, or there is no further to fall. For "loss" it is the other way round.

Which metric matters. Probabilities are a curved function of logits, so they are non-additive even
where heads' contributions to the logits add up exactly. "logit_difference" has no such curve: for
the last layer without an MLP only the final LayerNorm's scale, which all heads share, can make it
non-additive, and without LayerNorm it is additive exactly. Heads of earlier layers also interact
through the layers after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from coopetition_interp.analysis.bootstrap import bootstrap_interval
from coopetition_interp.interventions import AblateHeads, Clamp, run_clamped
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import IN_CONTEXT_METRICS, METRICS, Sequences

LOGIT_DIFFERENCE = "logit_difference"
"""Logit of the right label minus the mean logit of the context's other label tokens."""

_CHUNK = 2500  # as where the scorer forms no logits


def logit_difference(
    model: ExemplarLabelTransformer, sequences: Sequences, clamps: Iterable[Clamp] = ()
) -> Float[Tensor, " n_sequences"]:
    """`LOGIT_DIFFERENCE` of each sequence, from the logits of context labels and no others.

    Args:
        model: The model.
        sequences: Sequences.
        clamps: Held meanwhile; clamps on the unembedding have no say.

    Returns:
        In logits; NaN where the right label, or any other, is not in context.
    """
    parts = []
    with torch.no_grad():
        for part in sequences.to(model.W_E.device).split(_CHUNK):
            query = run_clamped(model, part, clamps, return_type="normalised_query")
            right = part.carries_right_label  # [batch, n_pairs]
            columns = model.W_U.mT[part.context_labels]  # [batch, n_pairs, d_model]
            logits = torch.einsum("bpm,bm->bp", columns, query) + model.b_U[part.context_labels]
            to_right = (logits * right).sum(1) / right.sum(1)  # 0 / 0 is NaN
            to_others = (logits * ~right).sum(1) / (~right).sum(1)
            parts.append(to_right - to_others)
    return torch.cat(parts)


def ablation_effects(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    sets: Iterable[Iterable[int]],
    layer: int | None = None,
    metrics: Sequence[str] = (LOGIT_DIFFERENCE,),
) -> dict[str, Float64[np.ndarray, "n_sets n_sequences"]]:
    """What ablating sets of a layer's heads does to each sequence: ablated minus intact.

    Args:
        model: The model.
        sequences: What it is scored on, once per set and once intact.
        sets: Sets of head numbers.
        layer: Which layer's heads; None for the last.
        metrics: Of `LOGIT_DIFFERENCE` and `METRICS`. Those of `IN_CONTEXT_METRICS` cost less than
            the others, `LOGIT_DIFFERENCE` least.

    Raises:
        ValueError: If a metric is unknown or makes no sense for some sequence, or a head or the
            layer is not in the model.
    """
    layer = model.cfg.n_layers - 1 if layer is None else layer
    unknown = set(metrics) - {LOGIT_DIFFERENCE, *METRICS}
    if unknown or not metrics:
        raise ValueError(
            f"metrics are of {', '.join((LOGIT_DIFFERENCE, *METRICS))}; got {list(metrics)}"
        )
    intact = _measured(model, sequences, [], metrics)
    effects: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for heads in sets:
        ablated = AblateHeads([(layer, head) for head in heads])
        for name, values in _measured(model, sequences, [ablated], metrics).items():
            effects[name].append(values - intact[name])
    return {name: np.array(rows).reshape(-1, len(sequences)) for name, rows in effects.items()}


def non_additivity_by_sequence(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    layer: int | None = None,
    metrics: Sequence[str] = (LOGIT_DIFFERENCE,),
) -> pd.DataFrame:
    """Non-additivity of a layer's heads on each sequence.

    Args:
        model: The model.
        sequences: What it is scored on, n_heads + 2 times.
        layer: Which layer's heads; None for the last.
        metrics: As for `ablation_effects`.

    Returns:
        Columns `metric`, `sequence` (its place in `sequences`), `layer`, `joint_effect` (of
        ablating all heads), `sum_of_effects` (of ablating each), `non_additivity` (their
        difference; for its sign see the module).

    Raises:
        ValueError: See `ablation_effects`.
    """
    layer = model.cfg.n_layers - 1 if layer is None else layer
    heads = range(model.cfg.n_heads)
    sets = [tuple(heads), *((head,) for head in heads)]
    tables = []
    for name, effects in ablation_effects(model, sequences, sets, layer, metrics).items():
        columns = {"joint_effect": effects[0], "sum_of_effects": effects[1:].sum(0)}
        table = pd.DataFrame(columns).rename_axis("sequence").reset_index()
        table.insert(0, "metric", name)
        table.insert(2, "layer", layer)
        table["non_additivity"] = table.joint_effect - table.sum_of_effects
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def non_additivity(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    layer: int | None = None,
    metrics: Sequence[str] = (LOGIT_DIFFERENCE, "p_right_in_context"),
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean non-additivity of a layer's heads, with a bootstrap interval over sequences.

    Args:
        model: The model.
        sequences: As for `non_additivity_by_sequence`.
        layer: Which layer's heads; None for the last.
        metrics: As for `ablation_effects`.
        level: Of the interval, between 0 and 1.
        n_resamples: Bootstrap resamples.
        seed: Of the resampling.

    Returns:
        A row per metric: `layer`, `metric`, `joint_effect`, `sum_of_effects`, `non_additivity`
        (means over sequences; signs: see the module), `low` and `high` of `non_additivity`.

    Raises:
        ValueError: See `ablation_effects` and `bootstrap_interval`.
    """
    table = non_additivity_by_sequence(model, sequences, layer, metrics)
    rows = []
    for name, part in table.groupby("metric", sort=False):
        means = part[["joint_effect", "sum_of_effects", "non_additivity"]].mean()
        values = part["non_additivity"].to_numpy()[None]
        (interval,) = bootstrap_interval(values, np.random.default_rng(seed), level, n_resamples)
        rows.append(
            {
                "layer": part["layer"].iloc[0],
                "metric": name,
                **means,
                "low": interval[0],
                "high": interval[1],
            }
        )
    return pd.DataFrame(rows)


def pairwise_non_additivity(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    layer: int | None = None,
    metrics: Sequence[str] = (LOGIT_DIFFERENCE,),
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean non-additivity of each pair of a layer's heads, with bootstrap intervals.

    Args:
        model: The model.
        sequences: What it is scored on, once per pair, once per head and once intact.
        layer: Which layer's heads; None for the last.
        metrics: As for `ablation_effects`.
        level: Of each pair's interval; with many pairs, some intervals miss 0 by chance.
        n_resamples: Bootstrap resamples, the same for all pairs.
        seed: Of the resampling.

    Returns:
        A row per metric and pair: `layer`, `metric`, `head` and `other_head` (the larger number),
        and the columns of `non_additivity`.

    Raises:
        ValueError: If a block has one head; or see `ablation_effects`, `bootstrap_interval`.
    """
    layer = model.cfg.n_layers - 1 if layer is None else layer
    heads = range(model.cfg.n_heads)
    pairs = list(combinations(heads, 2))
    if not pairs:
        raise ValueError("blocks have one head each: there are no pairs of heads")
    sets = [*((head,) for head in heads), *pairs]
    tables = []
    for name, effects in ablation_effects(model, sequences, sets, layer, metrics).items():
        single, joint = effects[: len(heads)], effects[len(heads) :]
        summed = np.array([single[i] + single[j] for i, j in pairs])
        beyond = joint - summed
        intervals = bootstrap_interval(beyond, np.random.default_rng(seed), level, n_resamples)
        table = pd.DataFrame(pairs, columns=["head", "other_head"])
        table.insert(0, "layer", layer)
        table.insert(1, "metric", name)
        table["joint_effect"] = joint.mean(1)
        table["sum_of_effects"] = summed.mean(1)
        table["non_additivity"] = beyond.mean(1)
        table["low"], table["high"] = intervals.T
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _measured(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    clamps: list[Clamp],
    metrics: Sequence[str],
) -> dict[str, Float64[np.ndarray, " n_sequences"]]:
    """Metrics of each sequence, computed no more expensively than they need."""
    measured: dict[str, Tensor] = {}
    if LOGIT_DIFFERENCE in metrics:
        measured[LOGIT_DIFFERENCE] = logit_difference(model, sequences, clamps)
    scored = set(metrics) - {LOGIT_DIFFERENCE}
    if scored:
        in_context = scored <= set(IN_CONTEXT_METRICS)
        measured |= score_model(
            model, sequences, clamps, metrics="in_context" if in_context else "all"
        )
    values = {name: measured[name].double().cpu().numpy() for name in metrics}
    for name, of_sequences in values.items():
        if not np.isfinite(of_sequences).all():
            raise ValueError(
                f"{name} is not a finite number for some sequences, as where the right label is "
                "not in context: leave these out or choose another metric"
            )
    return values
