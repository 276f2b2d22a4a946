"""Heads sharpened and blurred: does a head alone gain where the whole layer does not?

Coopetition paper, appendix C.2: one head's attention scores are divided by a
temperature. Alone, a head that attends to the right label more than to the other gains by
sharpening (temperature below 1); that this does not hold while the other heads are active is the
paper's evidence that heads do not simply add up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import pandas as pd

from coopetition_interp.analysis.skip_trigrams import only_writer
from coopetition_interp.interventions import (
    AblateHeads,
    Clamp,
    HeadTemperature,
    SilenceExemplarAttention,
    layer_heads,
)
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.evaluation.scorer import Metrics
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, summarise

Active = Literal["alone", "all", "only writer"]
"""What is active besides the tempered head. "alone": its layer's other heads are ablated.
"all": they are not. "only writer": as "alone", and nothing else reaches the output either
(`skip_trigrams.only_writer`); a "readout of the contribution of this head", as the paper's footnote
17 has it, also where the embedding's own path to the output leaves a head alone little to add."""

TEMPERATURES = (
    *(0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95),
    *(1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
)
"""From 0.1 to 8, denser near 1; 1 itself, the model's own, is every table's baseline."""


def tempered(
    model: ExemplarLabelTransformer,
    layer: int,
    head: int,
    temperature: float | int,
    active: Active = "alone",
) -> list[Clamp]:
    """Clamps that give one head a temperature and let its layer's queries see labels only.

    The paper lets heads attend to label tokens only, so that a high temperature does not hurt
    merely by spreading attention over other tokens. Here that holds for all heads of the layer,
    whichever is tempered, so that temperature is all that differs between the rows of a table.

    Args:
        model: The model.
        layer: The head's layer.
        head: The head.
        temperature: What its scores are divided by; 1 leaves them alone.
        active: What is active besides, see `Active`. Except for "only writer", the embedding and
            earlier layers stay as they are.

    Raises:
        ValueError: If `active` is none of these, or the temperature is not above 0.
    """
    if active not in get_args(Active):
        raise ValueError(f"active is one of {', '.join(get_args(Active))}; got {active!r}")
    clamps: list[Clamp] = [SilenceExemplarAttention(layer_heads(model.cfg, layer))]
    if temperature != 1:
        clamps.append(HeadTemperature([(layer, head)], temperature))
    others = layer_heads(model.cfg, layer, but=[head])
    if active == "only writer":
        clamps += only_writer(model, layer, head)
    elif active == "alone" and others:
        clamps.append(AblateHeads(others))
    return clamps


def temperature_response(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    layer: int | None = None,
    temperatures: Iterable[float | int] = TEMPERATURES,
    active: Iterable[Active] = ("alone", "all"),
    metrics: Metrics = "all",
) -> pd.DataFrame:
    """Metrics against the temperature of each head of a layer (coopetition paper C.2).

    Args:
        model: The model.
        sequences: What it is scored on; the paper's are training sequences.
        layer: Which layer's heads; None for the last.
        temperatures: Each above 0; 1 is added.
        active: What is active besides the tempered head, see `Active`.
        metrics: "all", or "in_context" to leave out loss and whatever else takes all logits.

    Returns:
        Columns `layer`, `head`, `active`, `temperature` (rising), the metrics, and
        `p_right_in_context_change` against temperature 1, where attention is to labels alone too.

    Raises:
        ValueError: If a temperature is not above 0, or an argument does not fit the model.
    """
    layer = model.cfg.n_layers - 1 if layer is None else layer
    swept = sorted({*temperatures, 1.0})
    untempered: dict[str, float] = {}  # with all heads active it is the same for each of them
    rows: list[dict[str, Any]] = []
    for which in active:
        for head in range(model.cfg.n_heads):
            scored: dict[float, dict[str, float]] = {}
            for temperature in swept:
                if temperature == 1 and which == "all" and untempered:
                    scored[temperature] = untempered
                    continue
                clamps = tempered(model, layer, head, temperature, which)
                scores = score_model(model, sequences, clamps, metrics=metrics)
                scored[temperature] = summarise(scores)
                if temperature == 1 and which == "all":
                    untempered = scored[temperature]
            own = scored[1.0]["p_right_in_context"]
            rows += [
                {
                    "layer": layer,
                    "head": head,
                    "active": which,
                    "temperature": temperature,
                    **means,
                    "p_right_in_context_change": means["p_right_in_context"] - own,
                }
                for temperature, means in scored.items()
            ]
    return pd.DataFrame(rows)
