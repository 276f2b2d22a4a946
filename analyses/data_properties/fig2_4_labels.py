"""Figure 2.4: the more labels a class has, the more in-context learning.

A class owns several labels, and carries one of them throughout a sequence. The more it owns, the
less does in-weights learning help, and the more in-context learning there is (thesis, section
2.3.2, Figure 2.4). In-weights learning counts any of a class's labels as right.

Rule, written before the runs: 0.05 more at the highest, which is what counts as emerging at all.

More seeds since 2026-11-29: five seeds in place of three, which left it undecided (0.087, interval
0.034 to 0.139).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import (
    HELD_OUT,
    ICL_AND_IWL,
    less,
    number_of,
    planned_curves,
    shapes,
    swept_panels,
)
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule

MOST, LEAST = 4, 1
STATEMENT = f"ICL's highest, {MOST} labels a class less {LEAST}"


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by number of labels; "accuracy" is that of any label of the class.

    Raises:
        StudyError: Runs of several labels lack "class_accuracy".
    """
    curves = planned_curves(study, "labels")
    several = (curves["n_labels"] > 1) & curves["evaluator"].notna()
    any_label = curves.get("class_accuracy", pd.Series(float("nan"), curves.index))
    if any_label[several].isna().any():
        raise StudyError(
            "runs of several labels a class lack class_accuracy, so whether any label of the class "
            "was given cannot be told: pack the study again with --column class_accuracy"
        )
    curves["accuracy"] = any_label.where(several, curves["accuracy"])
    return {"": curves, "icl": shapes(curves, "n_labels", HELD_OUT)}


def draw(tables: Tables) -> go.Figure:
    """A curve for each number of labels."""
    return swept_panels(
        tables[""], "n_labels", "Labels of a class", ICL_AND_IWL, "{} a class".format
    )


PUBLISHED = {STATEMENT: "more"}


def rules(tables: Tables) -> list[Rule]:
    """On held-out classes."""
    most, least = (number_of(tables["icl"], "height", n_labels=n) for n in (MOST, LEAST))
    return [NumberRule(STATEMENT, less(most, least), "over", 0.05)]


if __name__ == "__main__":
    draw_figure_file(__file__)
