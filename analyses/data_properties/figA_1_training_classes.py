"""Figure A.1: on classes that were trained on, in-context learning looks the same.

The curves of Figures 2.2 and 2.3 on training classes show the same patterns, slightly higher
(thesis, appendix A.1).

Rules, written before the runs: "slightly higher" is a mean difference over the run between 0 and
0.05 where every sequence is bursty.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.data_properties.curves import HELD_OUT, ON_TRAINING_CLASSES, swept_panels
from coopetition_interp.analysis.peaks import window_mean
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study, by_seed
from coopetition_interp.reporting.verdicts import NumberRule, Rule

STATEMENT = "ICL on training classes less held-out ones, mean of the run"


def table(study: Study) -> pd.DataFrame:
    """Metrics at every share of bursty sequences."""
    return study.curves("burstiness")


def draw(tables: Tables) -> go.Figure:
    """A curve for each share of bursty sequences."""
    title = "On training classes"
    return swept_panels(tables[""], "p_bursty", title, ON_TRAINING_CLASSES, "p(bursty) {}".format)


PUBLISHED = {STATEMENT: "slightly higher"}


def rules(tables: Tables) -> list[Rule]:
    """Higher, but not by much."""
    runs = tables[""]
    found = by_seed(runs[runs["p_bursty"] == 1.0], _difference)
    return [
        NumberRule(STATEMENT, found, "over", 0.0),
        NumberRule(STATEMENT, found, "under", 0.05),
    ]


def _difference(run: pd.DataFrame) -> float:
    trained, held_out = (window_mean(run, name, start=0.0) for name in ("icl", HELD_OUT))
    return trained - held_out


if __name__ == "__main__":
    draw_figure_file(__file__)
