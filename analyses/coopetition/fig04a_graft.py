"""Figure 4a: what CIWL leaves behind lets in-context learning form sooner.

Trained on data that only in-context learning can solve, a network with block 1 and the unembedding
of the main run's end, held fixed, learns in context many times sooner than one from scratch. From
scratch it takes longer than the main run itself, where it is not the only way (section 5.1,
Figure 4a).
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.moments import first_reaching
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.seed_curves import evaluator_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import millions
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
    figure = evaluator_panels(panels, ("icl",), "In-context learning with a graft", metric="loss")
    # One axis for all, since what is compared is how soon they learn: up to the two's ends.
    ends = [tables[name]["sequences_seen"].max() for name in ("from_scratch", "with_graft")]
    return figure.update_xaxes(range=[0, millions(max(ends))])


WHY = """
At the published rate neither run has learned: the one from scratch in 8M sequences, the one with
the graft in 4M. At ten times the rate the ones with the graft are at 0.75 after 0.18M, 0.32M and
0.14M sequences (three initialisations) and the ones from scratch after 0.86M and 0.88M, one not in
2M, so that these lengths may be too short at the published rate. That was not tested by a longer
run. The ratio of the one that did not learn is a lower bound, and the three differ so much that
their interval reaches below what is asked, though two of them are above it.
"""

PUBLISHED = {
    "times sooner with the graft than from scratch": "the graft learns within 2M",
    "times sooner on bursty data than on ICL-only data, from scratch": "sooner, a surprise",
}


def rules(tables: Tables) -> list[Rule]:
    """Ratios of the sequences it takes."""
    return [
        NumberRule(
            "times sooner with the graft than from scratch",
            _times_sooner(tables["with_graft"], tables["from_scratch"], 3.0),
            "over",
            3.0,
        ),
        NumberRule(
            "times sooner on bursty data than on ICL-only data, from scratch",
            _times_sooner(tables["main"], tables["from_scratch"], 1.0),
            "over",
            1.0,
        ),
    ]


def _times_sooner(
    sooner: pd.DataFrame, from_scratch: pd.DataFrame, threshold: float
) -> dict[int, float]:
    """How many times as long it takes from scratch.

    A run that never learns counts with its whole length. The ratio is then a bound: from below if
    it is the one from scratch, from above if it is the other. Where a bound does not tell on which
    side of the threshold the ratio lies, or both never learn, it is NaN.
    """
    scratch, other = (
        by_seed(runs, lambda run: first_reaching(run, "icl", LEARNED))
        for runs in (from_scratch, sooner)
    )
    scratch_length, other_length = (
        by_seed(runs, lambda run: run["sequences_seen"].max()) for runs in (from_scratch, sooner)
    )
    ratios = {}
    for seed in scratch.keys() & other.keys():
        never, other_never = math.isnan(scratch[seed]), math.isnan(other[seed])
        ratio = (scratch_length if never else scratch)[seed]
        ratio /= (other_length if other_never else other)[seed]
        tells = ratio > threshold if never else ratio < threshold if other_never else True
        ratios[seed] = ratio if tells and not (never and other_never) else math.nan
    return ratios


if __name__ == "__main__":
    draw_figure_file(__file__)
