"""Figure 4.9: data-dependent delays.

More classes delay the phase change by making the match harder and not the copy; more labels, by
making the copy harder and not the match (thesis 4.5, Figure 4.9). The delay is that of the time at
which the loss falls under 0.4 log 2, from the fewest to the most classes or labels.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.curves import (
    curves_and_shapes,
    draw_losses,
    thousands,
    training_curves,
)
from analyses.induction_heads.each_seed import Holds, each_seed, judged, mean_and_range
from analyses.induction_heads.runs import SCALING
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import CurveStyle
from coopetition_interp.reporting.verdicts import Beside, Rule

LEARNED = {
    "full": "all of it",
    "match-left": "subcircuit B (match)",
    "copy-left": "subcircuit C (copy)",
    "both-left": "B and C",
}
"""What is left to learn in each column; the rest of the circuit is clamped."""

COLOURS = {
    "classes": ("#9ecae1", "#6baed6", "#2171b5", "#08306b"),
    "labels": ("#a1d99b", "#41ab5d", "#00441b"),
}
ALIKE = (("classes", "copy-left"), ("labels", "match-left"))
"""Panels in which nothing is delayed; in the others it is."""

LEAST_DELAY = 1.5
MOST_DELAY = 1.25
"""Times as late from which on it is delayed, and up to which it is not."""


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Curves at every number of classes and labels; their shapes, with the two numbers."""
    name = "{n_classes} classes, {n_labels} labels/{left}"
    names = [
        name.format(n_classes=n_classes, n_labels=n_labels, left=left)
        for n_classes, n_labels in SCALING
        for left in LEARNED
    ]
    tables = curves_and_shapes(names, training_curves(study.require("scaling"), name))
    shapes = tables["shapes"]
    sizes = shapes["curve"].str.extract(
        r"(?P<classes>\d+) classes, (?P<labels>\d+) .*/(?P<left>.+)"
    )
    sizes = sizes.astype({"classes": int, "labels": int})
    return {**tables, "shapes": pd.concat([sizes, shapes], axis=1)}


def draw(tables: Tables) -> go.Figure:
    """A row each for classes and labels, a column for what is left to learn, the rest clamped."""
    panels = {}
    first = next(iter(each_seed(tables).values()))
    for what, colours in COLOURS.items():
        for left, learned in LEARNED.items():
            rows = _row(first, what, left)
            panels[f"{what}: {learned}"] = {
                curve: CurveStyle(f"{size} {what}", colour)
                for curve, size, colour in zip(rows["curve"], rows[what], colours, strict=True)
            }
    figure = draw_losses(tables[""], panels, "What more classes and labels delay", columns=4)
    figure.update_annotations(font_size=11)
    return figure


def _statement(what: str, left: str) -> str:
    if (what, left) in ALIKE:
        return f"more {what}: {LEARNED[left]} at most {MOST_DELAY} times as late"
    return f"more {what}: {LEARNED[left]} at least {LEAST_DELAY} times as late"


PANELS = [(what, left) for what in COLOURS for left in LEARNED]
PUBLISHED = {_statement(*panel): "the same" if panel in ALIKE else "later" for panel in PANELS}


def rules(tables: Tables) -> list[Rule]:
    """Which are delayed; one that never learns is delayed, unless the first never does either."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Holds]:
    found = []
    for panel in PANELS:
        times = _row(tables, *panel)["learning_time"]
        first, last = times.iloc[0], times.fillna(float("inf")).iloc[-1]
        held = last <= MOST_DELAY * first if panel in ALIKE else last >= LEAST_DELAY * first
        found.append(Holds(_statement(*panel), held))
    return found


def beside(tables: Tables) -> list[Beside]:
    """The times themselves."""
    found = []
    for what, left in PANELS:
        times = _row(tables, what, left).groupby(what)["learning_time"]
        sizes = ", ".join(str(size) for size, _ in times)
        statement = f"{LEARNED[left]}: under 0.4 log 2 with {sizes} {what}"
        told = ", ".join(mean_and_range(of_size, thousands) for _, of_size in times)
        found.append(Beside(statement, told))
    return found


def _row(tables: Tables, what: str, left: str) -> pd.DataFrame:
    """Shapes of a panel's curves, from the fewest to the most classes or labels."""
    shapes = tables["shapes"]
    other = "labels" if what == "classes" else "classes"
    rows = shapes[(shapes["left"] == left) & (shapes[other] == shapes[other].min())]
    return rows.sort_values(what)


if __name__ == "__main__":
    draw_figure_file(__file__)
