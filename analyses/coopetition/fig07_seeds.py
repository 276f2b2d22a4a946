"""Figure 7: the same course from other initialisations and other training data.

Every run shows in-context learning emerge and give way; seeds change the timing (Appendix B,
Figure 7).
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from analyses.coopetition.fig01b_transience import rules as transience_rules
from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.reporting.by_seed import rows_by_seed
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
    "as in Figure 1b, from every initialisation": "yes",
    "as in Figure 1b, on every draw of the data": "yes",
    "the crossing's coefficient of variation over runs": "timing varies",
}


def rules(tables: Tables) -> list[Rule]:
    """Figure 1b's rules hold for every run, and all cross at similar times."""
    runs = tables[""]
    first_data, first_init = runs["data_seed"].min(), runs["init_seed"].min()
    by_init = rows_by_seed(runs[runs["data_seed"] == first_data])
    by_data = rows_by_seed(runs[runs["init_seed"] == first_init], "data_seed")
    crossings = pd.Series([moments_of(run).crossing for _, run in _runs(tables)], dtype=float)
    crossed = len(crossings) > 1 and crossings.notna().all()
    variation = crossings.std() / crossings.mean()
    within = bool(variation < 0.5) if crossed else None
    return [
        YesNoRule("as in Figure 1b, from every initialisation", _as_in_figure_1b(by_init)),
        YesNoRule(
            "as in Figure 1b, on every draw of the data",
            _as_in_figure_1b(by_data) if len(by_data) > 1 else {},
        ),
        YesNoRule(
            "the crossing's coefficient of variation over runs",
            dict.fromkeys(range(len(crossings)), within),
            counted="runs",
            told=f"{variation:.2f} over {len(crossings)} runs" if crossed else "",
        ),
    ]


def _as_in_figure_1b(runs: dict[int, pd.DataFrame]) -> dict[int, bool | None]:
    """None for a run that is too short for one of the rules and meets the others."""
    shown: dict[int, bool | None] = {}
    for seed, run in runs.items():
        found = [
            None if math.isnan(value) else rule.holds_for(value)
            for rule in transience_rules({"": run})
            for value in rule.values.values()
        ]
        shown[seed] = False if False in found else None if None in found else True
    return shown


def _runs(tables: Tables) -> list[tuple[tuple[int, int], pd.DataFrame]]:
    return list(tables[""].groupby(["init_seed", "data_seed"]))  # type: ignore[arg-type]


if __name__ == "__main__":
    draw_figure_file(__file__)
