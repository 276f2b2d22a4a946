"""Skip-trigram copying: one head alone, its attention swept from the wrong label to the right one.

Coopetition paper, section 4.1: if a head copies the labels it attends to,
"... [label] ... [query] -> [label]", then in-context accuracy on CIWL sequences rises with its
attention delta, from about 0 at -1 to about 1 at +1. The paper takes "the output of a single head
after our clamp" and feeds it "through the rest of the network" (its footnote 3), so here

- every other head is ablated, in all layers: layer 0 too loses its direct path to the output,
- the token embedding is ablated,
- patterns and values are preserved from an unablated pass: what the head copies is made from the
  inputs it had, layer 0's part in them included,
- the query's row of the head's pattern is clamped to the attention delta.

What reaches the final LayerNorm at the query is then the head's output, that is
(1 + delta) / 2 of what it writes for the right label token and (1 - delta) / 2 of what it writes
for the other, plus what is the same for all sequences: a learned or sinusoidal position vector, and
in blocks with MLPs what these make of all that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
from scipy.stats import spearmanr

from coopetition_interp.interventions import (
    AblateEmbedding,
    AblateHeads,
    Clamp,
    InductionHeads,
    Preserve,
    layer_heads,
)
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import (
    Sequences,
    require_sequences,
    summarise,
)

DELTAS = tuple(step / 5 for step in range(-5, 6))
"""Attention deltas from -1 to 1 in 11 steps."""


def only_writer(
    model: ExemplarLabelTransformer,
    layer: int,
    head: int,
    delta: float | int | None = None,
    earlier_heads: bool = False,
) -> list[Clamp]:
    """Clamps under which what one head writes is all that reaches the output (see the module).

    Args:
        model: The model.
        layer: The head's layer.
        head: The head.
        delta: Attention from the query to the right label minus attention to the other, -1 to 1;
            None to leave the head its own pattern.
        earlier_heads: Leave earlier layers' direct paths to the output in place.

    Raises:
        ValueError: If `delta` is out of range.
    """
    if delta is not None and not -1 <= delta <= 1:
        raise ValueError(f"an attention delta is from -1 to 1; got {delta!r}")
    others = [
        other
        for each in range(layer if earlier_heads else 0, model.cfg.n_layers)
        for other in layer_heads(model.cfg, each, but=[head] if each == layer else [])
    ]
    clamps: list[Clamp] = [Preserve(patterns=True, values=True), AblateEmbedding()]
    if others:
        clamps.append(AblateHeads(others))
    if delta is not None:
        clamps.append(InductionHeads([(layer, head)], strength=(1 + delta) / 2))
    return clamps


def copying_by_delta(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    layer: int | None = None,
    deltas: Iterable[float | int] = DELTAS,
    earlier_heads: bool = False,
) -> pd.DataFrame:
    """In-context accuracy of each head of a layer alone against its attention delta.

    Args:
        model: The model.
        sequences: CIWL sequences in the paper; all must have the right label and another in
            context. Each is run once per head and delta.
        layer: Which layer's heads; None for the last.
        deltas: Attention deltas, each from -1 to 1.
        earlier_heads: Leave the direct paths of earlier layers' heads to the output in place.

    Returns:
        Columns `layer`, `head`, `delta`, `in_context_accuracy`, `p_right_in_context`.

    Raises:
        TypeError: They are no `Sequences`.
        ValueError: If a sequence has no right or no other label in context, so that attention has
            no delta; or if the layer, a delta or the sequences do not fit.
    """
    require_sequences(sequences)
    right = sequences.carries_right_label
    if not (right.any(1) & ~right.all(1)).all():
        raise ValueError(
            "an attention delta needs the right label and another in context, which some "
            "sequences lack: use sequences of another kind, such as the CIWL evaluator's"
        )
    layer = model.cfg.n_layers - 1 if layer is None else layer
    deltas = list(deltas)
    rows = []
    for head in range(model.cfg.n_heads):
        for delta in deltas:
            clamps = only_writer(model, layer, head, delta, earlier_heads)
            metrics = summarise(score_model(model, sequences, clamps, metrics="in_context"))
            rows.append({"layer": layer, "head": head, "delta": delta, **metrics})
    return pd.DataFrame(rows)


def copying_summary(
    table: pd.DataFrame,
    metric: str = "in_context_accuracy",
    by: Sequence[str] = ("layer", "head"),
) -> pd.DataFrame:
    """How far, and how steadily, each head's metric follows its attention delta.

    Args:
        table: From `copying_by_delta`, with deltas -1 and 1 among others.
        metric: Which of its metrics.
        by: Columns that tell one sweep from another; with checkpoints, also "sequences_seen".

    Returns:
        The columns of `by`, then `at_minus_1` and `at_plus_1` (the metric there), `spearman` (rank
        correlation with delta; NaN if the metric never changes), `largest_drop` (between
        neighbouring deltas, going up; 0 if there is none) and `monotone` (whether there is none).

    Raises:
        ValueError: If a sweep lacks -1 or 1, or has a delta twice.
    """
    rows = []
    for names, sweep in table.groupby(list(by), sort=False):
        values = sweep.set_index("delta")[metric].sort_index()
        if not values.index.is_unique or not {-1, 1} <= set(values.index):
            raise ValueError(
                f"the sweep of {dict(zip(by, names, strict=True))} must have deltas -1 and 1, and "
                f"each delta once (or name in `by` what else tells sweeps apart); got "
                f"{values.index.tolist()}"
            )
        largest_drop = max(0.0, float(-values.diff().min()))
        rows.append(
            {
                **dict(zip(by, names, strict=True)),
                "at_minus_1": values.loc[-1],
                "at_plus_1": values.loc[1],
                "spearman": float(spearmanr(values.index, values).statistic),
                "largest_drop": largest_drop,
                "monotone": largest_drop == 0,
            }
        )
    return pd.DataFrame(rows)
