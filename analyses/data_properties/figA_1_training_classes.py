"""Figure A.1: on classes that were trained on, in-context learning looks the same.

The curves of Figures 2.2 and 2.3 on training classes show the same patterns, slightly higher
(thesis, appendix A.1).

Rules, written before the runs: "slightly higher" is a mean difference over the run between 0 and
0.05 where every sequence is bursty.

Changed on 2026-11-28, before the runs of Figure 2.3 were looked at: they are judged too, by the
same rules, and not only those of Figure 2.2. Of one drawing, the mean over amounts of noise.
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    HELD_OUT,
    ON_TRAINING_CLASSES,
    planned_curves,
    swept_panels,
)
from coopetition_interp.analysis.peaks import window_mean
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule

ALL_DRAWINGS = "ICL on training classes less held-out ones, mean of the run"
ONE_DRAWING = f"one drawing a class: {ALL_DRAWINGS}"


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics at every share of bursty sequences, and those of one drawing a class."""
    burstiness = planned_curves(study, "burstiness")
    none = burstiness[:0].assign(noise=0.0)
    one_drawing = planned_curves(study, "variation") if study.runs("variation") else none
    return {"": burstiness, "one_drawing": one_drawing}


def draw(tables: Tables) -> go.Figure:
    """A curve for each share of bursty sequences."""
    title = "On training classes"
    return swept_panels(tables[""], "p_bursty", title, ON_TRAINING_CLASSES, "p(bursty) {}".format)


PUBLISHED = dict.fromkeys((ALL_DRAWINGS, ONE_DRAWING), "slightly higher")


def rules(tables: Tables) -> list[Rule]:
    """Higher, but not by much."""
    found: list[Rule] = []
    for statement, name in zip(PUBLISHED, ("", "one_drawing"), strict=True):
        runs = tables[name]
        differences = by_seed(runs[runs["p_bursty"] == 1.0], _mean_difference)
        found += [
            NumberRule(statement, differences, "over", 0.0),
            NumberRule(statement, differences, "under", 0.05),
        ]
    return found


def _mean_difference(runs: pd.DataFrame) -> float:
    """Over all amounts of noise; NaN if a run is not finished."""
    if runs["evaluator"].isna().any():
        return math.nan
    each = [run for _, run in runs.groupby("noise")] if "noise" in runs else [runs]
    return math.fsum(map(_difference, each)) / len(each)


def _difference(run: pd.DataFrame) -> float:
    trained, held_out = (window_mean(run, name, start=0.0) for name in ("icl", HELD_OUT))
    return trained - held_out


if __name__ == "__main__":
    draw_figure_file(__file__)
