"""Figure 17: toy model without the asymptotic bias.

Without the floor mu1 there is no transience: mechanism 1, the faster, is learned and stays; the
competition drives d to zero and mechanism 2's loss up (Appendix D, Figure 17). The last two go
together only on d's way to zero: with d at zero, mechanism 2's error is that of the plateau; it is
higher while some of d is left, multiplied by b and c. The sudden drops of mechanism 2 late in some
seeds come from the paper's learning rate of 1, at the edge of stability there: they are gone at
0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from analyses.toy_models.coopetition_seeds import (
    SEEDS,
    beside_plateau,
    by_seed,
    coopetition_tables,
    draw_seeds,
    left_plateau,
    span_told,
)
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, Rule, YesNoRule
from coopetition_interp.toy_models import CoopetitionModel


def table(
    study: Study | None = None,
    seeds: Sequence[int] = range(SEEDS),
    steps: int = 16_000,
    every: int = 20,
) -> dict[str, pd.DataFrame]:
    """Simulates all seeds."""
    return coopetition_tables(CoopetitionModel(mu1=0.0), seeds, steps, every)


def draw(tables: Tables) -> go.Figure:
    """A panel for each of the first seeds."""
    return draw_seeds(tables, "Toy model, mu1 = 0, alpha = 0.1")


PUBLISHED = {
    "mechanism 1 is learned and stays, of seeds that leave the plateau": "emerges and dominates",
    "mechanism 2's error ends above its plateau, of those": "increases",
    "d is shorter at the end than at the plateau's, of those": "d to zero",
    "seeds in which mechanism 1 is transient": "none",
    "length of d at the end, of its target's": "to zero",
}


def rules(tables: Tables) -> list[Rule]:
    """In every seed that leaves the plateau."""
    left = left_plateau(tables)
    names = list(PUBLISHED)
    worse = left["mechanism_2_last"] > left["mechanism_2_plateau"]
    shorter = left["d_length_last"] < left["d_length_at_plateau_end"]
    return [
        YesNoRule(names[0], by_seed(left, left["outcome"] == "persistent")),
        YesNoRule(names[1], by_seed(left, worse)),
        YesNoRule(names[2], by_seed(left, shorter)),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The plateau, transient seeds, and how long d is left."""
    left = left_plateau(tables)
    transient = int((left["outcome"] == "transient").sum())
    return [
        *beside_plateau(tables),
        Beside("seeds in which mechanism 1 is transient", f"{transient} of {len(left)}"),
        Beside(
            "length of d at the end, of its target's", span_told(left["d_length_last"], "{:.2f}")
        ),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
