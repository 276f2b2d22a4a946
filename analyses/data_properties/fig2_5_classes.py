"""Figure 2.5: many classes bring in-context learning, and hold in-weights learning back.

At 100 classes there is none; it rises with their number while in-weights learning falls, and not
only because each class is seen less often: at as many sequences for each class, more classes are
still learned later (thesis, section 2.3.2, Figure 2.5).

Up to 1,600, classes are upright characters; 3,200 and 12,800 are 400 and 1,600 characters, each in
eight orientations. From the one kind to the other, how alike classes are changes together with
their number, and which of the two matters cannot be told there.

Rules, written before the runs: "emerged" as in Figure 2.2; in order is within 0.02, noise of two
standard errors, from each number of classes to the next. In-weights learning is compared at as many
sequences per class as the run with more classes reaches.

Changed on 2026-11-28, before these runs were looked at: in order needs two numbers of classes at
least, and says nothing of fewer; it failed there before.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    HELD_OUT,
    ICL_AND_IWL,
    each_seed,
    in_order,
    number_of,
    planned_curves,
    shapes,
    swept_panels,
)
from coopetition_interp.analysis.moments import value_at
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by number of classes, and the shapes of both curves."""
    base = planned_curves(study, "burstiness", p_bursty=0.9)
    config: Any = study.require("burstiness", p_bursty=0.9)[0].config
    varied = planned_curves(study, "classes")
    base = base[base["init_seed"].isin(varied["init_seed"])]
    curves = pd.concat([varied, base.assign(n_classes=config.classes.n_train)], ignore_index=True)
    return {
        "": curves,
        "icl": shapes(curves, "n_classes", HELD_OUT),
        "iwl": shapes(curves, "n_classes", "iwl"),
    }


def draw(tables: Tables) -> go.Figure:
    """A curve for each number of classes."""
    return swept_panels(tables[""], "n_classes", "Classes", ICL_AND_IWL, "{:,} classes".format)


PUBLISHED = {
    "highest ICL with the fewest classes": "chance at 100",
    "ICL's highest rises with the number of classes": "yes",
    "IWL at the end falls with the number of classes": "yes",
    "IWL at as many sequences per class, more classes less fewer": "later with more",
}


def rules(tables: Tables) -> list[Rule]:
    """ICL on held-out classes; the last compares the two middle numbers of classes."""
    icl, iwl = tables["icl"], tables["iwl"]
    fewest, rises, falls, matched = PUBLISHED
    *_, few, many, _ = [0, 0, 0, *sorted(icl["n_classes"].unique())]
    differences = by_seed(tables[""], lambda rows: _at_equal_exposure(rows, few, many))
    return [
        NumberRule(
            fewest, number_of(icl, "height", n_classes=icl["n_classes"].min()), "under", 0.55
        ),
        each_seed(rises, icl, lambda rows: in_order(_by_classes(rows, "height"))),
        each_seed(falls, iwl, lambda rows: in_order(_by_classes(rows, "end")[::-1])),
        NumberRule(matched, differences, "under", 0.0),
    ]


def _by_classes(rows: pd.DataFrame, column: str) -> list[float]:
    return rows.sort_values("n_classes")[column].tolist()


def _at_equal_exposure(runs: pd.DataFrame, few: int, many: int) -> float:
    of_few, of_many = (
        runs[(runs["n_classes"] == n) & runs["evaluator"].notna()] for n in (few, many)
    )
    if of_few.empty or of_many.empty:
        return math.nan
    end = of_many["sequences_seen"].max()
    at_few = value_at(of_few, "iwl", float(end) * few / many)
    at_many = value_at(of_many, "iwl", float(end))
    return math.nan if at_few is None or at_many is None else at_many - at_few


if __name__ == "__main__":
    draw_figure_file(__file__)
