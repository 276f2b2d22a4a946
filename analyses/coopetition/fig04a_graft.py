"""Figure 4a: what CIWL leaves behind lets in-context learning form sooner.

Trained on data that only in-context learning can solve, a network with block 1 and the unembedding
of the main run's end, held fixed, learns in context many times sooner than one from scratch. From
scratch it takes longer than the main run itself, where it is not the only way (section 5.1,
Figure 4a).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.moments import first_reaching
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.study import Study, by_seed
from coopetition_interp.reporting.verdicts import NumberRule, Rule

LEARNED = 0.75
"""ICL evaluator's in-context accuracy from which on a run has learned."""


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics of the three kinds of run."""
    return {
        "from_scratch": study.curves("icl_only"),
        "with_graft": study.curves("graft_of_main"),
        "main": study.curves("main", data_seed=2),
    }


def draw(tables: Tables) -> go.Figure:
    """The ICL evaluator's loss in the three kinds of run."""
    panels = {
        "ICL-only data, from scratch": tables["from_scratch"],
        "ICL-only data, with the graft": tables["with_graft"],
        "bursty data (main)": tables["main"],
    }
    return evaluator_panels(panels, ("icl",), "In-context learning with a graft", metric="loss")


PUBLISHED = {
    "times sooner with the graft than from scratch": "the graft learns within 2M",
    "times sooner on bursty data than on ICL-only data, from scratch": "sooner, a surprise",
}


def rules(tables: Tables) -> list[Rule]:
    """Ratios of the sequences it takes; a run that never learns counts with its whole length."""
    scratch = by_seed(tables["from_scratch"], _learned_at_least_after)
    grafted = by_seed(tables["with_graft"], lambda run: first_reaching(run, "icl", LEARNED))
    main = by_seed(tables["main"], lambda run: first_reaching(run, "icl", LEARNED))
    return [
        NumberRule(
            "times sooner with the graft than from scratch",
            {seed: scratch[seed] / grafted[seed] for seed in scratch.keys() & grafted.keys()},
            "over",
            3.0,
        ),
        NumberRule(
            "times sooner on bursty data than on ICL-only data, from scratch",
            {seed: scratch[seed] / main[seed] for seed in scratch.keys() & main.keys()},
            "over",
            1.0,
        ),
    ]


def _learned_at_least_after(run: pd.DataFrame) -> float:
    reached = first_reaching(run, "icl", LEARNED)
    return float(run["sequences_seen"].max()) if reached is None else reached


if __name__ == "__main__":
    draw_figure_file(__file__)
