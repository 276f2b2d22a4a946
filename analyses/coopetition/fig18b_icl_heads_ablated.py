"""Figure 18b: in-context learning is no accident of the initialisation.

With the heads of layer 0 that carry in-context learning in main ablated from the first step on,
in-context learning still emerges and fades, somewhat later (Appendix E.2, Figure 18b).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.moments import moments_of, value_at
from coopetition_interp.reporting.by_seed import by_seed, rows_by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule, YesNoRule


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics of the ablated runs and of main."""
    return {"ablated": study.curves("ablated"), "main": study.curves("main", data_seed=2)}


def draw(tables: Tables) -> go.Figure:
    """The evaluators of both."""
    panels = {"ICL heads ablated throughout": tables["ablated"], "main": tables["main"]}
    return evaluator_panels(panels, ("icl", "ciwl", "flip"), "Without the heads that carried ICL")


PUBLISHED = {
    "Flip at its peak": "over 0.5",
    "Flip crosses 0.5": "yes, a bit later",
    "delay of the rise, in sequences": "slight",
    "delay of the crossing, in sequences": "slower transience",
}


def rules(tables: Tables) -> list[Rule]:
    """It emerges, it crosses, and both later than in main of the same seed."""
    ablated, mains = (rows_by_seed(tables[role]) for role in ("ablated", "main"))
    own = {seed: moments_of(run) for seed, run in ablated.items()}
    of_main = {seed: moments_of(mains[seed]) for seed in own if seed in mains}

    def delay(moment: str) -> dict[int, float]:
        delays = {}
        for seed in of_main:
            late, early = getattr(own[seed], moment), getattr(of_main[seed], moment)
            delays[seed] = float("nan") if None in (late, early) else late - early
        return delays

    def crosses(seed: int) -> bool | None:
        end = of_main[seed].end if seed in of_main else None
        if own[seed].crossing is not None:
            return True
        too_short = end is None or ablated[seed]["sequences_seen"].max() < end
        return None if too_short else False

    at_peak = by_seed(tables["ablated"], lambda run: value_at(run, "flip", moments_of(run).peak))
    return [
        NumberRule("Flip at its peak", at_peak, "over", 0.55),
        YesNoRule("Flip crosses 0.5", {seed: crosses(seed) for seed in own}),
        NumberRule("delay of the rise, in sequences", delay("rise"), "over", 0.0),
        NumberRule("delay of the crossing, in sequences", delay("crossing"), "over", 0.0),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
