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
    strongest_alone_curve,
    times_beside,
    training_curves,
)
from analyses.induction_heads.heads import strongest_heads
from analyses.induction_heads.main_seed import holds, main_heads, number
from analyses.induction_heads.runs import MAIN_SEED
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import CurveStyle, head_style
from coopetition_interp.reporting.verdicts import Beside, Rule

ALL, ALONE = "all heads", "strongest alone"


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Curves of main, of the strongest head alone, and of it with each other head."""
    curves = curves_and_shapes(
        training_curves(study, ALL, "main", init_seed=MAIN_SEED),
        strongest_alone_curve(study, ALONE),
        training_curves(study, "rank {rank}", "pair"),
    )
    return {**curves, "heads": main_heads(study)}


def draw(tables: Tables) -> go.Figure:
    """All losses in one panel."""
    strongest, *others = strongest_heads(tables["heads"])
    styles = {
        ALL: CurveStyle(ALL, "#000000", "dot"),
        ALONE: CurveStyle(f"head {strongest} alone", "#555555", "dash"),
    }
    for rank, head in enumerate(others, start=2):
        colour = head_style(head).colour
        styles[f"rank {rank}"] = CurveStyle(f"heads {strongest} and {head}", colour)
    return draw_losses(tables[""], {"": styles}, "Two heads of layer 1", columns=1)


PUBLISHED = {
    "every pair learns earlier than the strongest head alone": "yes",
    "the median pair is nearer to all heads than to the strongest alone": "yes",
    "rank correlation of pairs' learning times with the order of strengths": "low",
    f"{ALL}: under 0.4 log 2": "earliest",
}


def rules(tables: Tables) -> list[Rule]:
    """How late the pairs are, and whether in the order of strength."""
    times = learning_times(tables).fillna(float("inf"))
    together, alone, pairs = times[ALL], times[ALONE], times.drop([ALL, ALONE])
    middle = pairs.median()
    return [
        holds("every pair learns earlier than the strongest head alone", (pairs < alone).all()),
        holds(
            "the median pair is nearer to all heads than to the strongest alone",
            abs(middle - together) < abs(middle - alone),
        ),
        number(
            "rank correlation of pairs' learning times with the order of strengths",
            spearmanr(range(len(pairs)), pairs).statistic,
            "under",
            0.8,
        ),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The times themselves."""
    strongest, *others = strongest_heads(tables["heads"])
    pairs = {f"rank {n}": f"heads {strongest} and {o}" for n, o in enumerate(others, start=2)}
    return times_beside(tables, {ALL: ALL, ALONE: f"head {strongest} alone", **pairs})


if __name__ == "__main__":
    draw_figure_file(__file__)
