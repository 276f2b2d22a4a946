"""Figures 3.6, B.1 and B.2: in-context learning is transient on clusters of token embeddings.

Classes are clusters of a language model's token embeddings. Wherever in-context learning emerges it
is transient, its peak lower than on characters; with 1,600 classes of 10 tokens it is mild (thesis,
section 3.3.3, Figure 3.6; appendix B.1, Figures B.1 and B.2). The published embeddings are LLaMA's.

Rules, written before the runs: transient as in Figure 3.2, of each run in which it emerges; seeds
are pairs of an initialisation and a clustering. The height is compared with the default run's of
the same initialisation.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.data_properties.curves import (
    ON_TRAINING_CLASSES,
    less,
    number_of,
    shapes,
    size_names,
    swept_panels,
)
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule, YesNoRule


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by size, and ICL's shapes of every run and of the default's."""
    curves = study.curves("tokens")
    end = curves["sequences_seen"].max()
    curves = curves.assign(
        size=size_names(curves),
        initialisation=curves["init_seed"],
        init_seed=curves["init_seed"] * 100 + curves["clustering"],
    )
    default = shapes(study.curves("default"), "role", until=end)
    return {"": curves, "icl": shapes(curves, ["size", "initialisation"]), "default": default}


def draw(tables: Tables) -> go.Figure:
    """A curve for each size; thin ones are pairs of an initialisation and a clustering."""
    return swept_panels(tables[""], "size", "Clusters of tokens", ON_TRAINING_CLASSES)


PUBLISHED = {
    "ICL is transient wherever it emerges": "in all sets",
    "ICL's height less that on characters": "lower",
}


def rules(tables: Tables) -> list[Rule]:
    """On training classes."""
    icl = tables["icl"]
    transient, height = PUBLISHED
    emerged = icl[icl["emerged"]].reset_index(drop=True)
    of_default = number_of(tables["default"], "height")
    with_default = emerged[emerged["initialisation"].isin(of_default)]
    heights = with_default["height"].to_dict()
    beside = {index: of_default[seed] for index, seed in with_default["initialisation"].items()}
    return [
        YesNoRule(transient, {int(i): bool(t) for i, t in emerged["transient"].items()}),
        NumberRule(height, less(heights, beside), "under", 0.0),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
