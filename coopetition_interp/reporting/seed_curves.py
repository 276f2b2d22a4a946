"""Curves of several seeds: each a thin line, their mean a thick one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float64
from plotly.subplots import make_subplots

from coopetition_interp.analysis.evaluator_curve import score_of
from coopetition_interp.reporting.style import (
    TEMPLATE,
    CurveStyle,
    evaluator_axes,
    evaluator_styles,
    grid_of_panels,
    metric_name,
    millions,
    sequences_seen_axis,
)

THIN, THICK = 1.0, 2.75
THIN_OPACITY = 0.45


def add_seed_curves(
    figure: go.Figure,
    table: pd.DataFrame,
    y: str,
    group: str,
    styles: Mapping[Any, CurveStyle],
    row: int | None = None,
    col: int | None = None,
    showlegend: bool = True,
) -> None:
    """Adds, for each group, a thin curve per seed and a thick one of their mean.

    With one seed there is the thick one alone. The mean is over the places that every seed has
    reached, interpolated linearly where seeds were evaluated at other places.

    Args:
        figure: What they are added to.
        table: Columns `init_seed`, `sequences_seen`, `y`, and `group`.
        y: What is drawn.
        group: Which column tells the curves of one colour, such as "evaluator".
        styles: Look of each group, in the order of the legend.
        row: Of subplots.
        col: Of subplots.
        showlegend: Whether the groups appear in the legend.
    """
    for name, style in styles.items():
        rows = table[table[group] == name]
        curves = [
            (*of_seed[["sequences_seen", y]].to_numpy(dtype=np.float64).T, seed)
            for seed, of_seed in rows.sort_values("sequences_seen").groupby("init_seed")
        ]
        if not curves:
            continue
        line = {"color": style.colour, "dash": style.dash}
        for places, values, seed in curves if len(curves) > 1 else ():
            figure.add_scatter(
                x=millions(places),
                y=values,
                name=f"{style.name}, seed {seed}",
                legendgroup=style.name,
                showlegend=False,
                mode="lines",
                opacity=THIN_OPACITY,
                line={**line, "width": THIN},
                hoverinfo="skip",
                row=row,
                col=col,
            )
        places, mean = mean_curve([(places, values) for places, values, _ in curves])
        figure.add_scatter(
            x=millions(places),
            y=mean,
            name=style.name,
            legendgroup=style.name,
            showlegend=showlegend,
            mode="lines",
            line={**line, "width": THICK},
            hovertemplate="%{y:.3f}",
            row=row,
            col=col,
        )


def evaluator_panels(
    panels: Mapping[str, pd.DataFrame],
    evaluators: Sequence[str],
    title: str,
    metric: str = "in_context_accuracy",
    columns: int = 3,
) -> go.Figure:
    """A metric of several evaluators against sequences seen, a panel for each kind of run.

    Args:
        panels: Metrics of the runs of all seeds (`Study.curves`), by the panel's title.
        evaluators: Which are drawn, in the legend's order.
        title: Of the figure.
        metric: What is drawn; where it says nothing of an evaluator, that one's own score is.
        columns: Panels in a row.

    Raises:
        ValueError: There are no panels.
    """
    if not panels:
        raise ValueError("there are no runs to draw: give those of one panel at least")
    figure, rows, columns = grid_of_panels(list(panels), columns)
    styles = evaluator_styles(evaluators)
    for place, table in enumerate(panels.values()):
        row, col = place // columns + 1, place % columns + 1
        for evaluator, style in styles.items():
            only = {evaluator: style}
            score = score_of(evaluator, metric)
            add_seed_curves(figure, table, score, "evaluator", only, row, col, place == 0)
    evaluator_axes(figure, metric)
    figure.update_yaxes(title_text=metric_name(metric), col=1)
    figure.update_layout(template=TEMPLATE, title=title, height=160 + 300 * rows)
    return figure


def curve_panels(
    table: pd.DataFrame,
    panels: Mapping[str, Mapping[Any, CurveStyle]],
    y: str,
    group: str,
    title: str,
    within: str | None = None,
    columns: int | None = None,
) -> go.Figure:
    """Some curves against sequences seen, in panels.

    Args:
        table: As `add_seed_curves` takes it.
        panels: Look of each group that a panel shows, by the panel's title.
        y: What is drawn.
        group: See `add_seed_curves`.
        title: Of the figure.
        within: A column whose value tells the panel, by its title; None where the groups do.
        columns: Panels in a row; None for all.
    """
    columns = columns or len(panels)
    n_rows = math.ceil(len(panels) / columns)
    figure = make_subplots(
        rows=n_rows,
        cols=columns,
        subplot_titles=list(panels) if len(panels) > 1 else None,
        horizontal_spacing=0.07,
        vertical_spacing=0.25 / n_rows,
    )
    shown: set[str] = set()
    for place, (name, styles) in enumerate(panels.items()):
        rows = table if within is None else table[table[within] == name]
        names = {style.name for style in styles.values()}
        row, col = place // columns + 1, place % columns + 1
        add_seed_curves(figure, rows, y, group, styles, row, col, not names <= shown)
        shown |= names
    figure.update_xaxes(**sequences_seen_axis())
    figure.update_yaxes(title_text=metric_name(y), col=1)
    figure.update_layout(template=TEMPLATE, title=title, height=160 + 300 * n_rows)
    return figure


def mean_curve(
    curves: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """The mean of curves, at the places of all of them up to where the shortest ends.

    Args:
        curves: Places, increasing, and values of each; each of its own length.
    """
    end = min(places[-1] for places, _ in curves)
    start = max(places[0] for places, _ in curves)
    union = np.unique(np.concatenate([places for places, _ in curves]))
    union = union[(union >= start) & (union <= end)]
    return union, np.mean([np.interp(union, *curve) for curve in curves], axis=0)
