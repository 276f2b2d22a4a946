"""Figure 6: with the query exemplar itself in context, in-context learning stays.

If the context shows the query's class by the very exemplar that is asked for, matching is as easy
for in-context learning as for CIWL, and in-context learning no longer fades (section 6, Figure 6).
It is scored on sequences that are matched like those it is trained on.
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, NumberRule, Rule

MATCHED = ("flip_matched", "icl_matched")


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics of matched training and of main."""
    return {"matched": study.curves("matched"), "main": study.curves("main", data_seed=2)}


def draw(tables: Tables) -> go.Figure:
    """Flip and ICL of both."""
    panels = {"matched exemplars": tables["matched"], "normal (main)": tables["main"]}
    evaluators = (*MATCHED, "flip", "icl")
    return evaluator_panels(panels, evaluators, "Matched exemplars make in-context learning stay")


PUBLISHED = {
    "Flip at the end of matched training": "about 1.0",
    "ICL at the end of matched training": "about 1.0",
    "Flip's fall from its highest": "none",
    "ICL's fall from its highest": "none",
}


def rules(tables: Tables) -> list[Rule]:
    """High at the end, and hardly lower than ever before."""

    def at_end(evaluator: str) -> dict[int, float]:
        return by_seed(
            tables["matched"], lambda run: evaluator_curve(run, evaluator)["value"].iloc[-1]
        )

    def fall(evaluator: str) -> dict[int, float]:
        def of_run(run: pd.DataFrame) -> float:
            values = evaluator_curve(run, evaluator)["value"]
            return values.max() - values.iloc[-1]

        return by_seed(tables["matched"], of_run)

    flip, icl = MATCHED
    return [
        NumberRule("Flip at the end of matched training", at_end(flip), "over", 0.9),
        NumberRule("ICL at the end of matched training", at_end(icl), "over", 0.9),
        NumberRule("Flip's fall from its highest", fall(flip), "under", 0.05),
        NumberRule("ICL's fall from its highest", fall(icl), "under", 0.05),
    ]


def beside(tables: Tables) -> list[Beside]:
    """How long the matched runs are: their end is that of the run, since Flip never crosses."""
    ends = by_seed(tables["main"], lambda run: moments_of(run).end)
    lengths = by_seed(tables["matched"], lambda run: run["sequences_seen"].max())
    shares = {seed: lengths[seed] / ends.get(seed, math.nan) for seed in lengths}
    return [Beside.of_seeds("length of matched training, in main's", shares)]


if __name__ == "__main__":
    draw_figure_file(__file__)
