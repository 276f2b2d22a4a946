"""Evaluators over training: Figure 1b of the coopetition paper, and small multiples of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.analysis.landmarks import Landmarks, Peak
from coopetition_interp.reporting.style import (
    TEMPLATE,
    evaluator_styles,
    grid_of_panels,
    is_fraction,
    metric_name,
    millions,
    sequence_count,
    sequences_seen_axis,
)

FIGURE_1B_EVALUATORS = ("icl", "ciwl", "flip", "train")
CHANCE = 0.5


def evaluator_curves(
    metrics: pd.DataFrame,
    evaluators: Sequence[str] = FIGURE_1B_EVALUATORS,
    metric: str = "in_context_accuracy",
    landmarks: Landmarks | None = None,
    title: str | None = None,
) -> go.Figure:
    """A metric of several evaluators against sequences seen (paper, Figure 1b).

    Args:
        metrics: A run's metrics, a row per moment and evaluator.
        evaluators: Which to draw, by name.
        metric: What to draw of them.
        landmarks: Marked with numbers on the curves they belong to, where they happened and that
            curve is drawn; the legend says what and when.
        title: Of the figure.

    Raises:
        ValueError: The table lacks an evaluator or the metric, or the metric is NaN throughout.
    """
    figure = go.Figure()
    _add_curves(figure, metrics, evaluators, metric)
    if landmarks is not None:
        _add_landmarks(figure, metrics, evaluators, metric, landmarks)
    _finish(figure, metric, title)
    return figure


def evaluator_grid(
    metrics_by_title: Mapping[str, pd.DataFrame],
    evaluators: Sequence[str] = FIGURE_1B_EVALUATORS,
    metric: str = "in_context_accuracy",
    columns: int = 3,
    title: str | None = None,
) -> go.Figure:
    """``evaluator_curves`` of several runs, a panel each (paper, Figures 7 to 11 and 13).

    Args:
        metrics_by_title: Each run's metrics, by the title of its panel.
        evaluators: Which to draw, by name.
        metric: What to draw of them.
        columns: Panels in a row.
        title: Of the figure.

    Raises:
        ValueError: No runs, or a table lacks what is to be drawn, naming the panel.
    """
    if not metrics_by_title:
        raise ValueError("there are no runs to draw: give the metrics of one at least")
    figure, rows, columns = grid_of_panels(list(metrics_by_title), columns)
    for place, (panel, metrics) in enumerate(metrics_by_title.items()):
        row, column = place // columns + 1, place % columns + 1
        try:
            _add_curves(figure, metrics, evaluators, metric, row, column, showlegend=place == 0)
        except ValueError as error:
            raise ValueError(f"panel {panel!r}: {error}") from error
    _finish(figure, metric, title)
    if rows > 1 or columns > 1:
        figure.update_layout(height=120 + 280 * rows, width=180 + 320 * columns)
        figure.update_yaxes(title_text=None)
        figure.update_yaxes(title_text=metric_name(metric), col=1)
    return figure


def _add_curves(
    figure: go.Figure,
    metrics: pd.DataFrame,
    evaluators: Sequence[str],
    metric: str,
    row: int | None = None,
    column: int | None = None,
    showlegend: bool = True,
) -> None:
    for evaluator, style in evaluator_styles(evaluators).items():
        curve = evaluator_curve(metrics, evaluator, metric)
        figure.add_scatter(
            x=millions(curve["sequences_seen"]),
            y=curve["value"].to_numpy(),
            name=style.name,
            legendgroup=evaluator,
            showlegend=showlegend,
            mode="lines",
            line={"color": style.colour, "dash": style.dash, "width": 2},
            hovertemplate="%{y:.3f}",
            row=row,
            col=column,
        )


def _add_landmarks(
    figure: go.Figure,
    metrics: pd.DataFrame,
    evaluators: Sequence[str],
    metric: str,
    found: Landmarks,
) -> None:
    styles = evaluator_styles(evaluators)
    flip, icl = found.flip_peak, found.icl_peak
    # (curve it sits on, where, what the legend says)
    marks: list[tuple[str, float | None, str]] = [
        ("train", found.plateau_end, "plateau ends"),
        ("flip", flip.sequences_seen if flip else None, f"Flip peaks ({_value(flip)})"),
        ("flip", found.crossing, f"Flip falls through {CHANCE}"),
        ("icl", icl.sequences_seen if icl else None, f"ICL peaks ({_value(icl)})"),
    ]
    happened = [
        (evaluator, place, text)
        for evaluator, place, text in marks
        if place is not None and evaluator in styles
    ]
    happened.sort(key=lambda mark: mark[1])
    for number, (evaluator, place, text) in enumerate(happened, start=1):
        curve = evaluator_curve(metrics, evaluator, metric)
        figure.add_scatter(
            x=[place / 1e6],
            y=[float(np.interp(place, curve["sequences_seen"], curve["value"]))],
            name=f"{number}: {text}, {sequence_count(place)}",
            mode="markers+text",
            text=[f"<b>{number}</b>"],
            textfont={"size": 11, "color": styles[evaluator].colour},
            marker={
                "size": 18,
                "color": "white",
                "line": {"color": styles[evaluator].colour, "width": 2},
            },
            hoverinfo="skip",
        )


def _value(peak: Peak | None) -> str:
    return f"{peak.value:.2f}" if peak else ""


def _finish(figure: go.Figure, metric: str, title: str | None) -> None:
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    figure.update_yaxes(title_text=metric_name(metric))
    if is_fraction(metric):
        figure.update_yaxes(range=[-0.02, 1.04])
    if metric == "in_context_accuracy":
        figure.add_hline(y=CHANCE, line={"color": "#888888", "dash": "dot", "width": 1})
    figure.update_layout(title=title, template=TEMPLATE)
