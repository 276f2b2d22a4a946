"""Figure C.5: layer-0 heads clamped to the previous token.

Which heads are clamped to the previous token matters little, unless it is all of them, which slows
learning severely (thesis, appendix C, Figure C.5).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.induction_heads.curves import (
    curves_and_shapes,
    draw_losses,
    learning_times,
    strongest_alone,
    times_beside,
    training_curves,
)
from analyses.induction_heads.each_seed import Holds, judged
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import CurveStyle
from coopetition_interp.reporting.verdicts import Beside, Rule

STYLES = {
    "nothing": CurveStyle("none", "#000000"),
    "strongest": CurveStyle("the strongest previous-token head", "#ff7f0e"),
    "strongest-three": CurveStyle("the strongest three", "#d62728"),
    "weakest": CurveStyle("the weakest", "#2ca02c"),
    "weakest-three": CurveStyle("the weakest three", "#1f77b4"),
    "all": CurveStyle("all", "#9467bd"),
}


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Curves of the strongest head alone, with each set of layer-0 heads clamped."""
    return curves_and_shapes(
        STYLES,
        training_curves(strongest_alone(study).values(), "nothing"),
        training_curves(study.require("clamped", steps="step-1"), "strongest"),
        training_curves(study.require("previous_token"), "{held}"),
    )


def draw(tables: Tables) -> go.Figure:
    """All losses in one panel."""
    title = "Layer-0 heads clamped to the previous token"
    return draw_losses(tables[""], {"": STYLES}, title, columns=1)


FEW = "one to three heads shift the learning time by less than half"
EVERY = "all heads are slower by at least half than the slowest of these"
PUBLISHED = {FEW: "little difference", EVERY: "far later"}


def rules(tables: Tables) -> list[Rule]:
    """A few heads, and all of them."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Holds]:
    times = learning_times(tables)
    few, every = times.drop(["nothing", "all"]), times.fillna(float("inf"))["all"]
    shift = (few / times["nothing"] - 1).abs()
    return [Holds(FEW, (shift < 0.5).all()), Holds(EVERY, every >= 1.5 * few.max())]


def beside(tables: Tables) -> list[Beside]:
    """The times themselves."""
    return times_beside(tables, {name: f"clamped: {s.name}" for name, s in STYLES.items()})


if __name__ == "__main__":
    draw_figure_file(__file__)
