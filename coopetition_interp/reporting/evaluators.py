"""Evaluators over training, of one run."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.reporting.style import (
    TEMPLATE,
    evaluator_axes,
    evaluator_styles,
    metric_name,
    millions,
)


def evaluator_curves(
    metrics: pd.DataFrame,
    evaluators: Sequence[str] = ("icl", "ciwl", "flip", "train"),
    metric: str = "in_context_accuracy",
    title: str | None = None,
) -> go.Figure:
    """A metric of several evaluators against sequences seen.

    Args:
        metrics: A run's metrics, a row per moment and evaluator.
        evaluators: Which to draw, by name.
        metric: What to draw of them.
        title: Of the figure.

    Raises:
        TypeError: `metrics` is no table, or `evaluators` a single text.
        ValueError: The table lacks an evaluator or the metric, or the metric is NaN throughout.
    """
    if not isinstance(metrics, pd.DataFrame):
        raise TypeError(f"metrics is a table, such as run.metrics; got a {type(metrics).__name__}")
    if isinstance(evaluators, str):
        raise TypeError(f"evaluators are several names, such as ({evaluators!r},); got a text")
    figure = go.Figure()
    for evaluator, style in evaluator_styles(evaluators).items():
        curve = evaluator_curve(metrics, evaluator, metric)
        figure.add_scatter(
            x=millions(curve["sequences_seen"]),
            y=curve["value"].to_numpy(),
            name=style.name,
            legendgroup=evaluator,
            showlegend=True,
            mode="lines",
            line={"color": style.colour, "dash": style.dash, "width": 2},
            hovertemplate="%{y:.3f}",
        )
    evaluator_axes(figure, metric)
    figure.update_layout(title=title, template=TEMPLATE, yaxis_title_text=metric_name(metric))
    return figure
