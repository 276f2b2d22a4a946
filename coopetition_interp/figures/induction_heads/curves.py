"""Loss curves of several runs, alone or in panels."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from coopetition_interp.reporting.style import (
    TEMPLATE,
    CurveStyle,
    metric_name,
    millions,
    sequences_seen_axis,
)

LOG_2_COLOUR = "#888888"
LOG_2 = 0.6931


def loss_curves(
    curves: Mapping[str, pd.DataFrame],
    styles: Mapping[str, CurveStyle],
    title: str,
    metric: str = "loss",
) -> go.Figure:
    """Curves against sequences seen, with a dotted line at log 2.

    Args:
        curves: Tables by name, with `sequences_seen` and the metric.
        styles: Their looks.
        title: Of the figure.
        metric: What to draw.
    """
    figure = go.Figure()
    add_curves(figure, curves, styles, metric)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    figure.update_yaxes(title_text=metric_name(metric), rangemode="tozero")
    figure.update_layout(title=title, template=TEMPLATE)
    add_log_2(figure, metric)
    return figure


def loss_panels(
    panels: Mapping[str, Mapping[str, pd.DataFrame]],
    styles: Mapping[str, CurveStyle],
    title: str,
    columns: int,
    height: int = 480,
) -> go.Figure:
    """`loss_curves` in panels, which share their legend.

    Args:
        panels: Curves by name, by the panel's title.
        styles: Looks of all curves.
        title: Of the figure.
        columns: Panels in a row.
        height: Of the figure, in CSS pixels.
    """
    rows = -(-len(panels) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(panels),
        shared_yaxes=True,
        horizontal_spacing=0.05,
        vertical_spacing=0.22 / rows if rows > 1 else 0.0,
    )
    named: set[str] = set()
    for place, curves in enumerate(panels.values()):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        add_curves(figure, curves, styles, "loss", shown=set(curves) - named, **where)
        named |= set(curves)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text=metric_name("loss"), col=1)
    figure.update_layout(title=title, template=TEMPLATE, height=height, width=260 + 380 * columns)
    add_log_2(figure, "loss")
    return figure


def add_curves(
    figure: go.Figure,
    curves: Mapping[str, pd.DataFrame],
    styles: Mapping[str, CurveStyle],
    metric: str,
    shown: set[str] | None = None,
    row: int | None = None,
    col: int | None = None,
) -> None:
    """Adds curves to a figure or one of its panels; `shown` are those the legend gets."""
    for name, curve in curves.items():
        style = styles[name]
        figure.add_scatter(
            x=millions(curve["sequences_seen"]),
            y=curve[metric].to_numpy(),
            name=style.name,
            legendgroup=name,
            showlegend=shown is None or name in shown,
            mode="lines",
            line={"color": style.colour, "dash": style.dash, "width": 2},
            hovertemplate="%{y:.3f}",
            row=row,
            col=col,
        )


def add_log_2(figure: go.Figure, metric: str) -> None:
    """A line at the loss of guessing between the two labels in context."""
    if metric == "loss":
        line = {"color": LOG_2_COLOUR, "dash": "dot", "width": 1}
        figure.add_hline(y=LOG_2, line=line)
