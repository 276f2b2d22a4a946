"""Figure 7: the same course from other initialisations and other training data.

Every run shows in-context learning emerge and give way; seeds change the timing (Appendix B,
Figure 7).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.moments import moments_of, value_at
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Rule, YesNoRule


def table(study: Study) -> pd.DataFrame:
    """Metrics of main from every initialisation and data seed."""
    return study.curves("main")


def draw(tables: Tables) -> go.Figure:
    """A panel for each seed."""
    panels = {f"init {init}, data {data}": run for (init, data), run in _runs(tables)}
    return evaluator_panels(panels, ("icl", "ciwl", "flip", "train"), "Seeds")


PUBLISHED = {
    "in-context learning dominates, then falls through 0.5": "in every run",
    "the crossing's coefficient of variation over runs": "timing varies",
}


def rules(tables: Tables) -> list[Rule]:
    """Every run crosses, at similar times. Runs are numbered, since seeds come in pairs."""
    dominates, crossings = {}, []
    for number, (_, run) in enumerate(_runs(tables)):
        moments = moments_of(run)
        peak = value_at(run, "flip", moments.peak)
        dominates[number] = peak is not None and peak > 0.55 and moments.crossing is not None
        if moments.crossing is not None:
            crossings.append(moments.crossing)
    spread = pd.Series(crossings, dtype=float)
    within = bool(spread.std() < 0.5 * spread.mean())
    return [
        YesNoRule("in-context learning dominates, then falls through 0.5", dominates),
        YesNoRule(
            "the crossing's coefficient of variation over runs",
            dict.fromkeys(dominates, within) if len(crossings) > 1 else {},  # one has no spread
        ),
    ]


def _runs(tables: Tables) -> list[tuple[tuple[int, int], pd.DataFrame]]:
    return list(tables[""].groupby(["init_seed", "data_seed"]))  # type: ignore[arg-type]


if __name__ == "__main__":
    draw_figure_file(__file__)
