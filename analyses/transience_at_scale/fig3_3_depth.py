"""Figure 3.3: in-context learning is transient at every depth.

There is no trend of its height or onset with depth, and its decay is alike (thesis, section 3.3.1,
Figure 3.3; 6 to 18 layers, here 2 to 4).

Rules, written before the runs: no trend is a 95 % interval over seeds, of the slope of the height
against the number of layers, that holds 0; alike is within a factor of two.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.data_properties.curves import (
    ON_TRAINING_CLASSES,
    each_seed,
    shapes,
    swept_panels,
    trends,
)
from analyses.transience_at_scale.beside_default import beside_default, default_of
from coopetition_interp.analysis.seed_intervals import seed_interval
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule, YesNoRule

ALIKE = 2.0


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by depth, and ICL's shapes."""
    curves = beside_default(study, "depth", default_of(study, "model.n_layers"))
    return {"": curves, "icl": shapes(curves, "n_layers")}


def draw(tables: Tables) -> go.Figure:
    """A curve for each depth."""
    return swept_panels(tables[""], "n_layers", "Depth", ON_TRAINING_CLASSES, "{} layers".format)


PUBLISHED = {
    "ICL is transient at every depth": "yes",
    "no trend of ICL's height with depth": "none",
    "ICL's decay, steepest over shallowest depth": "alike",
}


def rules(tables: Tables) -> list[Rule]:
    """On training classes."""
    icl = tables["icl"]
    transient, no_trend, alike = PUBLISHED
    slopes = trends(icl, "n_layers", "height", emerged=True)
    flat = False
    if all(slope == slope for slope in slopes.values()) and len(slopes) > 1:
        interval = seed_interval(slopes.values())
        flat = interval.low <= 0 <= interval.high
    ratios = {
        int(str(seed)): _ratio(rows["slope"].where(rows["emerged"]))
        for seed, rows in icl.groupby("init_seed")
    }
    return [
        each_seed(transient, icl, lambda rows: rows["transient"].all()),
        YesNoRule(no_trend, dict.fromkeys(slopes, flat)),
        NumberRule(alike, ratios, "under", ALIKE),
    ]


def _ratio(slopes: pd.Series) -> float:
    """Steepest over shallowest; NaN unless all fall."""
    if slopes.isna().any() or not (slopes < 0).all():
        return float("nan")
    return float(slopes.min() / slopes.max())


if __name__ == "__main__":
    draw_figure_file(__file__)
