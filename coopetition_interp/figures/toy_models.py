"""Figures of the toy models: tidy tables to plotly figures.

The tables come from ``Trajectory.table``: columns ``step``, ``seed``, ``quantity``, ``value``.
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from coopetition_interp.analysis.divot import Divot

CLAMP_COLOURS = {"nothing": "black", "c": "#1f77b4", "b and c": "#9467bd"}
CURVE_COLOURS = {"mechanism 1": "#1f77b4", "mechanism 2": "#2ca02c", "competition": "#a0a0a0"}
DIVOT_COLOUR = "#ff7f0e"


def _check_columns(table: pd.DataFrame, needed: set[str]) -> None:
    missing = needed - set(table.columns)
    if missing:
        raise ValueError(
            f"the table lacks column(s) {', '.join(sorted(missing))}; it has "
            f"{', '.join(map(str, table.columns))}"
        )


def phase_change_figure(table: pd.DataFrame) -> go.Figure:
    """Loss under each clamp (thesis, Figure 4.6a).

    Args:
        table: One seed; columns ``step``, ``clamped`` (what is clamped), ``value`` (loss).

    Raises:
        ValueError: A column is missing.
    """
    _check_columns(table, {"step", "clamped", "value"})
    figure = go.Figure()
    for clamped, curve in table.groupby("clamped", sort=False):
        figure.add_scatter(
            x=curve["step"],
            y=curve["value"],
            name=f"{clamped} clamped",
            mode="lines",
            line_color=CLAMP_COLOURS.get(str(clamped)),
        )
    figure.update_layout(
        title="Phase change of three vectors learned through their tensor product",
        xaxis_title="gradient descent steps",
        yaxis_title="loss",
        yaxis_rangemode="tozero",
        template="plotly_white",
    )
    return figure


def progress_measures_figure(table: pd.DataFrame) -> go.Figure:
    """Training loss with and without the clamp, beside progress measures (thesis, Figure 4.7).

    Args:
        table: One seed; columns ``step``, ``quantity`` (the panel, in order of appearance),
            ``clamped`` (what was clamped in the run), ``value``.

    Raises:
        ValueError: A column is missing.
    """
    _check_columns(table, {"step", "quantity", "clamped", "value"})
    panels = list(table["quantity"].unique())
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=panels, horizontal_spacing=0.07)
    named: set[object] = set()
    for (panel, clamped), curve in table.groupby(["quantity", "clamped"], sort=False):
        figure.add_scatter(
            x=curve["step"],
            y=curve["value"],
            name=f"{clamped} clamped",
            legendgroup=str(clamped),
            showlegend=clamped not in named,
            mode="lines",
            line_color=CLAMP_COLOURS.get(str(clamped)),
            row=1,
            col=panels.index(panel) + 1,
        )
        named.add(clamped)
    figure.update_xaxes(title_text="gradient descent steps")
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(
        title="Clamping against progress measures for vector a",
        template="plotly_white",
        width=1400,
        height=400,
    )
    return figure


def coopetition_figure(
    table: pd.DataFrame,
    title: str = "",
    panel_titles: dict[int, str] | None = None,
    divot: Divot | None = None,
    columns: int = 4,
) -> go.Figure:
    """Both mechanisms and their competition, a panel per seed (paper, Figures 5a, 16, 17).

    Args:
        table: Columns ``step``, ``seed``, ``quantity``, ``value``. Quantities other than
            ``mechanism 1``, ``mechanism 2`` and ``competition`` are not drawn.
        title: Title of the figure.
        panel_titles: Titles of the panels, by seed.
        divot: Marked on mechanism 2 of the first panel.
        columns: Panels per row, at most.

    Raises:
        ValueError: A column is missing, or no row is left.
    """
    _check_columns(table, {"step", "seed", "quantity", "value"})
    table = table[table["quantity"].isin(list(CURVE_COLOURS))]
    seeds = list(table["seed"].unique())
    if not seeds:
        raise ValueError(f"the table has none of the quantities {', '.join(CURVE_COLOURS)}")
    panel_titles = panel_titles or {}
    columns = min(columns, len(seeds))
    rows = math.ceil(len(seeds) / columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[panel_titles.get(seed, f"seed {seed}") for seed in seeds],
        horizontal_spacing=0.05,
        vertical_spacing=0.28 / rows if rows > 1 else 0.0,
    )
    for (seed, quantity), curve in table.groupby(["seed", "quantity"], sort=False):
        row, column = divmod(seeds.index(seed), columns)
        figure.add_scatter(
            x=curve["step"],
            y=curve["value"],
            name=str(quantity),
            legendgroup=str(quantity),
            showlegend=bool(seed == seeds[0]),
            mode="lines",
            line_color=CURVE_COLOURS[str(quantity)],
            row=row + 1,
            col=column + 1,
        )
    if divot is not None:
        climb = table[
            (table["seed"] == seeds[0])
            & (table["quantity"] == "mechanism 2")
            & table["step"].between(divot.start, divot.end)
        ]
        figure.add_scatter(
            x=climb["step"],
            y=climb["value"],
            name="divot",
            mode="lines",
            line={"color": DIVOT_COLOUR, "width": 4},
            row=1,
            col=1,
        )
    figure.update_xaxes(title_text="gradient descent steps", row=rows)
    figure.update_yaxes(title_text="loss", col=1)
    figure.update_yaxes(rangemode="tozero")
    if rows > 1:
        figure.update_layout(height=140 + 200 * rows, width=260 * columns + 160)
    figure.update_layout(title=title, template="plotly_white")
    return figure
