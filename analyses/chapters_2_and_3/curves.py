"""What the figures of chapters 2 and 3 share: curves by a swept value, their shapes, rules.

A run that is planned and not finished (not begun, failed, diverged) is a row without numbers, and a
rule on a seed that lacks one of its runs cannot be judged there. Changed on 2026-11-28: such runs
were left out before, and the seed judged by the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from coopetition_interp.analysis.peaks import CurveShape, shape_of
from coopetition_interp.reporting.by_seed import rows_by_seed
from coopetition_interp.reporting.seed_curves import curve_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import CurveStyle
from coopetition_interp.reporting.verdicts import YesNoRule

ANSWERS = "share of answers right"
Panel = tuple[str, str]
"""An evaluator, and the metric that is drawn of it."""

HELD_OUT = "held_out_icl"
"""The evaluator of in-context learning on classes never trained on."""

PEAKS_LATER = "icl_peaks_later"
"""A column of curves that are cut: whether ICL is known to be highest after the cut."""

ICL_AND_IWL: dict[str, Panel] = {
    "ICL, held-out classes": (HELD_OUT, "in_context_accuracy"),
    "IWL": ("iwl", "accuracy"),
}
ON_TRAINING_CLASSES: dict[str, Panel] = {
    "ICL": ("icl", "in_context_accuracy"),
    "IWL": ("iwl", "accuracy"),
}


def planned_curves(study: Study, role: str, **about: Any) -> pd.DataFrame:
    """As `Study.curves`, and a row without metrics for each planned run that is not finished.

    A seed of which no run is finished is left out: it is not made, and the others are judged.

    Raises:
        StudyError: No such run is finished.
    """
    wanted = {"role": role, **about}
    finished = study.curves(role, **about)
    begun = set(finished["init_seed"])
    unfinished = [
        dict(run.about)
        for run in study.planned()
        if wanted.items() <= run.about.items() and not run.is_finished and run.init_seed in begun
    ]
    return pd.concat([finished, pd.DataFrame(unfinished)], ignore_index=True)


def up_to(curves: pd.DataFrame, end: float) -> pd.DataFrame:
    """Curves cut at a number of sequences seen; runs that are not finished keep their row."""
    return curves[~(curves["sequences_seen"] > end)]


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
        table: Metrics of runs (`planned_curves`).
        by: Columns that tell runs apart, besides `init_seed`.
        evaluator: Whose curve.
        metric: Which.
        until: Sequences seen at which longer runs are cut; a curve that peaks after that is rising.

    Returns:
        The columns `by`, "init_seed", "finished", those of `CurveShape`, "emerged", "transient",
        "end", the mean of the last tenth, and "last", the sequences seen there; missing values
        where the run is not finished. ICL of a default run that is cut before its peak (see
        `beside_default`) is rising.
    """
    names = [*([by] if isinstance(by, str) else by), "init_seed"]
    rows = []
    for key, whole in table.groupby(names):
        run = whole if until is None else up_to(whole, until)
        found: dict[str, Any] = dict(zip(names, key, strict=True))  # type: ignore[arg-type]
        found["finished"] = bool(run["evaluator"].notna().any())
        if found["finished"]:
            shape = shape_of(run, evaluator, metric)
            later = evaluator == "icl" and run.get(PEAKS_LATER, pd.Series(False)).any()
            if until is not None and len(run) < len(whole):
                later = later or shape_of(whole, evaluator, metric).peak > until
            if later:
                shape = replace(shape, rising=True)
            told = {"emerged": shape.emerged, "transient": shape.transient}
            ends = {"end": shape.height - shape.fall, "last": run["sequences_seen"].max()}
            found |= {**asdict(shape), **told, **ends}
        rows.append(found)
    of_shape = [*(field.name for field in fields(CurveShape)), "emerged", "transient"]
    table = pd.DataFrame(rows).reindex(columns=[*names, "finished", *of_shape, "end", "last"])
    # In this dtype "all" and "any" reckon with what is not known.
    return table.astype(dict.fromkeys(("rising", "emerged", "transient"), "boolean"))


def number_of(
    found: pd.DataFrame,
    column: str,
    emerged: bool = False,
    settled: bool = False,
    transient: bool = False,
    **where: Any,
) -> dict[int, float]:
    """A column of `shapes` by seed, of the runs where the other columns are as given.

    A fall, or a slope after the peak, is NaN where the curve is still rising at its end.

    Args:
        found: From `shapes`.
        column: Which number.
        emerged: NaN where the curve did not leave chance, of which its shape says nothing.
        settled: NaN where it is still rising, whatever the column.
        transient: NaN where it did not fall, so that nothing could be kept.
        **where: Values of other columns.
    """
    for name, value in where.items():
        found = found[found[name] == value]
    values = found[column]
    if emerged:
        values = values.where(found["emerged"].fillna(False))
    if settled or column in ("fall", "slope"):
        values = values.mask(found["rising"].fillna(False))
    if transient:
        values = values.where(found["transient"].fillna(False))
    return {int(seed): float(value) for seed, value in zip(found["init_seed"], values, strict=True)}


def only_where(values: Mapping[int, float], holds: Mapping[int, bool]) -> dict[int, float]:
    """Numbers by seed; NaN where something else does not hold of the seed, or is not known."""
    return {seed: value if holds.get(seed) else math.nan for seed, value in values.items()}


def less(one: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    """The difference within each seed; NaN where one of the two lacks it."""
    seeds = sorted({*one, *other})
    return {seed: one.get(seed, math.nan) - other.get(seed, math.nan) for seed in seeds}


def trends(
    found: pd.DataFrame,
    over: str,
    column: str,
    scale: Callable[[np.ndarray], np.ndarray] = np.asarray,
    emerged: bool = False,
    some_emerged: bool = False,
    settled: bool = False,
) -> dict[int, float]:
    """By seed, the least-squares slope of a column over a swept one.

    Args:
        found: From `shapes`.
        over: What was swept.
        column: What may follow it.
        scale: Of the swept values, such as `np.log2`.
        emerged: NaN for a seed one of whose runs did not leave chance.
        some_emerged: NaN for a seed none of whose runs did.
        settled: NaN for a seed one of whose curves is still rising.

    Returns:
        NaN for a seed one of whose runs is not finished.
    """
    slopes = {}
    for seed, rows in rows_by_seed(found).items():
        slope = math.nan
        told = (
            rows["finished"].all()
            and (not emerged or rows["emerged"].all())
            and (not some_emerged or rows["emerged"].any())
            and (not settled or not rows["rising"].any())
        )
        if len(rows) > 1 and told:
            slope = float(np.polyfit(scale(rows[over].to_numpy(dtype=float)), rows[column], 1)[0])
        slopes[seed] = slope
    return slopes


def each_seed(
    statement: str, found: pd.DataFrame, holds: Callable[[pd.DataFrame], Any]
) -> YesNoRule:
    """A rule on the runs of each seed.

    Args:
        statement: Of the rule.
        found: A row for each run, with the columns "init_seed" and "finished".
        holds: Whether it holds, from the rows of a seed; None or NA if that cannot be told.
    """
    by_seed: dict[int, bool | None] = {}
    for seed, rows in rows_by_seed(found).items():
        told = holds(rows) if rows["finished"].all() else None
        by_seed[seed] = None if told is None or told is pd.NA else bool(told)
    return YesNoRule(statement, by_seed)


def all_transient(rows: pd.DataFrame) -> Any:
    """Whether each curve of a seed fell after its peak.

    Args:
        rows: Of `shapes`.

    Returns:
        None or NA if that cannot be told: in-context learning did not emerge in one of them, or one
        is still rising.
    """
    return rows["transient"].all(skipna=False) if rows["emerged"].all() else None


def in_order(values: Sequence[float], slack: float = 0.02) -> bool | None:
    """Whether each is at least the one before, but for `slack`, and the last clearly more.

    None where there are not two to compare.
    """
    if len(values) < 2:
        return None
    steps = np.diff(values)
    return bool((steps >= -slack).all() and values[-1] > values[0] + slack)
