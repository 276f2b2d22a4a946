"""What the figures of chapters 2 and 3 share: curves by a swept value, their shapes, rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from coopetition_interp.analysis.peaks import shape_of
from coopetition_interp.reporting.seed_curves import curve_panels
from coopetition_interp.reporting.style import CurveStyle
from coopetition_interp.reporting.verdicts import YesNoRule

ANSWERS = "share of answers right"
Panel = tuple[str, str]
"""An evaluator, and the metric that is drawn of it."""

HELD_OUT = "held_out_icl"
"""The evaluator of in-context learning on classes never trained on."""

ICL_AND_IWL: dict[str, Panel] = {
    "ICL, held-out classes": (HELD_OUT, "in_context_accuracy"),
    "IWL": ("iwl", "accuracy"),
}
ON_TRAINING_CLASSES: dict[str, Panel] = {
    "ICL": ("icl", "in_context_accuracy"),
    "IWL": ("iwl", "accuracy"),
}


def swept_panels(
    table: pd.DataFrame,
    swept: str,
    title: str,
    panels: Mapping[str, Panel],
    name: Callable[[Any], str] = str,
    y: str = ANSWERS,
) -> go.Figure:
    """A panel for each evaluator, in it a curve for each value that was swept.

    Args:
        table: Metrics of runs (`Study.curves`), with the column `swept`.
        swept: Which column tells the curves.
        title: Of the figure.
        panels: What is drawn, by the panel's title.
        name: A value in words.
        y: What the axis calls it.
    """
    values = sorted(table[swept].unique())
    places = np.linspace(0, 0.9, len(values)) if len(values) > 1 else [0.3]
    colours = sample_colorscale("Viridis", list(places))
    styles = {
        value: CurveStyle(name(value), colour)
        for value, colour in zip(values, colours, strict=True)
    }
    long = pd.concat(
        [
            table[table["evaluator"] == evaluator].assign(panel=panel, **{y: table[metric]})
            for panel, (evaluator, metric) in panels.items()
        ]
    ).dropna(subset=[y])
    return curve_panels(long, dict.fromkeys(panels, styles), y, swept, title, within="panel")


def size_names(table: pd.DataFrame) -> list[str]:
    """Each row's classes and exemplars, as in "1,600 x 20"."""
    sizes = zip(table["n_classes"], table["n_exemplars"], strict=True)
    return [f"{classes:,} x {exemplars}" for classes, exemplars in sizes]


def shapes(
    table: pd.DataFrame,
    by: str | Sequence[str],
    evaluator: str = "icl",
    metric: str = "in_context_accuracy",
    until: float | None = None,
) -> pd.DataFrame:
    """The shape of an evaluator's curve in every run.

    Args:
        table: Metrics of runs.
        by: Columns that tell runs apart, besides `init_seed`.
        evaluator: Whose curve.
        metric: Which.
        until: Sequences seen at which longer runs are cut.

    Returns:
        The columns `by`, "init_seed", those of `CurveShape`, "emerged", "transient" and "end", the
        mean of the last tenth.
    """
    names = [*([by] if isinstance(by, str) else by), "init_seed"]
    if until is not None:
        table = table[table["sequences_seen"] <= until]
    rows = []
    for key, run in table.groupby(names):
        shape = shape_of(run, evaluator, metric)
        told = {"emerged": shape.emerged, "transient": shape.transient}
        rows.append(
            {
                **dict(zip(names, key, strict=True)),  # type: ignore[arg-type]
                **asdict(shape),
                **told,
                "end": shape.height - shape.fall,
            }
        )
    return pd.DataFrame(rows)


def number_of(
    found: pd.DataFrame, column: str, emerged: bool = False, **where: Any
) -> dict[int, float]:
    """A column of `shapes` by seed, of the runs where the other columns are as given.

    Args:
        found: From `shapes`.
        column: Which number.
        emerged: NaN where the curve did not leave chance, of which its shape says nothing.
        **where: Values of other columns.
    """
    for name, value in where.items():
        found = found[found[name] == value]
    values = found[column].where(found["emerged"]) if emerged else found[column]
    return {int(seed): float(value) for seed, value in zip(found["init_seed"], values, strict=True)}


def less(one: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    """The difference within each seed that both have."""
    return {seed: one[seed] - other[seed] for seed in one if seed in other}


def trends(
    found: pd.DataFrame,
    over: str,
    column: str,
    scale: Callable[[np.ndarray], np.ndarray] = np.asarray,
    emerged: bool = False,
) -> dict[int, float]:
    """By seed, the least-squares slope of a column over a swept one.

    Args:
        found: From `shapes`.
        over: What was swept.
        column: What may follow it.
        scale: Of the swept values, such as `np.log2`.
        emerged: NaN for a seed one of whose runs did not leave chance.
    """
    slopes = {}
    for seed, rows in found.groupby("init_seed"):
        slope = math.nan
        if len(rows) > 1 and (not emerged or rows["emerged"].all()):
            slope = float(np.polyfit(scale(rows[over].to_numpy(dtype=float)), rows[column], 1)[0])
        slopes[int(str(seed))] = slope
    return slopes


def each_seed(
    statement: str, found: pd.DataFrame, holds: Callable[[pd.DataFrame], Any]
) -> YesNoRule:
    """A rule on the runs of each seed."""
    return YesNoRule(
        statement,
        {int(str(seed)): bool(holds(rows)) for seed, rows in found.groupby("init_seed")},
    )


def in_order(values: Sequence[float], slack: float = 0.02) -> bool:
    """Whether each is at least the one before, but for `slack`, and the last clearly more."""
    steps = np.diff(values)
    return bool((steps >= -slack).all() and values[-1] > values[0] + slack)
