"""Figure 5a: toy model of coopetition.

Mechanism 1 is nearly learned first and then goes back to nothing, as mechanism 2, slower but better
in the end, takes over; while mechanism 1 forms, mechanism 2 worsens a little (section 6, Figure
5a). The paper does not name its seed; when all this happens varies from seed to seed. The model,
its dimensions, steps and rate are the paper's, so one seed may agree or disagree.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.toy_models.coopetition_seeds import LEARNED, coopetition_tables, draw_seeds
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, NumberRule, Rule, YesNoRule
from coopetition_interp.toy_models import CoopetitionModel

SEED = 4


def table(
    study: Study | None = None, seed: int = SEED, steps: int = 16_000, every: int = 10
) -> dict[str, pd.DataFrame]:
    """Simulates one seed."""
    return coopetition_tables(CoopetitionModel(), [seed], steps, every)


def draw(tables: Tables) -> go.Figure:
    """Both mechanisms (the first with its floor mu1), their competition, and the divot."""
    return draw_seeds(tables, "Toy model, mu1 = 0.1, alpha = 0.1 (mechanism 1 with its floor mu1)")


PUBLISHED = {
    "mechanism 1 is transient": "yes",
    "mechanism 1's lowest error, of its plateau": "nearly learned",
    "mechanism 1's error at the end, of its plateau": "a goes back to 0",
    "mechanism 2's error at the end, of its plateau": "dominates",
    "mechanism 2 has a divot while mechanism 1 forms": "mild, at ~5k iterations",
}


def rules(tables: Tables) -> list[Rule]:
    """Transience of mechanism 1, and the divot of mechanism 2."""
    row = tables["outcomes"].iloc[0]
    seed = int(row["seed"])

    def share(mechanism: int, moment: str) -> dict[int, float]:
        name = f"mechanism_{mechanism}"
        return {seed: float(row[f"{name}_{moment}"] / row[f"{name}_plateau"])}

    names = list(PUBLISHED)
    coincides = pd.notna(row["coincides"]) and bool(row["coincides"])
    return [
        YesNoRule(names[0], {seed: row["outcome"] == "transient"}),
        NumberRule(names[1], share(1, "lowest"), "under", 0.1),
        NumberRule(names[2], share(1, "last"), "over", 0.9),
        NumberRule(names[3], share(2, "last"), "under", LEARNED),
        YesNoRule(names[4], {seed: coincides}),
    ]


def beside(tables: Tables) -> list[Beside]:
    """When it happens, and how deep the divot is."""
    row = tables["outcomes"].iloc[0]
    divot = "none"
    if row["divot"]:
        divot = f"{row['divot_depth']:.3f} deep, steps {row['start']:.0f} to {row['end']:.0f}"
        divot += f", peak at {row['peak']:.0f}"
    return [
        Beside("seed", str(row["seed"])),
        Beside("outcome for mechanism 1", str(row["outcome"])),
        Beside("plateau ends at step", f"{row['plateau_end']:.0f}"),
        Beside("mechanism 1 is lowest at step", str(row["mechanism_1_lowest_step"])),
        Beside("divot of mechanism 2", divot),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
