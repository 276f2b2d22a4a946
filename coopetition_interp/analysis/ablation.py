"""Ablations of heads and of the paths between layers, each scored on the same sequences.

A path is cut by switching heads off while what the later layer computes along the other paths is
preserved from an unablated pass (thesis 4.3, C.3; coopetition paper 4.1, 4.2). Blocks with an MLP
leave one more path, through the MLPs, which preservation of attention does not keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from coopetition_interp.interventions import AblateHeads, Clamp, Preserve, layer_heads
from coopetition_interp.interventions.heads import Head
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, summarise

_PRESERVING: dict[str, list[Clamp]] = {
    "nothing": [],
    "patterns": [Preserve(patterns=True)],
    "values": [Preserve(values=True)],
    "patterns and values": [Preserve(patterns=True, values=True)],
    "all but queries": [Preserve(keys=True, values=True)],
    "all but keys": [Preserve(queries=True, values=True)],
    "all but values": [Preserve(patterns=True)],  # queries and keys, which the values never enter
}

PRESERVED = tuple(_PRESERVING)
"""What an ablation can leave as it was without it, in every layer."""

CHANGES = ("loss", "accuracy")
"""Metrics whose change against the intact model every table here gives as `METRIC_change`."""


def ablate_preserving(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    heads: Mapping[str, Iterable[Head]],
    preserved: Iterable[str] = ("patterns", "values"),
    clamps: Iterable[Clamp] = (),
) -> pd.DataFrame:
    """Ablates sets of heads under several kinds of preservation (thesis C.3).

    Args:
        model: The model.
        sequences: What it is scored on.
        heads: (layer, head) pairs to ablate together, by the name of the set.
        preserved: What is preserved, of `PRESERVED`; one row each.
        clamps: Held besides; the intact model, which changes are against, has them too.

    Returns:
        Columns `heads` (name of the set), `preserved`, the metrics, `loss_change`,
        `accuracy_change`.

    Raises:
        TypeError: If the sets of heads have no names.
        ValueError: If a kind of preservation is unknown, or heads or sequences do not fit.
    """
    preserved = list(preserved)
    if not isinstance(heads, Mapping):
        raise TypeError(
            "heads come by the name of their set, as {'both': [(1, 0), (1, 3)]}; got "
            f"{type(heads).__name__}"
        )
    for kind in preserved:
        if kind not in _PRESERVING:
            raise ValueError(f"cannot preserve {kind!r}: choose from {', '.join(PRESERVED)}")
    conditions = [
        ({"heads": name, "preserved": kind}, [*_PRESERVING[kind], AblateHeads(list(ablated))])
        for name, ablated in {name: tuple(chosen) for name, chosen in heads.items()}.items()
        for kind in preserved
    ]
    return _scored(model, sequences, conditions, list(clamps))


def single_head_ablations(
    model: ExemplarLabelTransformer, sequences: Sequences, layer: int = 1
) -> pd.DataFrame:
    """Ablates each head of a layer in turn (thesis 4.3.1).

    Returns:
        Columns `layer`, `head` (the ablated one), the metrics, `loss_change`, `accuracy_change`.

    Raises:
        ValueError: If the layer or the sequences do not fit the model.
    """
    conditions = [
        ({"layer": layer, "head": head}, [AblateHeads([(layer, head)])])
        for head in range(model.cfg.n_heads)
    ]
    return _scored(model, sequences, conditions)


def all_but_one_ablations(
    model: ExemplarLabelTransformer, sequences: Sequences, layer: int = 1
) -> pd.DataFrame:
    """Ablates all heads of a layer but one, for each head (thesis 4.3.1).

    Returns:
        Columns `layer`, `head` (the one left active), the metrics, `loss_change`,
        `accuracy_change`.

    Raises:
        ValueError: If the layer or the sequences do not fit the model, or a layer has one head.
    """
    conditions = [
        ({"layer": layer, "head": head}, [head_alone(model, layer, head)])
        for head in range(model.cfg.n_heads)
    ]
    return _scored(model, sequences, conditions)


def head_alone(model: ExemplarLabelTransformer, layer: int, head: int) -> AblateHeads:
    """The clamp that leaves one head of a layer active.

    Raises:
        ValueError: If the layer has no other head.
    """
    others = layer_heads(model.cfg, layer, but=[head])
    if not others:
        raise ValueError("blocks have one head each: there are no others to ablate")
    return AblateHeads(others)


def layer_to_output_cut(model: ExemplarLabelTransformer, layer: int) -> list[Clamp]:
    """The clamps that cut a layer's direct path to the output (thesis 4.3; coopetition paper 4.1).

    All its heads are ablated, with the patterns and values of later layers preserved.
    """
    ablated = AblateHeads(layer_heads(model.cfg, layer))
    if layer == model.cfg.n_layers - 1:  # after the last layer there is nothing to preserve
        return [ablated]
    return [*_PRESERVING["patterns and values"], ablated]


def layer_to_layer_ablation(
    model: ExemplarLabelTransformer, sequences: Sequences, layer: int = 0
) -> pd.DataFrame:
    """Cuts a layer's paths into later layers' queries, keys or values (coopetition paper 4.2).

    All its heads are ablated with everything preserved but queries ("Q"), keys ("K") or values
    ("V"): how much the model loses is how much it relies on that composition. The direct path to
    the output is cut too; `layer_to_output_cut` cuts it alone.

    Returns:
        Columns `layer`, `composition`, the metrics, `loss_change`, `accuracy_change`.

    Raises:
        ValueError: If no layer follows, or the layer or the sequences do not fit the model.
    """
    if layer >= model.cfg.n_layers - 1:
        raise ValueError(
            f"no block follows block {layer}: composition is measured from blocks 0 to "
            f"{model.cfg.n_layers - 2}"
        )
    ablated = AblateHeads(layer_heads(model.cfg, layer))
    conditions = [
        (
            {"layer": layer, "composition": name[0].upper()},
            [*_PRESERVING[f"all but {name}"], ablated],
        )
        for name in ("queries", "keys", "values")
    ]
    return _scored(model, sequences, conditions)


def head_to_head_connectivity(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    from_layer: int = 0,
    to_layer: int = 1,
    preserved: Iterable[str] = ("values", "patterns"),
) -> pd.DataFrame:
    """Which earlier heads each later head relies on, by ablation (thesis C.3).

    One head of `to_layer` is left active at a time. Of `from_layer`, each head is ablated ("one"),
    or all but it ("all but one": a path of one head per layer). With values preserved, what is lost
    is the earlier head's part in patterns (previous-token heads); with patterns preserved, its part
    in values.

    Args:
        model: The model.
        sequences: What it is scored on, 4 * n_heads ** 2 times in all.
        from_layer: Layer of the earlier heads.
        to_layer: Layer of the later heads.
        preserved: What is preserved, of `PRESERVED`.

    Returns:
        Columns `from_head`, `to_head`, `ablated`, `preserved`, the metrics, and `loss_change`,
        `accuracy_change` against the same `to_head` alone with `from_layer` intact.

    Raises:
        ValueError: If the layers are not in order, or what is preserved is unknown.
    """
    if not 0 <= from_layer < to_layer < model.cfg.n_layers:
        raise ValueError(
            f"connectivity is from an earlier to a later block of 0 to {model.cfg.n_layers - 1}; "
            f"got {from_layer} to {to_layer}"
        )
    heads = range(model.cfg.n_heads)
    sets: dict[tuple[str, int], list[Head]] = {
        ("one", head): [(from_layer, head)] for head in heads
    }
    sets |= {
        ("all but one", head): list(head_alone(model, from_layer, head).heads) for head in heads
    }
    tables = []
    for to_head in heads:
        table = ablate_preserving(
            model,
            sequences,
            {f"{ablated}:{head}": chosen for (ablated, head), chosen in sets.items()},
            preserved,
            clamps=[head_alone(model, to_layer, to_head)],
        )
        names = table.pop("heads").str.split(":", expand=True)
        table.insert(0, "from_head", names[1].astype(int))
        table.insert(1, "to_head", to_head)
        table.insert(2, "ablated", names[0])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _scored(
    model: ExemplarLabelTransformer,
    sequences: Sequences,
    conditions: Iterable[tuple[dict[str, Any], Sequence[Clamp]]],
    clamps: Sequence[Clamp] = (),
) -> pd.DataFrame:
    """A row per condition: its names, its metrics, and their changes against `clamps` alone."""
    intact = summarise(score_model(model, sequences, clamps))
    rows = []
    for names, held in conditions:
        metrics = summarise(score_model(model, sequences, [*clamps, *held]))
        changes = {f"{name}_change": metrics[name] - intact[name] for name in CHANGES}
        rows.append({**names, **metrics, **changes})
    return pd.DataFrame(rows)
