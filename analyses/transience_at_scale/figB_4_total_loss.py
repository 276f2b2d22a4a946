"""Figure B.4: with a larger L2 penalty the total loss plateaus higher.

The loss with the penalty is smoother, and ends the higher the larger the penalty's weight (thesis,
appendix B.2, Figure B.4). The penalty is that of the weights at each evaluation, added to the mean
training loss since the one before.

Rule, written before the runs: in every seed, the means of the last tenth are in order. Whether the
loss is smoother is not judged.
"""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from analyses.chapters_2_and_3.curves import each_seed, in_order, swept_panels
from analyses.transience_at_scale.l2 import by_weight, weight_name
from coopetition_interp.analysis.peaks import window_mean
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Rule

STATEMENT = "total loss at the end rises with the weight"


def table(study: Study) -> pd.DataFrame:
    """Metrics by weight, with the total loss.

    Raises:
        StudyError: Runs with a penalty do not tell how large it was.
    """
    curves = by_weight(study)[""]
    penalty = curves.get("l2_penalty", pd.Series(math.nan, curves.index))
    penalised = (curves["weight"] > 0) & curves["training_loss"].notna()
    if penalty[penalised].isna().any():
        raise StudyError(
            "runs with an L2 penalty lack l2_penalty, so the loss with it cannot be told: pack the "
            "study again with --column l2_penalty"
        )
    return curves.assign(total_loss=curves["training_loss"] + penalty.where(penalised, 0.0))


def ends(runs: pd.DataFrame) -> pd.DataFrame:
    """The total loss in the last tenth of each run: columns weight, init_seed, finished, end."""
    rows = []
    for (weight, seed), run in runs.groupby(["weight", "init_seed"]):
        finished = bool(run["evaluator"].notna().any())
        end = window_mean(run, "train", "total_loss", start=0.9) if finished else math.nan
        rows.append({"weight": weight, "init_seed": seed, "finished": finished, "end": end})
    return pd.DataFrame(rows)


def draw(tables: Tables) -> go.Figure:
    """A curve for each weight, on log axes: at the start the largest penalty is 60 nats."""
    panels = {"with the penalty": ("train", "total_loss"), "without": ("train", "training_loss")}
    figure = swept_panels(tables[""], "weight", "Loss", panels, weight_name, y="loss (nats)")
    return figure.update_yaxes(type="log", dtick=1)


PUBLISHED = {STATEMENT: "higher with more"}


def rules(tables: Tables) -> list[Rule]:
    """All weights of a seed."""
    of_runs = ends(tables[""]).sort_values("weight")
    return [each_seed(STATEMENT, of_runs, lambda rows: in_order(rows["end"].tolist(), slack=0.0))]


if __name__ == "__main__":
    draw_figure_file(__file__)
