"""How alike two heads are from sequence to sequence, however alike they are on average."""

from __future__ import annotations

import pandas as pd


def delta_correlations(deltas: pd.DataFrame, layer: int) -> pd.DataFrame:
    """How alike two heads of a layer are, from sequence to sequence (coopetition paper C.2).

    Args:
        deltas: As `attention_deltas` gives it.
        layer: Whose heads.

    Returns:
        Columns `head`, `other` (the larger number), `correlation` (Pearson's, over sequences).

    Raises:
        ValueError: The layer has fewer than two heads in the table.
    """
    of_layer = deltas[deltas["layer"] == layer]
    matrix = of_layer.pivot(index="sequence", columns="head", values="delta").corr()
    if len(matrix) < 2:
        raise ValueError(f"layer {layer} has {len(matrix)} heads in this table: a pair takes two")
    pairs = matrix.rename_axis("other", axis=1).stack().rename("correlation").reset_index()
    return pairs[pairs["head"] < pairs["other"]].reset_index(drop=True)
