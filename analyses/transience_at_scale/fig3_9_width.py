"""Figure 3.9: in-context learning lasts longer in wider networks.

On the usual data a wider network has a higher peak, a gentler decay and more in-weights learning
(a, b). Trained on in-context learning alone width brings no clear gain (c), on in-weights learning
alone it does (d) (thesis, section 3.4, Figure 3.9). That the decay is gentler is not judged.

At the published scale a head is an eighth as wide as the residual stream; in the short runs it has
8 dimensions at every width.

Rules, written before the runs: slopes against the logarithm of the width to base 2, at the end of
the run; no clear gain is under 0.02 a doubling, which is two standard errors of the evaluator.

Changed on 2026-11-30, after the default run was seen and before any other: heights of curves that
still rise are not compared, and of a seed in which ICL emerges at no width nothing is told of it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import shapes, swept_panels, trends
from analyses.transience_at_scale.beside_default import beside_default, default_of
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule

PANELS = {
    "a: ICL": ("bursty", "icl", "in_context_accuracy"),
    "b: IWL": ("bursty", "iwl", "accuracy"),
    "c: ICL, trained on it alone": ("icl_only", "icl", "in_context_accuracy"),
    "d: IWL, trained on it alone": ("iwl_only", "iwl", "accuracy"),
}


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by data and width, and the shape of each panel's curves."""
    default = {**default_of(study, "model.d_model"), "data": "bursty"}
    curves = beside_default(study, "width", default)
    panels = {
        name: shapes(curves[curves["data"] == data], "d_model", evaluator, metric)
        for name, (data, evaluator, metric) in PANELS.items()
    }
    rows = [found.assign(panel=name) for name, found in panels.items()]
    return {"": curves, "shapes": pd.concat(rows, ignore_index=True)}


def draw(tables: Tables) -> go.Figure:
    """The four panels, in each a curve for each width."""
    runs = tables[""]
    runs = runs.assign(evaluator=runs["data"] + " " + runs["evaluator"])
    panels = {
        name: (f"{data} {evaluator}", metric) for name, (data, evaluator, metric) in PANELS.items()
    }
    return swept_panels(runs, "d_model", "Width", panels, "width {}".format)


PUBLISHED = {
    "ICL's height a doubling of the width": "higher",
    "IWL at the end a doubling of the width": "more",
    "trained on ICL alone: ICL at the end a doubling of the width": "no clear gain",
    "trained on IWL alone: IWL at the end a doubling of the width": "more",
}


def rules(tables: Tables) -> list[Rule]:
    """Trends over all widths of a seed."""
    found = tables["shapes"]
    columns = ("height", "end", "end", "end")
    slopes = [
        trends(
            found[found["panel"] == panel],
            "d_model",
            column,
            np.log2,
            some_emerged=evaluator == "icl",
            settled=column == "height",
        )
        for (panel, (_, evaluator, _)), column in zip(PANELS.items(), columns, strict=True)
    ]
    higher, more, no_gain, gain = PUBLISHED
    return [
        NumberRule(higher, slopes[0], "over", 0.0),
        NumberRule(more, slopes[1], "over", 0.0),
        NumberRule(no_gain, slopes[2], "under", 0.02),
        NumberRule(gain, slopes[3], "over", 0.0),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
