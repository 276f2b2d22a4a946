"""What Figures 2.7 and A.2 share: a transformer, a vanilla RNN and an LSTM at random settings.

Every architecture is trained at the same random learning rates and warm-ups. The claims are about
the best of these, so one number decides for all draws. The draws stand in a rule for the seeds that
the verdict asks for, since every one of them might have refuted it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import Panel, planned_curves, shapes, swept_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import YesNoRule

NAMES = {"transformer": "transformer", "rnn": "vanilla RNN", "lstm": "LSTM"}


def table(study: Study) -> pd.DataFrame:
    """Metrics of every run; each draw, and depth, is drawn as a curve of its own."""
    curves = planned_curves(study, "architecture")
    return curves.assign(init_seed=curves["draw"] * 100 + curves["depth"])


def draw(runs: pd.DataFrame, title: str, panels: Mapping[str, Panel]) -> go.Figure:
    """A thin curve for each draw, a thick one of their mean."""
    return swept_panels(runs, "kind", title, panels, NAMES.__getitem__)


def best(runs: pd.DataFrame, evaluator: str) -> dict[str, float]:
    """The highest of all finished draws, by architecture; NaN for one of which none is finished.

    Args:
        runs: From `table`.
        evaluator: Whose curve.
    """
    found = shapes(runs, "kind", evaluator).groupby("kind")["height"].max()
    return {str(kind): float(value) for kind, value in found.items()}


def lacks_runs(runs: pd.DataFrame, *kinds: str) -> bool:
    """Whether a planned run of these architectures is not finished."""
    return bool(runs.loc[runs["kind"].isin(kinds), "evaluator"].isna().any())


def once_for_all(statement: str, runs: pd.DataFrame, holds: bool | None, told: str) -> YesNoRule:
    """A rule on all draws together.

    Args:
        statement: Of the rule.
        runs: From `table`.
        holds: Whether it holds; None if that cannot be told.
        told: The numbers that decide, in words.
    """
    every_draw = dict.fromkeys(map(int, runs["draw"].unique()), holds)
    return YesNoRule(statement, every_draw, counted="draws", told=told)
