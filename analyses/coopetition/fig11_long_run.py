"""Figure 11: five times as long, in-context learning does not come back.

At the end of a run of 320M sequences Flip is at 0.005 and in-weights learning still at chance
(Appendix B, Figure 11).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, NumberRule, Rule


def table(study: Study) -> pd.DataFrame:
    """Metrics of the long run."""
    return study.curves("long")


def draw(tables: Tables) -> go.Figure:
    """The evaluators over all of it."""
    evaluators = ("icl", "ciwl", "flip", "train", "iwl")
    return evaluator_panels({"the long run": tables[""]}, evaluators, "Many times as long")


PUBLISHED = {
    "Flip at the end": "0.005",
    "IWL at the end": "0.0008",
    "length, in crossings": "50",
}


def rules(tables: Tables) -> list[Rule]:
    """Flip and IWL at the end."""

    def last(evaluator: str, metric: str) -> dict[int, float]:
        return by_seed(
            tables[""], lambda run: evaluator_curve(run, evaluator, metric)["value"].iloc[-1]
        )

    return [
        NumberRule("Flip at the end", last("flip", "in_context_accuracy"), "under", 0.05),
        NumberRule("IWL at the end", last("iwl", "accuracy"), "under", 0.01),
    ]


def beside(tables: Tables) -> list[Beside]:
    """How long that is: the published run is five times as long as main."""
    crossings = by_seed(tables[""], lambda run: moments_of(run).crossing)
    lengths = by_seed(tables[""], lambda run: run["sequences_seen"].max())
    ratios = {seed: lengths[seed] / crossings[seed] for seed in lengths}
    return [Beside.of_seeds("length, in crossings", ratios)]


if __name__ == "__main__":
    draw_figure_file(__file__)
