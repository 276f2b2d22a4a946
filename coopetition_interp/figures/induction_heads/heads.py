"""Drawings about heads: strengths, ablations, connectivity, seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from coopetition_interp.reporting.style import PALETTE, TEMPLATE, head_style

SYMBOLS = {"this head": "triangle-up", "all other heads": "circle"}
PERFECTED_SYMBOLS = {"nothing": "circle", "match": "square", "copy": "diamond"}


def accuracy_against_strength(table: pd.DataFrame, figure: go.Figure, row: int, col: int) -> None:
    """Adds accuracy against induction strength: each head ablated, and all but it (Figure 4.5a)."""
    for ablated, symbol in SYMBOLS.items():
        points = table[table["ablated"] == ablated]
        figure.add_scatter(
            x=points["induction_strength"],
            y=points["accuracy"],
            mode="markers",
            name=f"ablated: {ablated}",
            marker={
                "symbol": symbol,
                "size": 12,
                "color": [head_style(int(head)).colour for head in points["head"]],
                "line": {"color": "#333333", "width": 1},
            },
            text=[f"head {head}" for head in points["head"]],
            hovertemplate="%{text}: %{y:.4f}",
            row=row,
            col=col,
        )


def heatmaps(
    panels: Mapping[str, pd.DataFrame],
    ranges: Mapping[str, tuple[float, float]],
    title: str,
    columns: int,
) -> go.Figure:
    """Matrices of layer-0 heads (rows) by layer-1 heads (columns), a panel each (Figure C.3).

    Args:
        panels: Matrices by the panel's title.
        ranges: Values at the ends of each panel's colours; the middle of the two is white.
        title: Of the figure.
        columns: Panels in a row.
    """
    rows = -(-len(panels) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(panels),
        horizontal_spacing=0.06,
        vertical_spacing=0.14,
    )
    for place, (name, matrix) in enumerate(panels.items()):
        row, col = place // columns + 1, place % columns + 1
        low, high = ranges[name]
        figure.add_heatmap(
            z=matrix.to_numpy(),
            x=[str(head) for head in matrix.columns],
            y=[str(head) for head in matrix.index],
            zmin=low,
            zmax=high,
            colorscale="RdBu_r",
            text=np.round(matrix.to_numpy(), 2),
            texttemplate="%{text}",
            textfont={"size": 9},
            showscale=False,
            hovertemplate="layer 0 head %{y}, layer 1 head %{x}: %{z:.3f}<extra></extra>",
            row=row,
            col=col,
        )
    figure.update_xaxes(title_text="layer 1 head", type="category", row=rows)
    figure.update_yaxes(title_text="layer 0 head", type="category", autorange="reversed", col=1)
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(
        title=title, template=TEMPLATE, hovermode="closest", height=380 * rows, width=430 * columns
    )
    return figure


def perfected_and_mistakes(
    perfected: pd.DataFrame, mistakes: pd.DataFrame, strengths: pd.Series, title: str
) -> go.Figure:
    """Heads alone, as they are and perfected; their mistakes by label (Figure C.1).

    Args:
        perfected: Columns `head`, `perfected`, `accuracy`.
        mistakes: Columns `head`, `label`, `mistake_rate`, `relative_mistake_rate`.
        strengths: Induction strength by head: where heads stand, and how opaque they are.
        title: Of the figure.
    """
    figure = make_subplots(
        rows=1,
        cols=3,
        subplot_titles=[
            "a) each head alone",
            "b) perfect match: relative mistake rate",
            "c) perfect match: accuracy",
        ],
        horizontal_spacing=0.07,
    )
    for kind, symbol in PERFECTED_SYMBOLS.items():
        points = perfected[perfected["perfected"] == kind]
        figure.add_scatter(
            x=points["head"].map(strengths),
            y=points["accuracy"],
            mode="markers",
            name="as it is" if kind == "nothing" else f"perfect {kind}",
            marker={
                "symbol": symbol,
                "size": 11,
                "color": [head_style(int(head)).colour for head in points["head"]],
                "line": {"color": "#333333", "width": 1},
            },
            text=[f"head {head}" for head in points["head"]],
            hovertemplate="%{text}: %{y:.4f}",
            row=1,
            col=1,
        )
    opacities = strengths.clip(lower=0.35, upper=1.0)
    for head, rates in mistakes.groupby("head"):
        style = head_style(int(str(head)))
        for col, values in (
            (2, rates["relative_mistake_rate"]),
            (3, 1 - rates["mistake_rate"]),
        ):
            figure.add_scatter(
                x=rates["label"],
                y=values,
                name=style.name,
                legendgroup=style.name,
                showlegend=col == 2,
                mode="lines+markers",
                line={"color": style.colour, "width": 2},
                opacity=float(opacities[head]),
                row=1,
                col=col,
            )
    figure.update_xaxes(title_text="induction strength", col=1)
    for col in (2, 3):
        figure.update_xaxes(title_text="label", dtick=1, col=col)
    figure.update_yaxes(title_text="accuracy", range=[-0.02, 1.04], col=1)
    figure.update_yaxes(range=[-0.02, 1.04], col=3)
    figure.update_layout(
        title=title, template=TEMPLATE, hovermode="closest", width=1250, height=440
    )
    return figure


def seeds_scatter(table: pd.DataFrame, titles: Mapping[str, str], title: str) -> go.Figure:
    """Metrics of single heads against their induction strength, coloured by seed (Figure C.6).

    Args:
        table: Columns `seed`, `head`, `induction_strength`, and the metrics.
        titles: Titles of the panels, by metric.
        title: Of the figure.
    """
    figure = make_subplots(
        rows=1, cols=len(titles), subplot_titles=list(titles.values()), horizontal_spacing=0.07
    )
    for place, (seed, heads) in enumerate(table.groupby("seed")):
        for col, metric in enumerate(titles, start=1):
            figure.add_scatter(
                x=heads["induction_strength"],
                y=heads[metric],
                mode="markers",
                name=f"seed {seed}",
                legendgroup=str(seed),
                showlegend=col == 1,
                marker={"color": PALETTE[place % len(PALETTE)], "size": 9},
                text=[f"seed {seed}, head {head}" for head in heads["head"]],
                hovertemplate="%{text}: %{y:.4g}",
                row=1,
                col=col,
            )
    figure.update_xaxes(title_text="induction strength")
    figure.update_layout(
        title=title, template=TEMPLATE, hovermode="closest", width=1250, height=440
    )
    return figure
