"""Attention patterns as plotly draws them, and a panel for each head."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

DIGITS = 3
HEADS_IN_A_ROW = 4

_LEAST_PLOT_HEIGHT, _PER_PANEL, _PER_TOKEN = 408, 30, 12  # pixels


@dataclass(frozen=True)
class Pattern:
    """A pattern as plotly takes it; entries that cannot be attended to are None."""

    queries: list[str]
    keys: list[str]
    z: list[list[float | None]]


def patterns_of(attention: pd.DataFrame) -> dict[int, dict[tuple[int, int], Pattern]]:
    """Patterns by sequences seen and (layer, head), in order."""
    queries, keys = (attention[name].unique().tolist() for name in ("query", "key"))
    names = ["sequences_seen", "layer", "head", "query", "key", "attention"]
    entries: dict[int, dict[tuple[int, int], dict[tuple[str, str], float]]] = {}
    for seen, layer, head, query, key, value in attention[names].itertuples(index=False):
        pattern = entries.setdefault(seen, {}).setdefault((layer, head), {})
        pattern[query, key] = round(value, DIGITS)
    return {
        seen: {
            head: Pattern(queries, keys, [[of.get((q, k)) for k in keys] for q in queries])
            for head, of in sorted(of_heads.items())
        }
        for seen, of_heads in sorted(entries.items())
    }


@dataclass(frozen=True)
class PanelGrid:
    """Where each head's panel is: (row, column) from 1; column 1 is the curves'.

    Layers do not share a row.
    """

    cells: dict[tuple[int, int], tuple[int, int]]
    n_rows: int
    n_columns: int
    plot_height: int  # of all panels together, in pixels

    @classmethod
    def of(cls, patterns: dict[tuple[int, int], Pattern]) -> PanelGrid:
        """Room for one checkpoint's patterns."""
        by_layer: dict[int, list[tuple[int, int]]] = {}
        for head in patterns:
            by_layer.setdefault(head[0], []).append(head)
        cells, row = {}, 0
        for of_layer in by_layer.values():
            for place, head in enumerate(of_layer):
                row += place % HEADS_IN_A_ROW == 0
                cells[head] = row, place % HEADS_IN_A_ROW + 2
        tokens = max(len(pattern.queries) for pattern in patterns.values())
        height = max(_LEAST_PLOT_HEIGHT, row * (_PER_PANEL + _PER_TOKEN * tokens))
        return cls(cells, row, max(column for _, column in cells.values()), height)
