"""Figure 1b: in-context learning emerges, dominates, and gives way.

On bursty data in-context learning (ICL) emerges and dominates the network's output (Flip above
0.5), then gives way to context-constrained in-weights learning (CIWL). There is hardly any plain
in-weights learning (section 3, Figure 1b).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.analysis.moments import moments_of, value_at
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule


def table(study: Study) -> pd.DataFrame:
    """Metrics of main from every initialisation."""
    return study.curves("main", data_seed=2)


def draw(tables: Tables) -> go.Figure:
    """In-context accuracy of the evaluators against sequences seen."""
    title = "Transience of in-context learning"
    return evaluator_panels({"main": tables[""]}, ("icl", "ciwl", "flip", "train"), title)


PUBLISHED = {
    "Flip at its peak": "0.71",
    "Flip at the end": "under 0.05",
    "ICL's fall from its peak to the end": "0.3",
    "CIWL at the end": "0.97",
    "IWL at the end": "at chance",
}


def rules(tables: Tables) -> list[NumberRule]:
    """Emerges; fades; CIWL, not IWL."""
    metrics = tables[""]

    def at_peak(run: pd.DataFrame) -> float | None:
        return value_at(run, "flip", moments_of(run).peak)

    def at_end(evaluator: str) -> dict[int, float]:
        return by_seed(metrics, lambda run: value_at(run, evaluator, moments_of(run).end))

    def icl_fall(run: pd.DataFrame) -> float | None:
        end = value_at(run, "icl", moments_of(run).end)
        return None if end is None else evaluator_curve(run, "icl")["value"].max() - end

    emerges, fades, ciwl = "emerges", "fades", "CIWL, not IWL"
    fall = "ICL's fall from its peak to the end"
    return [
        NumberRule("Flip at its peak", by_seed(metrics, at_peak), "over", 0.55, emerges),
        NumberRule("Flip at the end", at_end("flip"), "under", 0.2, fades),
        NumberRule(fall, by_seed(metrics, icl_fall), "over", 0.05, fades),
        NumberRule("CIWL at the end", at_end("ciwl"), "over", 0.85, ciwl),
        NumberRule("IWL at the end", at_end("iwl"), "under", 0.01, ciwl),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
