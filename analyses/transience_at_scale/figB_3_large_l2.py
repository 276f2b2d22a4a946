"""Figure B.3: a large L2 penalty does not keep in-context learning.

Above a weight of 1e-4 in-context learning is transient again, or does not come, and in-weights
learning never rises (thesis, appendix B.2, Figure B.3).

Rules, written before the runs: at the largest weight in-context learning falls by 0.05 or more from
its height, or does not emerge; IWL is under 0.01 at the end. The other weights above 1e-4 are drawn
and not judged.

Changed on 2026-11-28, before these runs were looked at: in-context learning that still rises at its
end leaves the first rule undecided, as the reference has it; it counted for it before. Changed on
2026-11-30, after the default run was seen and before any other: a seed in which in-context, or
in-weights, learning does not come without a penalty tells nothing of it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    ON_TRAINING_CLASSES,
    each_seed,
    number_of,
    only_where,
    swept_panels,
)
from analyses.transience_at_scale.l2 import NO_IWL, TOO_HIGH, by_weight, weight_name
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by weight, and the shapes of both curves."""
    return by_weight(study)


def draw(tables: Tables) -> go.Figure:
    """A curve for each large weight, and the one without."""
    runs = tables[""]
    large = runs[(runs["weight"] > TOO_HIGH) | (runs["weight"] == 0)]
    return swept_panels(large, "weight", "Large L2 penalties", ON_TRAINING_CLASSES, weight_name)


PUBLISHED = {
    "at the largest weight ICL fades or does not come": "yes",
    "IWL at the end, at the largest weight": "0",
}


def rules(tables: Tables) -> list[Rule]:
    """At the largest weight."""
    icl, iwl = tables["icl"], tables["iwl"]
    fades, none = PUBLISHED
    largest = float(icl["weight"].max())
    without = number_of(iwl, "end", weight=0.0)
    comes = {seed: end >= NO_IWL for seed, end in without.items()}
    ends = only_where(number_of(iwl, "end", weight=largest), comes)
    return [
        each_seed(fades, icl[icl["weight"].isin((0.0, largest))], _fades),
        NumberRule(none, ends, "under", NO_IWL),
    ]


def _fades(rows: pd.DataFrame) -> Any:
    """Whether ICL fades or does not come at the largest weight; None if not without one either."""
    penalised, without = rows[rows["weight"] > 0], rows[rows["weight"] == 0]
    if penalised.empty or not without["emerged"].any():
        return None
    return (~penalised["emerged"] | penalised["transient"]).all(skipna=False)


if __name__ == "__main__":
    draw_figure_file(__file__)
