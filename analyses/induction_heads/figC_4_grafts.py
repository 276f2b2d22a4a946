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
from analyses.induction_heads.each_seed import Holds, judged
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import CurveStyle
from coopetition_interp.reporting.verdicts import Beside, Rule

STYLES = {
    "nothing": CurveStyle("nothing fixed", "#000000", "dot"),
    "own": CurveStyle("layer 0 of its own seed", "#d62728"),
    "next": CurveStyle("layer 0 of the next seed", "#2ca02c"),
    "second-next": CurveStyle("layer 0 of the seed after that", "#1f77b4"),
}
QUICKER = "layer 0 of its own seed is learned with at least 1.5 times as quickly as any other"


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Curves of main, and with layer 0 fixed to that of each donor."""
    return curves_and_shapes(
        STYLES,
        training_curves(study.require("main"), "nothing"),
        training_curves(study.require("graft"), "{donor}"),
    )


def draw(tables: Tables) -> go.Figure:
    """All losses in one panel."""
    return draw_losses(tables[""], {"": STYLES}, "Layer 0 from trained networks", columns=1)


PUBLISHED = {
    QUICKER: "yes",
    "layer 0 of its own seed: under 0.4 log 2": "far quicker",
    "layer 0 of the next seed: under 0.4 log 2": "slower",
    "layer 0 of the seed after that: under 0.4 log 2": "slower",
}


def rules(tables: Tables) -> list[Rule]:
    """Its own graft against the quickest other."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Holds]:
    times = learning_times(tables).fillna(float("inf"))
    own, quickest = times["own"], times.drop(["nothing", "own"]).min()
    return [Holds(QUICKER, own < float("inf") and quickest >= 1.5 * own)]


def beside(tables: Tables) -> list[Beside]:
    """The times themselves."""
    return times_beside(tables, {name: style.name for name, style in STYLES.items()})


if __name__ == "__main__":
    draw_figure_file(__file__)
