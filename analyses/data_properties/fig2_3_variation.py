"""Figure 2.3: variation within classes brings in-context learning about.

With one drawing of each class there is in-weights learning only; noise on the one drawing, and the
full set of drawings, bring in-context learning. The less variation, the more bursty the data have
to be for it; with the full set both forms are best (thesis, section 2.3.2, Figure 2.3). That both
are best is not judged.

Noise is on what the model reads: on features where drawings are embedded beforehand, on pixels at
the published scale.

Rules, written before the runs: "emerged" as in Figure 2.2. The least noise at which in-context
learning emerges counts as infinite where it does at none; it has to fall, or stay, as p(bursty)
rises, and to fall somewhere.

Changed on 2026-11-28, before these runs were looked at: a seed in which in-context learning emerges
nowhere leaves the last rule undecided, as the reference has it; it failed there before.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    HELD_OUT,
    ICL_AND_IWL,
    each_seed,
    number_of,
    planned_curves,
    shapes,
    swept_panels,
    trends,
    up_to,
)
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule

ALL_DRAWINGS = "all drawings"


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics of one drawing with noise and of all drawings, and the shapes of both curves."""
    one = planned_curves(study, "variation")
    every = planned_curves(study, "burstiness").assign(noise=np.inf)
    seeds, end = one["init_seed"].unique(), one["sequences_seen"].max()
    every = every[every["p_bursty"].isin(one["p_bursty"].unique())]
    every = up_to(every[every["init_seed"].isin(seeds)], end)
    curves = pd.concat([one, every], ignore_index=True)
    by = ["p_bursty", "noise"]
    return {"": curves, "icl": shapes(curves, by, HELD_OUT), "iwl": shapes(curves, by, "iwl")}


def draw(tables: Tables) -> go.Figure:
    """A curve for each amount of variation, where every sequence is bursty."""
    runs = tables[""]
    title = "Variation within classes, p(bursty) 1"
    return swept_panels(runs[runs["p_bursty"] == 1.0], "noise", title, ICL_AND_IWL, _name)


def _name(noise: float) -> str:
    return ALL_DRAWINGS if np.isinf(noise) else f"one drawing, noise {noise:g}"


PUBLISHED = {
    "one drawing, p(bursty) 1: ICL's highest against noise: slope": "rises",
    "one drawing, p(bursty) 1: IWL at the end against noise: slope": "falls",
    "one drawing without noise, p(bursty) 0.9: ICL's highest": "chance",
    "the least noise with ICL falls as p(bursty) rises": "yes",
}


def rules(tables: Tables) -> list[Rule]:
    """On held-out classes."""
    one = {name: tables[name][np.isfinite(tables[name]["noise"])] for name in ("icl", "iwl")}
    bursty = {name: rows[rows["p_bursty"] == 1.0] for name, rows in one.items()}
    icl, iwl, lone, least = PUBLISHED
    return [
        NumberRule(icl, trends(bursty["icl"], "noise", "height"), "over", 0.0),
        NumberRule(iwl, trends(bursty["iwl"], "noise", "end"), "under", 0.0),
        NumberRule(lone, number_of(one["icl"], "height", p_bursty=0.9, noise=0.0), "under", 0.55),
        each_seed(least, one["icl"], _least_noise_falls),
    ]


def _least_noise_falls(rows: pd.DataFrame) -> bool | None:
    if not rows["emerged"].any():
        return None
    emerged = rows[rows["emerged"]].groupby("p_bursty")["noise"].min()
    least = emerged.reindex(sorted(rows["p_bursty"].unique()), fill_value=np.inf).to_numpy()
    falls = [after <= before for before, after in itertools.pairwise(least)]
    return all(falls) and bool(least[-1] < least[0])


if __name__ == "__main__":
    draw_figure_file(__file__)
