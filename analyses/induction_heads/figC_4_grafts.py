"""Figure C.4: layer 0 from trained networks.

A trained layer 0 helps far more if it grew from the same initialisation: fixing weights is no clean
way to clamp a circuit (thesis, appendix C, Figure C.4).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.curves import (
    curves_and_shapes,
    draw_losses,
    learning_times,
    times_beside,
    training_curves,
)
from analyses.induction_heads.main_seed import holds
from analyses.induction_heads.runs import MAIN_SEED
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import CurveStyle
from coopetition_interp.reporting.verdicts import Beside, Rule

STYLES = {
    "nothing": CurveStyle("nothing fixed", "#000000", "dot"),
    "seed 5": CurveStyle("layer 0 of seed 5 (its own)", "#d62728"),
    "seed 6": CurveStyle("layer 0 of seed 6", "#2ca02c"),
    "seed 7": CurveStyle("layer 0 of seed 7", "#1f77b4"),
}
OWN = f"seed {MAIN_SEED}"
QUICKER = "layer 0 of its own seed is learned with at least 1.5 times as quickly as any other"


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Curves of main, and with layer 0 fixed to that of each donor."""
    return curves_and_shapes(
        training_curves(study, "nothing", "main", init_seed=MAIN_SEED),
        training_curves(study, "seed {donor_seed}", "graft"),
    )


def draw(tables: Tables) -> go.Figure:
    """All losses in one panel."""
    return draw_losses(tables[""], {"": STYLES}, "Layer 0 from trained networks", columns=1)


PUBLISHED = {
    QUICKER: "yes",
    "layer 0 of seed 5 (its own): under 0.4 log 2": "far quicker",
    "layer 0 of seed 6: under 0.4 log 2": "slower",
    "layer 0 of seed 7: under 0.4 log 2": "slower",
}


def rules(tables: Tables) -> list[Rule]:
    """Its own graft against the quickest other."""
    times = learning_times(tables).fillna(float("inf"))
    quickest = times.drop(["nothing", OWN]).min()
    return [holds(QUICKER, times[OWN] < float("inf") and quickest >= 1.5 * times[OWN])]


def beside(tables: Tables) -> list[Beside]:
    """The times themselves."""
    return times_beside(tables, {name: style.name for name, style in STYLES.items()})


if __name__ == "__main__":
    draw_figure_file(__file__)
