"""One evaluator's curve in several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.reporting.evaluators import CHANCE
from coopetition_interp.reporting.style import (
    TEMPLATE,
    CurveStyle,
    is_fraction,
    metric_name,
    millions,
    sequences_seen_axis,
)


def compare_runs(
    panels: Mapping[str, tuple[str, str]],
    metrics_by_run: Mapping[str, pd.DataFrame],
    styles: Mapping[str, CurveStyle],
    title: str,
) -> go.Figure:
    """Panels of one evaluator and metric each, with a curve for every run.

    Args:
        panels: Evaluator and metric, by the panel's title.
        metrics_by_run: Runs' metrics, by what the legend calls them.
        styles: Looks of the runs, by the same names.
        title: Of the figure.
    """
    figure = make_subplots(
        rows=1, cols=len(panels), subplot_titles=list(panels), horizontal_spacing=0.09
    )
    for col, (evaluator, metric) in enumerate(panels.values(), start=1):
        for name, metrics in metrics_by_run.items():
            curve = evaluator_curve(metrics, evaluator, metric)
            style = styles[name]
            figure.add_scatter(
                x=millions(curve["sequences_seen"]),
                y=curve["value"].to_numpy(),
                name=style.name,
                legendgroup=name,
                showlegend=col == 1,
                mode="lines",
                line={"color": style.colour, "dash": style.dash, "width": 2},
                hovertemplate="%{y:.3f}",
                row=1,
                col=col,
            )
        figure.update_yaxes(title_text=metric_name(metric), row=1, col=col)
        if is_fraction(metric):
            figure.update_yaxes(range=[-0.02, 1.04], row=1, col=col)
        if metric == "in_context_accuracy":
            figure.add_hline(y=CHANCE, line={"color": "#888888", "dash": "dot"}, row=1, col=col)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    figure.update_layout(title=title, template=TEMPLATE, width=320 + 480 * len(panels))
    return figure


def shades(names: Sequence[str], first: str = "#fdae61", last: str = "#40004b") -> dict[str, str]:
    """Colours from one to another, by name in their order."""
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (first, last)]
    colours = {}
    for place, name in enumerate(names):
        share = place / max(1, len(names) - 1)
        mixed = [round(a + share * (b - a)) for a, b in zip(*ends, strict=True)]
        colours[name] = "#" + "".join(f"{part:02x}" for part in mixed)
    return colours


def curve_of(
    metrics: pd.DataFrame, evaluator: str, metric: str = "in_context_accuracy"
) -> pd.Series:
    """One metric of one evaluator, by sequences seen."""
    return evaluator_curve(metrics, evaluator, metric).set_index("sequences_seen")["value"]


def at_end(metrics: pd.DataFrame, evaluator: str, metric: str = "in_context_accuracy") -> float:
    """The last value of a curve."""
    return float(curve_of(metrics, evaluator, metric).iloc[-1])


def highest(metrics: pd.DataFrame, evaluator: str, metric: str = "in_context_accuracy") -> float:
    """The highest value of a curve."""
    return float(curve_of(metrics, evaluator, metric).max())
