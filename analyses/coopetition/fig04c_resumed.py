"""Figure 4c: after enough CIWL-only training, bursty data no longer bring in-context learning.

Training on bursty data is begun from checkpoints of a run on CIWL-only data. From early ones
in-context learning still comes to dominate for a while; from late ones it does not (section 5.2,
Figure 4c).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import sequence_count
from coopetition_interp.reporting.verdicts import NumberRule, Rule


def table(study: Study) -> pd.DataFrame:
    """Metrics of the resumed runs, by the moment they begin from."""
    return study.curves("resumed")


def draw(tables: Tables) -> go.Figure:
    """Flip and ICL, a panel for each moment."""
    panels = {f"from {sequence_count(at)}": runs for at, runs in tables[""].groupby("moment")}
    title = "Bursty training resumed from CIWL-only training"
    return evaluator_panels(panels, ("flip", "icl"), title)


PUBLISHED = {
    "highest Flip, resumed from the earliest moment": "over 0.5",
    "highest Flip, resumed from the latest moment": "no in-context learning",
}


def rules(tables: Tables) -> list[Rule]:
    """From the earliest moment it dominates, from the latest it does not."""
    runs = tables[""]
    moments = sorted(runs["moment"].unique())

    def highest_flip(moment: int) -> dict[int, float]:
        def of_seed(rows: pd.DataFrame) -> float | None:
            resumed = rows[rows["moment"] == moment]
            return None if resumed.empty else evaluator_curve(resumed, "flip")["value"].max()

        return by_seed(runs, of_seed)

    return [
        NumberRule(
            "highest Flip, resumed from the earliest moment",
            highest_flip(moments[0]),
            "over",
            0.55,
        ),
        NumberRule(
            "highest Flip, resumed from the latest moment", highest_flip(moments[-1]), "under", 0.5
        ),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
