"""Figure B.4: with a larger L2 penalty the total loss plateaus higher.

The loss with the penalty is smoother, and ends the higher the larger the penalty's weight (thesis,
appendix B.2, Figure B.4). The penalty is that of the weights at each evaluation, added to the mean
training loss since the one before.

Rule, written before the runs: in every seed, the means of the last tenth are in order.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.data_properties.curves import each_seed, in_order, swept_panels
from analyses.transience_at_scale.l2 import by_weight, weight_name
from coopetition_interp.analysis.peaks import window_mean
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Rule

STATEMENT = "total loss at the end rises with the weight"


def table(study: Study) -> pd.DataFrame:
    """Metrics by weight, with the total loss."""
    return by_weight(study)[""]


def draw(tables: Tables) -> go.Figure:
    """A curve for each weight."""
    panels = {"with the penalty": ("train", "total_loss"), "without": ("train", "training_loss")}
    return swept_panels(tables[""], "weight", "Loss", panels, weight_name, y="loss (nats)")


PUBLISHED = {STATEMENT: "higher with more"}


def rules(tables: Tables) -> list[Rule]:
    """All weights of a seed."""
    return [each_seed(STATEMENT, tables[""], _in_order)]


def _in_order(runs: pd.DataFrame) -> bool:
    ends = [window_mean(run, "train", "total_loss", start=0.9) for _, run in runs.groupby("weight")]
    return in_order(ends, slack=0.0)


if __name__ == "__main__":
    draw_figure_file(__file__)
