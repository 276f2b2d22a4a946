"""What the figures share about curves of the training loss: their shape in numbers and in words.

Every curve is of the evaluator "train": fixed sequences made as in training, so neighbouring points
differ by learning alone and not by what was sampled.

A phase change is a convexity gap of 0.15 or more: how far a curve stands above its lower convex
hull, as a share of what is left to fall; an exponential has none. It is taken of the probability,
of the two labels in context, that is not given to the right one. The loss also falls exponentially
from over 2 to log 2 as the network learns which labels are in context, which hides a circuit that
starts to form meanwhile. The gap of the loss is given besides.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import SupportsFloat

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.each_seed import NO_SEED, mean_and_range
from analyses.induction_heads.heads import heads_at_end, strongest_heads
from coopetition_interp.analysis.curves import first_crossing
from coopetition_interp.analysis.phase_change import loss_shape
from coopetition_interp.reporting.figure_file import Tables
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.seed_curves import curve_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.study_run import StudyRun
from coopetition_interp.reporting.style import CurveStyle, dotted_line
from coopetition_interp.reporting.verdicts import Beside

LOG_2 = math.log(2)
"""The plateau: the loss of guessing between the two labels in context."""

LEARNED_BELOW = 0.4 * LOG_2
"""The thesis calls a task learned when the loss gets there (Figure C.6): the learning time."""

STEPS_STYLES = {
    "nothing": CurveStyle("nothing", "#000000"),
    "step-1": CurveStyle("1 (attend to the previous token)", "#ff7f0e"),
    "steps-1-2": CurveStyle("1, 2 (layer 0)", "#d62728"),
    "match": CurveStyle("1, 2, 3qk, 4 (match)", "#2ca02c"),
    "copy": CurveStyle("3v, 5 (copy)", "#1f77b4"),
    "steps-1-2-and-copy": CurveStyle("1, 2, 3v, 5 (layer 0 and copy)", "#9467bd"),
}
"""Looks of runs by their clamped steps, coloured as in the thesis."""

CURVE_COLUMNS = ["sequences_seen", "loss", "accuracy", "p_right_in_context", "training_loss"]
"""What is drawn from a run's evaluations; `training_loss` is the mean since the one before."""

SHAPE_COLUMNS = ("kind", "convexity_gap", "plateau_end", "fall_start", "fall_middle", "fall_end")


def training_curves(runs: Iterable[StudyRun], name: str) -> pd.DataFrame:
    """Curves of runs.

    Args:
        runs: One at least.
        name: Of each curve, from what its run is: "head {head}", say.

    Returns:
        Columns `init_seed`, `curve`, and `CURVE_COLUMNS`.
    """
    tables = []
    for found in runs:
        metrics = found.metrics
        rows = metrics.loc[metrics["evaluator"] == "train", CURVE_COLUMNS].reset_index(drop=True)
        rows.insert(0, "curve", name.format(**found.about))
        rows.insert(0, "init_seed", found.init_seed)
        tables.append(rows)
    return pd.concat(tables, ignore_index=True)


def strongest_alone(study: Study) -> dict[int, StudyRun]:
    """By seed, the run with the main run's strongest head alone in layer 1.

    Raises:
        StudyError: No main run, or no such run, is finished.
    """
    mains = study.measured(heads_at_end, "main").groupby("init_seed")
    strongest = {seed: strongest_heads(heads)[0] for seed, heads in mains}
    singles = study.require("single_head")
    alone = {
        run.init_seed: run for run in singles if run.about["head"] == strongest.get(run.init_seed)
    }
    if not alone:
        raise StudyError(NO_SEED)
    return alone


def learning_time(curve: pd.DataFrame) -> float:
    """Sequences seen when a curve's loss falls below `LEARNED_BELOW`; NaN if it never does."""
    seen, loss = (curve[name].to_numpy(dtype=np.float64) for name in ("sequences_seen", "loss"))
    if loss[0] < LEARNED_BELOW:
        return float(seen[0])
    place = first_crossing(seen, loss, LEARNED_BELOW, falling=True)
    return math.nan if place is None else place


def curve_shapes(curves: pd.DataFrame) -> pd.DataFrame:
    """Whether each curve of each seed has a phase change (see the module), and when.

    Args:
        curves: As `training_curves` gives them.

    Returns:
        Columns `init_seed`, `curve`; of the choice in context: `kind`, `convexity_gap`,
        `plateau_end`, `fall_start`, `fall_middle`, `fall_end`, `duration` (of the fall, from a
        tenth to nine tenths; these in sequences seen, NaN unless there is a phase change); of the
        loss: `loss_kind`, `loss_gap`, `learning_time`, `last_loss`; `last_accuracy`.

    Raises:
        ValueError: See `loss_shape`.
    """
    rows = []
    for (seed, name), curve in curves.groupby(["init_seed", "curve"], sort=False):
        seen, loss = curve["sequences_seen"].to_numpy(), curve["loss"].to_numpy()
        shape = loss_shape(seen, 1 - curve["p_right_in_context"].to_numpy())
        of_loss = loss_shape(seen, loss)
        fields = asdict(shape)
        rows.append(
            {
                "init_seed": seed,
                "curve": name,
                **{column: fields[column] for column in SHAPE_COLUMNS},
                "duration": shape.duration,
                "loss_kind": of_loss.kind,
                "loss_gap": of_loss.convexity_gap,
                "learning_time": learning_time(curve),
                "last_loss": float(loss[-1]),
                "last_accuracy": float(curve["accuracy"].iloc[-1]),
            }
        )
    return pd.DataFrame(rows)


def curves_and_shapes(names: Collection[str], *curves: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A figure's tables: curves one under the other, and their shapes.

    Args:
        names: Of all curves that a seed needs; one that lacks any is left out.
        *curves: As `training_curves` gives them.

    Raises:
        StudyError: No seed has them all.
    """
    table = pd.concat(curves, ignore_index=True)
    complete = table.groupby("init_seed")["curve"].transform(lambda c: set(names) <= set(c))
    if not complete.any():
        raise StudyError(NO_SEED)
    table = table[complete].reset_index(drop=True)
    return {"": table, "shapes": curve_shapes(table)}


def draw_losses(
    curves: pd.DataFrame, panels: Mapping[str, Mapping[str, CurveStyle]], title: str, columns: int
) -> go.Figure:
    """Losses against sequences seen, with a dotted line at log 2.

    Args:
        curves: As `training_curves` gives them.
        panels: Looks of each panel's curves, by the panel's title.
        title: Of the figure.
        columns: Panels in a row.
    """
    figure = curve_panels(curves, panels, "loss", "curve", title, columns=columns)
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(rangemode="tozero")
    dotted_line(figure, LOG_2)
    return figure


def shapes_by_curve(tables: Tables) -> pd.DataFrame:
    """Shapes of a figure's curves, by their names."""
    return tables["shapes"].set_index("curve")


def learning_times(tables: Tables) -> pd.Series:
    """Of curves, by their names; NaN for those that are never learned."""
    return shapes_by_curve(tables)["learning_time"]


def times_beside(tables: Tables, names: Mapping[str, str]) -> list[Beside]:
    """When each curve's loss falls under 0.4 log 2.

    Args:
        tables: A figure's.
        names: What is said of each curve, by its name.
    """
    times = learning_times(tables)
    return [
        Beside(f"{what}: under 0.4 log 2", mean_and_range(times.loc[[name]], thousands))
        for name, what in names.items()
    ]


def thousands(sequences_seen: SupportsFloat) -> str:
    """Sequences seen in words, such as "320k"; "not reached" for NaN."""
    seen = float(sequences_seen)
    return "not reached" if math.isnan(seen) else f"{seen / 1e3:.0f}k"


def shape_told(tables: Tables, name: str) -> str:
    """The shapes of a curve in all seeds, in words."""
    rows = shapes_by_curve(tables).loc[[name]]
    kinds = rows["kind"].value_counts()
    parts = [
        ", ".join(f"{kind} in {n} of {len(rows)}" for kind, n in kinds.items()),
        f"gap {mean_and_range(rows['convexity_gap'], '{:.2f}'.format)}",
        f"gap of the loss {mean_and_range(rows['loss_gap'], '{:.2f}'.format)}",
    ]
    if "phase change" in kinds:
        parts.append(f"{mean_and_range(rows['duration'].dropna(), thousands)} long")
    parts.append(f"under 0.4 log 2: {mean_and_range(rows['learning_time'], thousands)}")
    return "; ".join(parts)
