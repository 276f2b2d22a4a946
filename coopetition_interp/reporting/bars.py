"""Bars side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.reporting.style import TEMPLATE


def grouped_bars(
    groups: Sequence[str], series: Mapping[str, Sequence[float]], title: str, y: str
) -> go.Figure:
    """Bars side by side, with their heights in figures.

    Args:
        groups: Names along the axis.
        series: Heights, one for each group, by the series' name.
        title: Of the figure.
        y: What the heights are.
    """
    figure = go.Figure()
    for name, heights in series.items():
        figure.add_bar(
            x=list(groups),
            y=list(heights),
            name=name,
            text=[f"{100 * h:.1f}%" for h in heights],
            offsetgroup=name,
        )
    figure.update_yaxes(title_text=y, range=[0, 1.08])
    figure.update_layout(title=title, template=TEMPLATE, barmode="group")
    return figure


def seed_bars(
    table: pd.DataFrame, group: str, columns: Mapping[str, str], title: str, y: str
) -> go.Figure:
    """Bars of means over seeds, as `grouped_bars`, and each seed's value as a point.

    A mean stands in figures above its bar and points; where no seed has a value, none does.

    Args:
        table: Columns `init_seed`, `group`, and what is drawn, which is NaN for what a seed lacks.
        group: Column of the names along the axis.
        columns: What is drawn, and the series' names.
        title: Of the figure.
        y: What the heights are.
    """
    by_group = table.groupby(group, sort=False)[list(columns)]
    means, highest = by_group.mean(), by_group.max()
    names = [str(name) for name in means.index]
    series = {name: means[column].fillna(0.0).tolist() for column, name in columns.items()}
    figure = grouped_bars(names, series, title, y)
    figure.update_traces(text=None)
    for column, name in columns.items():
        figure.add_scatter(
            x=table[group].astype(str),
            y=table[column],
            mode="markers",
            marker={"color": "#333333", "size": 6, "opacity": 0.7},
            text=[f"seed {seed}" for seed in table["init_seed"]],
            hovertemplate="%{text}: %{y:.4f}<extra></extra>",
            showlegend=False,
            offsetgroup=name,
        )
        figure.add_scatter(  # above the points, which would lie over it
            x=names,
            y=highest[column] + 0.012,
            mode="text",
            text=["" if math.isnan(mean) else f"{100 * mean:.1f}%" for mean in means[column]],
            textposition="top center",
            textfont={"size": 11},
            hoverinfo="skip",
            showlegend=False,
            offsetgroup=name,
        )
    figure.update_yaxes(range=[0, 1.12])
    return figure.update_layout(scattermode="group", hovermode="closest")
