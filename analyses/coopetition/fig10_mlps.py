"""Figure 10: with MLPs in-context learning is transient too, and can come back.

The sizes of Figure 9 with MLPs. At 12,800 classes x 20 in-context learning emerges and fades as
without; at 12,800 x 5 it rises again after its fall (Appendix B, Figure 10).

A fall and a rise by 0.05 between any two evaluations is also found in runs of the full size without
MLPs, where nothing comes back: evaluations differ by that much by chance. So beside that rule
stands the same on means of 9 evaluations (added on 2026-11-28, before any run with MLPs was made).
A run that ends before the fall that is asked for tells neither way (2026-11-29, before them too).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.coopetition.sizes import FULL_SIZE, of_size, size_panels, size_rules
from coopetition_interp.analysis.evaluator_curve import evaluator_curve
from coopetition_interp.analysis.moments import RISEN, moments_of, value_at
from coopetition_interp.reporting.by_seed import rows_by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, Rule, YesNoRule

FIVE_DRAWINGS = (12_800, 5)

MOVED = 0.05
"""By how much ICL has to fall, and to rise again, for a resurgence."""

SMOOTHED = 9


def table(study: Study) -> pd.DataFrame:
    """Metrics of the four sizes with MLPs."""
    return study.curves("size", mlps=True)


def draw(tables: Tables) -> go.Figure:
    """A panel for each size."""
    return size_panels(tables[""], "With MLPs")


PUBLISHED = {
    "highest Flip with 1600 classes": "as without MLPs",
    "highest Flip, 12,800 x 20 less 12,800 x 5": "as without MLPs",
    "IWL at the end, 1600 x 5 less 1600 x 20": "as without MLPs",
    "transient at 12,800 x 20": "yes",
    "resurgent at 12,800 x 5": "yes",
}


def rules(tables: Tables) -> list[Rule]:
    """Figure 9's, transience, resurgence."""
    runs = tables[""]
    full, five_drawings = (rows_by_seed(of_size(runs, size)) for size in (FULL_SIZE, FIVE_DRAWINGS))
    return [
        *size_rules(runs),
        YesNoRule(
            "transient at 12,800 x 20",
            {seed: _is_transient(run) for seed, run in full.items()},
        ),
        YesNoRule(
            "resurgent at 12,800 x 5",
            {seed: _is_resurgent(run) for seed, run in five_drawings.items()},
        ),
    ]


def _is_transient(run: pd.DataFrame) -> bool | None:
    moments = moments_of(run)
    peak = value_at(run, "flip", moments.peak)
    if peak is None or peak <= 0.55:
        return False
    return True if moments.crossing is not None else None


def _is_resurgent(run: pd.DataFrame, window: int = 1) -> bool | None:
    """ICL falls by `MOVED` from its highest so far, then rises by as much from its lowest since."""
    highest, lowest = 0.0, None
    for value in evaluator_curve(run, "icl")["value"].rolling(window).mean().dropna():
        highest = max(highest, value)
        if lowest is not None:
            lowest = min(lowest, value)
            if value >= lowest + MOVED:
                return True
        elif value <= highest - MOVED:
            lowest = value
    still_to_fall = lowest is None and highest >= RISEN
    return None if still_to_fall else False


def beside(tables: Tables) -> list[Beside]:
    """Resurgence of the smoothed curve, at the size where it is claimed and at the full size."""
    found = []
    for size, name in ((FIVE_DRAWINGS, "12,800 x 5"), (FULL_SIZE, "12,800 x 20")):
        runs = rows_by_seed(of_size(tables[""], size))
        smoothed = {seed: _is_resurgent(run, SMOOTHED) for seed, run in runs.items()}
        rule = YesNoRule(f"resurgent at {name}, on means of {SMOOTHED} evaluations", smoothed)
        found.append(Beside(rule.statement, rule.found))
    return found


if __name__ == "__main__":
    draw_figure_file(__file__)
