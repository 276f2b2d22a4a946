"""How every figure looks: evaluators' names and colours, metrics' names, axes, template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from coopetition_interp.analysis.evaluator_curve import CHANCE


@dataclass(frozen=True)
class CurveStyle:
    """Look of a curve.

    Attributes:
        name: In legends.
        colour: A CSS colour.
        dash: Plotly's name of a dash pattern.
    """

    name: str
    colour: str
    dash: str = "solid"


ICL_COLOUR = "#1f77b4"
CIWL_COLOUR = "#2ca02c"
FLIP_COLOUR = "#d62728"
TRAIN_COLOUR = "#333333"
IWL_COLOUR = "#9a9a9a"

EVALUATOR_STYLES = {
    "train": CurveStyle("Train", TRAIN_COLOUR),
    "icl": CurveStyle("ICL", ICL_COLOUR),
    "ciwl": CurveStyle("CIWL", CIWL_COLOUR),
    "flip": CurveStyle("Flip", FLIP_COLOUR),
    "iwl": CurveStyle("IWL", IWL_COLOUR),
    "icl_matched": CurveStyle("ICL, matched sequences", ICL_COLOUR, "dash"),
    "flip_matched": CurveStyle("Flip, matched sequences", FLIP_COLOUR, "dash"),
    "held_out_icl": CurveStyle("ICL, held-out classes", ICL_COLOUR, "dash"),
    "held_out_icl_only": CurveStyle("ICL-only, held-out classes", ICL_COLOUR, "dot"),
    "held_out_exemplars": CurveStyle("held-out exemplars", "#8c564b"),
    "held_out_classes": CurveStyle("held-out classes", "#ff7f0e"),
    "held_out_label_pairs": CurveStyle("held-out label pairs", "#17becf"),
}
"""Colours as in the coopetition paper: ICL blue, CIWL green, Flip red, IWL gray, Train black."""

PALETTE = ("#9467bd", "#e377c2", "#bcbd22", "#7f7f7f", "#aec7e8", "#98df8a", "#ffbb78", "#c5b0d5")
"""For curves that are no evaluator with a colour of its own: heads, runs, other evaluators."""

METRIC_NAMES = {
    "loss": "loss (nats)",
    "accuracy": "accuracy (all labels)",
    "class_accuracy": "accuracy (any label of the class)",
    "in_context_accuracy": "in-context accuracy",
    "p_right": "probability of the right label",
    "p_right_in_context": "probability of the right label, of those in context",
    "p_context": "probability of the labels in context",
    "training_loss": "training loss (nats)",
}


def evaluator_styles(evaluators: Iterable[str]) -> dict[str, CurveStyle]:
    """Look of each evaluator's curve; those without one of their own take the palette in turn."""
    styles: dict[str, CurveStyle] = {}
    n_others = 0
    for evaluator in evaluators:
        if evaluator in EVALUATOR_STYLES:
            styles[evaluator] = EVALUATOR_STYLES[evaluator]
        else:
            styles[evaluator] = CurveStyle(evaluator, PALETTE[n_others % len(PALETTE)])
            n_others += 1
    return styles


def head_style(head: int) -> CurveStyle:
    """The look of a head, of whatever layer, in every figure."""
    return CurveStyle(f"head {head}", PALETTE[head % len(PALETTE)])


def metric_name(metric: str) -> str:
    """What an axis calls a metric."""
    return METRIC_NAMES.get(metric, metric)


def is_fraction(metric: str) -> bool:
    """Whether a metric lies between 0 and 1."""
    return not metric.endswith("loss")


def millions(sequences_seen: ArrayLike) -> np.ndarray:
    """Sequences seen in the unit of every sequences-seen axis."""
    return np.asarray(sequences_seen, dtype=np.float64) / 1e6


def sequence_count(sequences: float | int) -> str:
    """A number of sequences in words, with three significant digits: "640", "16.3k", "2.45M"."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if sequences >= 0.9995 * unit:
            return f"{float(f'{sequences / unit:.3g}'):g}{letter}"
    return f"{sequences:.3g}"


def sequences_seen_axis() -> dict[str, Any]:
    """Layout of an axis whose data are ``millions(sequences_seen)``."""
    return {"title": {"text": "sequences seen"}, "ticksuffix": "M", "hoverformat": ".3g"}


def evaluator_axes(figure: go.Figure, metric: str) -> None:
    """Gives a figure of a metric against sequences seen its axes, and a line at chance."""
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    if is_fraction(metric):
        figure.update_yaxes(range=[-0.02, 1.04])
    if metric == "in_context_accuracy":
        chance_line(figure)


def chance_line(figure: go.Figure, **where: Any) -> None:
    """Draws a dotted line at an accuracy of chance, in every panel or in the one given."""
    dotted_line(figure, CHANCE, **where)


DOTTED = {"color": "#888888", "dash": "dot", "width": 1}
"""Look of a line that marks a place or a value."""


def dotted_line(figure: go.Figure, y: float, **where: Any) -> None:
    """Draws a level dotted line, in every panel or in the one given."""
    figure.add_hline(y=y, line=DOTTED, **where)


def _template() -> go.layout.Template:
    template = go.layout.Template(pio.templates["plotly_white"])
    template.layout.font = {"family": "Helvetica, Arial, sans-serif", "size": 14}
    template.layout.colorway = PALETTE
    template.layout.hovermode = "x unified"
    template.layout.margin = {"l": 70, "r": 20, "t": 60, "b": 60}
    for axis in (template.layout.xaxis, template.layout.yaxis):
        axis.showline = True
        axis.linecolor = "#333333"
        axis.ticks = "outside"
        axis.zeroline = False
        axis.gridcolor = "#eeeeee"
    return template


TEMPLATE = _template()
"""Plotly template of the project's figures."""


def grid_of_panels(titles: Sequence[str], columns: int) -> tuple[go.Figure, int, int]:
    """An empty figure with a panel for each title, side by side and one y axis a row.

    Args:
        titles: Of the panels, one at least.
        columns: Panels in a row, at most.

    Returns:
        The figure, its rows and its columns.
    """
    columns = min(columns, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(titles),
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.3 / rows,
    )
    return figure, rows, columns
