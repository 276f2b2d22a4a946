"""Figure 3.10: a penalty on the MLPs keeps in-context learning, one on attention does not.

L2 on the attention weights alone leaves in-context learning transient; on the MLPs, or on the image
embedding, it mitigates that (thesis, section 3.4, Figure 3.10).

Rules, written before the runs: at the weight that Figure 3.8 finds best, falls are compared within
seeds with those without a penalty; "not smaller" leaves 0.02, two standard errors. Where the image
embedding is one linear map, its rule says little.

Changed on 2026-11-30, after the default run was seen and before any other: where it does not fall,
a penalty has nothing to keep, and the seed tells nothing.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    ON_TRAINING_CLASSES,
    less,
    number_of,
    shapes,
    swept_panels,
)
from analyses.transience_at_scale.beside_default import beside_default
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule

NONE = "nothing"


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by what is penalised, and ICL's shapes."""
    curves = beside_default(study, "l2_part", {"part": NONE})
    return {"": curves, "icl": shapes(curves, "part")}


def draw(tables: Tables) -> go.Figure:
    """A curve for each part."""
    return swept_panels(
        tables[""], "part", "L2 penalty on a part", ON_TRAINING_CLASSES, "on {}".format
    )


PUBLISHED = {
    "ICL's fall, penalty on the MLPs less without": "mitigated",
    "ICL's fall, penalty on the image embedding less without": "mitigated",
    "ICL's fall, penalty on attention less without": "still transient",
}


def rules(tables: Tables) -> list[Rule]:
    """Paired within seeds."""
    icl = tables["icl"]
    without = number_of(icl, "fall", transient=True, part=NONE)
    mlp, embedding, attention = (
        less(number_of(icl, "fall", emerged=True, part=part), without)
        for part in ("mlp", "embedding", "attention")
    )
    on_mlps, on_embedding, on_attention = PUBLISHED
    return [
        NumberRule(on_mlps, mlp, "under", 0.0),
        NumberRule(on_embedding, embedding, "under", 0.0),
        NumberRule(on_attention, attention, "over", -0.02),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
