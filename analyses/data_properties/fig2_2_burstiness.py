"""Figure 2.2: bursty data bring in-context learning, and hold in-weights learning back.

Without bursty sequences there is no in-context learning; it rises with their share, and in-weights
learning falls. At some shares below 1 early in-context learning is lost to in-weights learning
within the run; at 1 it is not (thesis, section 2.3.1, Figure 2.2).

Rules, written before the runs: "emerged" is 0.55 at the highest of a running median of 3 (see
`coopetition_interp.analysis.peaks`), 0.05 being more than 4 standard errors at 2,000 sequences. A
loss of 0.03 after 0.58 is one that noise does not make.

Changed on 2026-11-28, after one of five seeds was seen: a seed in which in-context learning reaches
0.58 at no share below 1 cannot tell whether it is lost again, nor can a curve that still rises at
its end. Both counted as not lost before, whereas the reference leaves undecided what did not
emerge.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    HELD_OUT,
    ICL_AND_IWL,
    each_seed,
    less,
    number_of,
    planned_curves,
    shapes,
    swept_panels,
    trends,
)
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule

LOSS, AFTER = 0.03, 0.58


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics at every share, and the shapes of both curves."""
    curves = planned_curves(study, "burstiness")
    return {
        "": curves,
        "icl": shapes(curves, "p_bursty", HELD_OUT),
        "iwl": shapes(curves, "p_bursty", "iwl"),
    }


def draw(tables: Tables) -> go.Figure:
    """A curve for each share of bursty sequences."""
    return swept_panels(
        tables[""], "p_bursty", "Share of bursty sequences", ICL_AND_IWL, "p(bursty) {}".format
    )


PUBLISHED = {
    "highest ICL without bursty sequences": "chance",
    "ICL's highest, against p(bursty): slope": "rises",
    "IWL at the end, against p(bursty): slope": "falls",
    "ICL is lost again at some p(bursty) below 1": "at 0.5 and 0.9",
    "ICL's fall at p(bursty) 1, less the largest below": "it stays at 1",
}


def rules(tables: Tables) -> list[Rule]:
    """On held-out classes."""
    icl = tables["icl"]
    mixed = icl[icl["p_bursty"].between(0, 1, inclusive="neither")]
    fallen = mixed.assign(fall=mixed["fall"].where(_may_be_lost(mixed)))
    largest = by_seed(fallen, lambda rows: rows["fall"].max())
    for seed in mixed.loc[~mixed["finished"], "init_seed"]:
        largest[int(seed)] = float("nan")
    return [
        NumberRule(
            "highest ICL without bursty sequences",
            number_of(icl, "height", p_bursty=0.0),
            "under",
            0.55,
        ),
        NumberRule(
            "ICL's highest, against p(bursty): slope",
            trends(icl, "p_bursty", "height"),
            "over",
            0.0,
        ),
        NumberRule(
            "IWL at the end, against p(bursty): slope",
            trends(tables["iwl"], "p_bursty", "end"),
            "under",
            0.0,
        ),
        each_seed("ICL is lost again at some p(bursty) below 1", mixed, _lost_again),
        NumberRule(
            "ICL's fall at p(bursty) 1, less the largest below",
            less(number_of(icl, "fall", emerged=True, p_bursty=1.0), largest),
            "under",
            0.0,
        ),
    ]


def _may_be_lost(rows: pd.DataFrame) -> pd.Series:
    return (rows["height"] > AFTER) & ~rows["rising"].fillna(False)


def _lost_again(rows: pd.DataFrame) -> bool | None:
    """None if it came nowhere, or nowhere fell and somewhere still rises."""
    lost = bool((_may_be_lost(rows) & (rows["fall"] > LOSS)).any())
    there = rows[rows["height"] > AFTER]
    cannot_tell = there.empty or bool(there["rising"].any())
    return None if cannot_tell and not lost else lost


if __name__ == "__main__":
    draw_figure_file(__file__)
