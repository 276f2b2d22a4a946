"""Bars side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
            x=list(groups), y=list(heights), name=name, text=[f"{100 * h:.1f}%" for h in heights]
        )
    figure.update_yaxes(title_text=y, range=[0, 1.08])
    figure.update_layout(title=title, template=TEMPLATE, barmode="group")
    return figure
