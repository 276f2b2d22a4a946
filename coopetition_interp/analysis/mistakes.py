"""Which sequences a model or a head gets wrong (thesis C.2)."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from coopetition_interp.analysis.perfected_heads import Perfected, alone
from coopetition_interp.interventions import BoundClamps, Clamp
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences


def mistake_rates_by_label(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    clamps: Iterable[Clamp] | BoundClamps = (),
) -> pd.DataFrame:
    """How often each label is missed where it is the right one.

    A mistake is another label having the highest logit of all labels.

    Returns:
        Columns `label`, `n_sequences`, `mistakes`, `mistake_rate` (of the label's sequences) and
        `relative_mistake_rate` (divided by the mean of the labels' rates; NaN if there are no
        mistakes at all). Labels that are never right have no row.

    Raises:
        ValueError: If the sequences or clamps do not fit the model.
    """
    return _rates(_mistaken(model, sequences, clamps), sequences)


def mistake_rates_by_head_and_label(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    layer: int = 1,
    perfected: Perfected = "match",
) -> pd.DataFrame:
    """Mistake rates of each head of a layer alone, by label (thesis C.2).

    Args:
        model: The model.
        sequences: What it is scored on.
        layer: The heads' layer.
        perfected: What of the head is made perfect; with "match", mistakes are those of copying.

    Returns:
        Columns `layer`, `head`, and those of `mistake_rates_by_label`.

    Raises:
        ValueError: If the layer or the sequences do not fit the model.
    """
    tables = []
    for head in range(model.cfg.n_heads):
        table = mistake_rates_by_label(model, sequences, alone(model, layer, head, perfected))
        table.insert(0, "layer", layer)
        table.insert(1, "head", head)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def heads_on_mistakes_of(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    head: int,
    layer: int = 1,
    perfected: Perfected = "nothing",
) -> pd.DataFrame:
    """Accuracy of each head alone where a given head alone errs (thesis, Tables C.1 and C.2).

    A head that makes up for the given one does better there than on all sequences.

    Args:
        model: The model.
        sequences: What it is scored on.
        head: The head whose mistakes make the subset, the strongest one in the thesis.
        layer: The heads' layer.
        perfected: What of every head is made perfect: "nothing" (C.1), "match" (C.2).

    Returns:
        Columns `layer`, `head`, `n_mistakes` (of the given head), `accuracy_on_mistakes` (NaN if
        it makes none), `accuracy`; a row for each other head.

    Raises:
        ValueError: If there is no such head, or the sequences do not fit the model.
    """
    if not 0 <= head < model.cfg.n_heads:
        raise ValueError(f"there is no head {head}: heads are 0 to {model.cfg.n_heads - 1}")
    wrong = [
        _mistaken(model, sequences, alone(model, layer, each, perfected))
        for each in range(model.cfg.n_heads)
    ]
    return pd.DataFrame(
        [
            {
                "layer": layer,
                "head": other,
                "n_mistakes": int(wrong[head].sum()),
                "accuracy_on_mistakes": 1 - float(wrong[other][wrong[head]].double().mean()),
                "accuracy": 1 - float(wrong[other].double().mean()),
            }
            for other in range(model.cfg.n_heads)
            if other != head
        ]
    )


def _mistaken(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    clamps: Iterable[Clamp] | BoundClamps,
) -> Bool[Tensor, " n_sequences"]:
    return score_model(model, sequences, clamps)["accuracy"].cpu() == 0


def _rates(mistaken: Bool[Tensor, " n_sequences"], sequences: Sequences) -> pd.DataFrame:
    labels, which = torch.unique(sequences.right_labels.cpu(), return_inverse=True)
    counts = torch.bincount(which, minlength=len(labels)).double()
    mistakes = torch.bincount(which[mistaken], minlength=len(labels)).double()
    rate = mistakes / counts
    return pd.DataFrame(
        {
            "label": labels.tolist(),
            "n_sequences": counts.long().tolist(),
            "mistakes": mistakes.long().tolist(),
            "mistake_rate": rate.tolist(),
            "relative_mistake_rate": (rate / rate.mean()).tolist(),
        }
    )
