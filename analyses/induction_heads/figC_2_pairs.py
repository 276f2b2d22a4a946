"""Figure C.2: two heads of layer 1.

With one head beside the strongest, the loss is almost that of the whole network; the order of the
phase changes is not that of the heads' strengths (thesis, appendix C, Figure C.2).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from scipy.stats import spearmanr

from analyses.induction_heads.curves import (
    curves_and_shapes,
    draw_losses,
    learning_times,
    strongest_alone,
    times_beside,
    training_curves,
)
from analyses.induction_heads.each_seed import Holds, Number, judged
from analyses.induction_heads.heads import rank_style
from analyses.induction_heads.runs import N_HEADS
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import CurveStyle
from coopetition_interp.reporting.verdicts import Beside, Rule

ALL, ALONE = "all heads", "strongest alone"
STYLES = {
    ALL: CurveStyle(ALL, "#000000", "dot"),
    ALONE: CurveStyle("the strongest alone", "#555555", "dash"),
    **{
        f"rank {rank}": CurveStyle(f"the strongest and rank {rank}", rank_style(rank).colour)
        for rank in range(2, N_HEADS + 1)
    },
}


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Curves of main, of the strongest head alone, and of it with each other head."""
    return curves_and_shapes(
        STYLES,
        training_curves(study.require("main"), ALL),
        training_curves(strongest_alone(study).values(), ALONE),
        training_curves(study.require("pair"), "rank {rank}"),
    )


def draw(tables: Tables) -> go.Figure:
    """All losses in one panel."""
    return draw_losses(tables[""], {"": STYLES}, "Two heads of layer 1", columns=1)


PUBLISHED = {
    "every pair learns earlier than the strongest head alone": "yes",
    "the median pair is nearer to all heads than to the strongest alone": "yes",
    "rank correlation of pairs' learning times with the order of strengths": "low",
    f"{ALL}: under 0.4 log 2": "earliest",
}


WHY = """The strongest head alone learns almost as early as all heads together in our runs (at 506k
and 465k sequences, means of three seeds), so a second head has little to gain: pairs learn at 458k
to 535k."""


def rules(tables: Tables) -> list[Rule]:
    """How late the pairs are, and whether in the order of strength."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Number | Holds]:
    times = learning_times(tables).fillna(float("inf"))
    together, alone, pairs = times[ALL], times[ALONE], times.drop([ALL, ALONE])
    middle = pairs.median()
    return [
        Holds("every pair learns earlier than the strongest head alone", (pairs < alone).all()),
        Holds(
            "the median pair is nearer to all heads than to the strongest alone",
            abs(middle - together) < abs(middle - alone),
        ),
        Number(
            "rank correlation of pairs' learning times with the order of strengths",
            spearmanr(range(len(pairs)), pairs).statistic,
            "under",
            0.8,
        ),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The times themselves."""
    return times_beside(tables, {name: style.name for name, style in STYLES.items()})


if __name__ == "__main__":
    draw_figure_file(__file__)
