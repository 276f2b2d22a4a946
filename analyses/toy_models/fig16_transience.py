"""Figure 16: toy model, transience over seeds.

Times and sizes vary over seeds, but mechanism 1 is transient and mechanism 2 has its divot in most;
some seeds do not leave the plateau (Appendix D, Figure 16). Mechanism 1 has a floor mu1 = 0.1. The
paper draws twelve seeds; so does this figure, which counts over three times as many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analyses.toy_models.coopetition_seeds import (
    LEARNED,
    SEEDS,
    beside_plateau,
    by_seed,
    coopetition_tables,
    draw_seeds,
    left_plateau,
)
from coopetition_interp.analysis.divots_across_seeds import coincidence_across_seeds
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
    return coopetition_tables(CoopetitionModel(mu1=0.1), seeds, steps, every)


def draw(tables: Tables) -> go.Figure:
    """A panel for each of the first seeds."""
    return draw_seeds(tables, "Toy model, mu1 = 0.1, alpha = 0.1 (mechanism 1 with its floor mu1)")


PUBLISHED = {
    "mechanism 1 is transient, of seeds that leave the plateau": "largely preserved",
    "mechanism 2's error ends under 1% of its plateau, of those": "dominates",
    "mechanism 2 has a divot, of seeds where mechanism 1 forms": "largely preserved",
    "it coincides with mechanism 1's formation, of seeds with both": "when 1 is nearly learned",
    "seeds that never leave the plateau": "some of 12",
    "plateau ends at step": "varies",
}


def rules(tables: Tables) -> list[Rule]:
    """Transience in every seed that leaves the plateau; the divot in most."""
    left = left_plateau(tables)
    formed = left[left["outcome"].isin(["transient", "persistent"])]
    both = left[left["coincides"].notna()]
    names = list(PUBLISHED)
    learned = left["mechanism_2_last"] < LEARNED * left["mechanism_2_plateau"]
    return [
        YesNoRule(names[0], by_seed(left, left["outcome"] == "transient")),
        YesNoRule(names[1], by_seed(left, learned)),
        YesNoRule(names[2], by_seed(formed, formed["divot"]), of="most seeds"),
        YesNoRule(names[3], by_seed(both, both["coincides"])),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The plateau; and whether the coincidence could be chance."""
    together = coincidence_across_seeds(tables["outcomes"])
    other, lag = together.with_other_seeds, together.median_lag
    return [
        *beside_plateau(tables),
        Beside(
            "it coincides with mechanism 1's formation in another seed",
            "none" if np.isnan(other) else f"{100 * other:.1f}% of pairs",
        ),
        Beside(
            "the divot's peak against half of mechanism 1's fall",
            "none" if np.isnan(lag) else f"{lag:+.0f} steps (median)",
        ),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
