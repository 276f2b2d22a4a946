"""Figure 3.8: a mild L2 penalty keeps in-context learning.

With it the decay's slope goes to zero, and in-weights learning becomes transient itself (thesis,
section 3.4, Figure 3.8).

Rules, written before the runs: at the weight with the least fall of those where it emerges, the
fall is less than without, and IWL ends a tenth or more of its height below it.

Changed on 2026-11-28, before these runs were looked at: the reference's "transient" is a fall after
a peak. So IWL that has not come (under 0.01), or still rises in the last tenth of the run, tells
nothing; and a fall that noise makes is none. The highest of a hundred evaluations lies some two
standard errors over their mean; a fall has to be over three. Changed on 2026-11-30, after the
default run was seen and before any other: IWL tells nothing if its peak lies in the last tenth, or
if a fall of a tenth of it could be noise (it was taken for none); a weight at which ICL still rises
is not the best; nor is anything told where ICL does not fall without a penalty.
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import ON_TRAINING_CLASSES, less, number_of, swept_panels
from analyses.transience_at_scale.best_l2_weight import best_weight
from analyses.transience_at_scale.l2 import NO_IWL, by_weight, weight_name
from coopetition_interp.analysis.peaks import LAST_PART
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule

FALLEN_BACK = 0.1
N_EVALUATED = 2_000
"""Sequences of the evaluator, at every scale whose runs are judged."""


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by weight, and the shapes of both curves."""
    return by_weight(study)


def draw(tables: Tables) -> go.Figure:
    """A curve for each weight."""
    return swept_panels(tables[""], "weight", "L2 penalty", ON_TRAINING_CLASSES, weight_name)


PUBLISHED = {
    "ICL's fall at the best weight less that without": "no fall",
    "IWL's fall at the best weight, over its height": "transient itself",
}


def rules(tables: Tables) -> list[Rule]:
    """Paired within seeds, at one weight for all."""
    icl, iwl = tables["icl"], tables["iwl"]
    fall, fallen_back = PUBLISHED
    without = number_of(icl, "fall", transient=True, weight=0.0)
    best = best_weight(icl[icl["weight"] > 0]) if icl["finished"].all() else None
    if best is None:
        nothing = dict.fromkeys(without, math.nan)
        return [
            NumberRule(fall, nothing, "under", 0.0),
            NumberRule(fallen_back, nothing, "over", FALLEN_BACK),
        ]
    shares = iwl.assign(share=[_share_lost(row) for _, row in iwl.iterrows()])
    return [
        NumberRule(fall, less(number_of(icl, "fall", weight=best), without), "under", 0.0),
        NumberRule(fallen_back, number_of(shares, "share", weight=best), "over", FALLEN_BACK),
    ]


def _share_lost(iwl: pd.Series) -> float:
    """Of IWL's height, by its end; 0 for a fall that noise makes, NaN if that cannot be told."""
    height = float(iwl["height"])
    if not height >= NO_IWL or iwl["peak"] > (1 - LAST_PART) * iwl["last"]:
        return math.nan
    noise = 3 * math.sqrt(height * (1 - height) / N_EVALUATED)
    if iwl["fall"] > noise:
        return float(iwl["fall"]) / height
    return 0.0 if noise < FALLEN_BACK * height else math.nan


if __name__ == "__main__":
    draw_figure_file(__file__)
