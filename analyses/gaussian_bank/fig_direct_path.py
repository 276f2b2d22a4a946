"""Gaussian classes: in-context learning is outvoted by the path without heads.

On real characters the path from embedding to unembedding keeps a quarter of the accuracy above
chance that weights alone reach (Appendix C.1 of the coopetition paper). Gaussian classes can be
told apart by that path alone, so that it outvotes what the heads copy from the context. A study on
such a bank says little about how strategies compete for heads.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.coopetition.figC_1_embedding import share_left, without_heads_or_embedding
from coopetition_interp.reporting.by_seed import by_seed
from coopetition_interp.reporting.evaluators import evaluator_curves
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, Rule


def table(study: Study) -> dict[str, pd.DataFrame]:
    """The run's curves, and its accuracy without heads."""
    return {
        "curves": study.curves("main"),
        "without_heads": study.measured(without_heads_or_embedding, "main"),
    }


def draw(tables: Tables) -> go.Figure:
    """In-context accuracy of each evaluator."""
    return evaluator_curves(tables["curves"], ["icl", "ciwl", "flip"])


PUBLISHED = {"share of above-chance CIWL left without any head": "0.25 on real characters"}


def rules(tables: Tables) -> list[Rule]:
    """The statistic of Appendix C.1, at the run's last checkpoint, with the opposite claim."""
    ciwl = tables["without_heads"].query("evaluator == 'ciwl'")
    left = by_seed(ciwl, lambda rows: share_left(rows, "heads"))
    return [NumberRule("share of above-chance CIWL left without any head", left, "over", 0.5)]


if __name__ == "__main__":
    draw_figure_file(__file__)
