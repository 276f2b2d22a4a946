"""What Figures 2.7 and A.2 share: a transformer, a vanilla RNN and an LSTM at random settings.

Every architecture is trained at the same random learning rates and warm-ups. The claims are about
the best, or about all, of these: such a rule holds, or not, once for all draws.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analyses.data_properties.curves import Panel, shapes, swept_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import YesNoRule

NAMES = {"transformer": "transformer", "rnn": "vanilla RNN", "lstm": "LSTM"}


def table(study: Study) -> pd.DataFrame:
    """Metrics of every run; each draw, and depth, is drawn as a curve of its own."""
    curves = study.curves("architecture")
    return curves.assign(init_seed=curves["draw"] * 100 + curves["depth"])


def draw(runs: pd.DataFrame, title: str, panels: Mapping[str, Panel]) -> go.Figure:
    """A thin curve for each draw, a thick one of their mean."""
    return swept_panels(runs, "kind", title, panels, NAMES.__getitem__)


def best(runs: pd.DataFrame, evaluator: str, column: str) -> dict[str, float]:
    """The largest of all draws, by architecture.

    Args:
        runs: From `table`.
        evaluator: Whose curve.
        column: Of `shapes`.
    """
    found = shapes(runs, "kind", evaluator).groupby("kind")[column].max()
    return {str(kind): float(value) for kind, value in found.items()}


def once_for_all(statement: str, runs: pd.DataFrame, holds: bool) -> YesNoRule:
    """A rule on all draws together, which says as much as there are draws."""
    every_draw = dict.fromkeys(map(int, runs["draw"].unique()), holds)
    return YesNoRule(statement, every_draw, counted="draws")
