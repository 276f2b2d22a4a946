"""Figure 13: one layer learns CIWL, and no in-context learning.

A network with a single layer reaches CIWL by skip-trigram-like circuits, as fast as two layers, and
never learns in context (Appendix C, Figure 13).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.analysis.moments import moments_of, value_at
from coopetition_interp.reporting.by_seed import by_seed, rows_by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics of one layer and of main."""
    return {"one_layer": study.curves("one_layer"), "main": study.curves("main", data_seed=2)}


def draw(tables: Tables) -> go.Figure:
    """The evaluators of both."""
    panels = {"one layer": tables["one_layer"], "two layers (main)": tables["main"]}
    return evaluator_panels(panels, ("icl", "ciwl", "flip", "train"), "One layer")


PUBLISHED = {
    "one layer's CIWL over main's, at main's crossing or later": "about 1",
    "highest ICL of one layer": "at chance",
}


def rules(tables: Tables) -> list[Rule]:
    """CIWL at main's crossing, or at the one-layer run's end if that is later; highest ICL."""
    ratios = {}
    mains = rows_by_seed(tables["main"])
    for seed, run in rows_by_seed(tables["one_layer"]).items():
        main = mains.get(seed)
        crossing = None if main is None else moments_of(main).crossing
        end = float(run["sequences_seen"].max())
        moment = None if crossing is None else max(crossing, end)
        own = value_at(run, "ciwl", moment)
        of_main = None if main is None else value_at(main, "ciwl", moment)
        both = own is not None and of_main is not None
        ratios[seed] = own / of_main if both else float("nan")  # type: ignore[operator]
    highest = by_seed(tables["one_layer"], lambda run: evaluator_curve(run, "icl")["value"].max())
    return [
        NumberRule(
            "one layer's CIWL over main's, at main's crossing or later", ratios, "over", 0.9
        ),
        NumberRule("highest ICL of one layer", highest, "under", 0.55),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
