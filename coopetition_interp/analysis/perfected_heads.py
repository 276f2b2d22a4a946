"""Heads on their own, as they are or with half of their work made perfect (thesis C.2)."""

from __future__ import annotations

from typing import Literal, get_args

import pandas as pd

from coopetition_interp.analysis.ablation import head_alone
from coopetition_interp.interventions import Clamp, CopyFromHead, InductionHeads
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, summarise

Perfected = Literal["nothing", "match", "copy"]
"""What of a head is made perfect. "match": it attends to the right label alone (an induction
strength of 1), so only its copying can err. "copy": its attention scores of the labels are the
output, so only its matching can err."""


def alone(
    model: ExemplarLabelTransformer, layer: int, head: int, perfected: Perfected = "nothing"
) -> list[Clamp]:
    """Clamps that leave one head of a layer active, with `perfected` made perfect.

    Raises:
        ValueError: If `perfected` is unknown, or the layer has no other head.
    """
    if perfected not in get_args(Perfected):
        raise ValueError(f"perfected is one of {', '.join(get_args(Perfected))}; got {perfected!r}")
    others_off = head_alone(model, layer, head)
    if perfected == "match":
        return [others_off, InductionHeads([(layer, head)])]
    if perfected == "copy":
        return [others_off, CopyFromHead((layer, head))]
    return [others_off]


def perfected_heads(
    model: ExemplarLabelTransformer, sequences: Sequences, layer: int = 1
) -> pd.DataFrame:
    """Metrics of each head alone, as it is and with its match or copy perfected.

    Returns:
        Columns `layer`, `head`, `perfected`, and the metrics. The loss under perfect copy is that
        of the head's raw scores as logits.

    Raises:
        ValueError: If the layer or the sequences do not fit the model.
    """
    rows = []
    for head in range(model.cfg.n_heads):
        for perfected in get_args(Perfected):
            scores = score_model(model, sequences, alone(model, layer, head, perfected))
            names = {"layer": layer, "head": head, "perfected": perfected}
            rows.append({**names, **summarise(scores)})
    return pd.DataFrame(rows)
