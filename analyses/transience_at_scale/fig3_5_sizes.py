"""Figure 3.5: more classes keep in-context learning up, more drawings alone do not.

With the eight transforms of a character as eight classes (12,800 x 20) in-context learning peaks
higher and decays more slowly than with 1,600 x 20; with the transforms as more drawings of one
class (1,600 x 160) it peaks lower and decays faster (thesis, section 3.3.2, Figure 3.5).

With more classes in the default than there are characters, drawings and classes would differ at
once, and the last two rules have no number.

Rules, written before the runs: paired within seeds.

Changed on 2026-11-28, before these runs were looked at: where one of the two others has no number,
neither has the seed; it was the other one's before. Changed on 2026-11-30, after the default run
was seen and before any other: heights of curves that still rise are not compared, nor is anything
where it does not emerge in the default run.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    ON_TRAINING_CLASSES,
    less,
    number_of,
    shapes,
    size_names,
    swept_panels,
)
from analyses.transience_at_scale.beside_default import beside_default, default_of
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule

DEFAULT, AS_DRAWINGS, AS_CLASSES = "default", "as drawings", "as classes"


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by what the transforms are, and ICL's shapes."""
    default = default_of(study, "classes.n_train", "classes.n_train_exemplars")
    n_classes, n_exemplars = default["n_train"], default["n_train_exemplars"]
    curves = beside_default(study, "sizes", {"n_classes": n_classes, "n_exemplars": n_exemplars})
    transforms = curves["role"].where(curves["role"] == "default", AS_DRAWINGS)
    transforms = transforms.where(curves["n_classes"] <= n_classes, AS_CLASSES)
    curves = curves.assign(
        transforms=transforms,
        size=size_names(curves),
    )
    return {"": curves, "icl": shapes(curves, "transforms")}


def draw(tables: Tables) -> go.Figure:
    """A curve for each size."""
    return swept_panels(tables[""], "size", "Classes x drawings", ON_TRAINING_CLASSES)


PUBLISHED = {
    "ICL's height, transforms as classes less the higher of the others": "higher",
    "ICL's slope, transforms as classes less the shallower of the others": "shallower",
    "ICL's height, transforms as drawings less without": "lower",
    "ICL's slope, transforms as drawings less without": "steeper, so lower",
}


def rules(tables: Tables) -> list[Rule]:
    """On training classes."""
    icl = tables["icl"]
    numbers = {
        column: {
            kind: number_of(
                icl,
                column,
                emerged=column == "slope" or kind == DEFAULT,
                settled=True,
                transforms=kind,
            )
            for kind in (DEFAULT, AS_DRAWINGS, AS_CLASSES)
        }
        for column in ("height", "slope")
    }
    found: list[Rule] = []
    for statement, column in zip(PUBLISHED, ("height", "slope"), strict=False):
        of = numbers[column]
        nothing = float("nan")
        other = {  # numpy's maximum of anything and NaN is NaN
            seed: float(np.maximum(of[DEFAULT][seed], of[AS_DRAWINGS].get(seed, nothing)))
            for seed in of[DEFAULT]
        }
        found.append(NumberRule(statement, less(of[AS_CLASSES], other), "over", 0.0))
    for statement, column in zip(list(PUBLISHED)[2:], ("height", "slope"), strict=True):
        of = numbers[column]
        differences = less(of[AS_DRAWINGS], of[DEFAULT])
        if _classes(tables[""], AS_DRAWINGS) != _classes(tables[""], DEFAULT):
            differences = dict.fromkeys(differences, float("nan"))
        found.append(NumberRule(statement, differences, "under", 0.0))
    return found


def _classes(curves: pd.DataFrame, transforms: str) -> set[int]:
    return set(curves.loc[curves["transforms"] == transforms, "n_classes"])


if __name__ == "__main__":
    draw_figure_file(__file__)
