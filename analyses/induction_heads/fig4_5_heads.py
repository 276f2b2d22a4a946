"""Figure 4.5: many heads, one suffices.

No single head is needed, for the others make up for it; what a head does alone goes with its
induction strength; each head of layer 1 can learn the task on its own, more slowly (thesis 4.3.2,
Figure 4.5).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.stats import spearmanr

from analyses.induction_heads.curves import (
    LOG_2,
    curves_and_shapes,
    shapes_by_curve,
    times_beside,
    training_curves,
)
from analyses.induction_heads.each_seed import (
    Holds,
    Number,
    judged,
    of_shared_seeds,
    seed_by_seed,
    told,
)
from analyses.induction_heads.heads import (
    head_names,
    heads_alike,
    heads_at_end,
    rank_style,
    seed_colours,
    training_sequences,
    with_strengths,
)
from analyses.induction_heads.runs import N_HEADS
from coopetition_interp.analysis.ablation import all_but_one_ablations, single_head_ablations
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.seed_curves import add_seed_curves
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import (
    TEMPLATE,
    CurveStyle,
    dotted_line,
    sequences_seen_axis,
)
from coopetition_interp.reporting.verdicts import Beside, Rule
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun

SYMBOLS = {"this head": "triangle-up", "all other heads": "circle"}
ALL = "all heads"
STYLES = {
    ALL: CurveStyle(ALL, "#000000", "dot"),
    **{style.name: style for style in map(rank_style, range(1, N_HEADS + 1))},
}
"""Curves of the runs with one head are named by its rank in the main run."""


@measure(n_sequences=2000)
def heads_ablated(run: ExemplarLabelRun, n_sequences: int) -> pd.DataFrame:
    """Each head of layer 1 ablated, and all but it, at the end."""
    model, sequences = run.model("last"), training_sequences(run, n_sequences)
    tables = {
        "this head": single_head_ablations(model, sequences),
        "all other heads": all_but_one_ablations(model, sequences),
    }
    table = pd.concat([t.assign(ablated=name) for name, t in tables.items()], ignore_index=True)
    return table[["head", "ablated", "accuracy", "loss", "accuracy_change", "loss_change"]]


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Ablations in the main runs; curves of them and of the runs with one head of layer 1."""
    heads = study.measured(heads_at_end, "main")
    ablations = with_strengths(study.measured(heads_ablated, "main"), heads)
    together = training_curves(study.require("main"), ALL)
    alike = study.measured(heads_alike, "main")
    alone = training_curves(study.require("single_head"), "{head}")
    alone["head"] = alone["curve"].astype(int)
    ranked = with_strengths(alone, heads)
    ranked["curve"] = [rank_style(rank).name for rank in ranked["rank"]]
    curves = curves_and_shapes(STYLES, together, ranked[[*together.columns]])
    return of_shared_seeds(
        {
            "ablations": ablations,
            "single_heads": curves[""],
            "shapes": curves["shapes"],
            "alike": alike,
        }
    )


def draw(tables: Tables) -> go.Figure:
    """Accuracy against induction strength; losses of the runs with one head."""
    titles = ["a) heads ablated (a colour a seed)", "b) trained with one head of layer 1"]
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles)
    for ablated, points in tables["ablations"].groupby("ablated", sort=False):
        figure.add_scatter(
            x=points["induction_strength"],
            y=points["accuracy"],
            mode="markers",
            name=f"ablated: {ablated}",
            marker={
                "symbol": SYMBOLS[str(ablated)],
                "size": 12,
                "color": seed_colours(points["init_seed"]),
                "line": {"color": "#333333", "width": 1},
            },
            text=head_names(points),
            hovertemplate="%{text}: %{y:.4f}",
            row=1,
            col=1,
        )
    add_seed_curves(figure, tables["single_heads"], "loss", "curve", STYLES, 1, 2)
    figure.update_xaxes(title_text="induction strength", col=1)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero", col=2)
    figure.update_yaxes(title_text="accuracy", col=1)
    figure.update_yaxes(title_text="loss (nats)", col=2)
    dotted_line(figure, LOG_2, col=2)
    figure.update_layout(
        title="Many heads, one suffices", template=TEMPLATE, hovermode="closest", height=500
    )
    return figure


PUBLISHED = {
    "strongest head ablated: accuracy lost": "~1%",
    "it costs more than any other head": "yes",
    "rank correlation of strength and accuracy alone": "high",
    "single heads: lowest final accuracy": "near-perfect",
    "every head alone learns later than all heads together": "yes",
    "the strongest head is the quickest alone": "yes: head 3",
    "any other head ablated: accuracy lost, at most": "~0",
    "strongest head alone: accuracy": "98%",
}


def rules(tables: Tables) -> list[Rule]:
    """Ablated, alone, and trained alone; a head that never learns is later than any that does."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Number | Holds]:
    lost, alone = _lost(tables), _ablated(tables, "all other heads")
    shapes = shapes_by_curve(tables)
    together, single = shapes.loc[ALL], shapes.drop(ALL)
    times = single["learning_time"].fillna(float("inf"))
    return [
        Number("strongest head ablated: accuracy lost", lost[1], "under", 0.02),
        Holds("it costs more than any other head", lost.idxmax() == 1),
        Number(
            "rank correlation of strength and accuracy alone",
            spearmanr(alone["induction_strength"], alone["accuracy"]).statistic,
            "over",
            0.8,
        ),
        Number("single heads: lowest final accuracy", single["last_accuracy"].min(), "over", 0.99),
        Holds(
            "every head alone learns later than all heads together",
            (times > together["learning_time"]).all(),
        ),
        Holds("the strongest head is the quickest alone", times.idxmin() == rank_style(1).name),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The other heads' accuracy, and when each run learns."""

    def alone(of: Tables) -> float:
        return float(_ablated(of, "all other heads")["accuracy"][1])

    def lowest(of: Tables) -> str:
        return str(shapes_by_curve(of)["last_accuracy"].drop(ALL).idxmin())

    return [
        Beside(
            "any other head ablated: accuracy lost, at most",
            told(tables, lambda of: _lost(of).drop(1).max(), "{:.4f}".format),
        ),
        Beside("strongest head alone: accuracy", told(tables, alone, "{:.4f}".format)),
        Beside(
            "correlation of two heads' attention deltas over sequences, least of the pairs",
            told(tables, lambda of: of["alike"]["correlation"].min(), "{:.2f}".format),
        ),
        *times_beside(tables, {name: name for name in STYLES}),
        Beside("single head of the lowest accuracy", seed_by_seed(tables, lowest)),
    ]


def _lost(tables: Tables) -> pd.Series:
    """Accuracy lost without each head, by the head's rank."""
    return -_ablated(tables, "this head")["accuracy_change"]


def _ablated(tables: Tables, what: str) -> pd.DataFrame:
    table = tables["ablations"]
    return table[table["ablated"] == what].set_index("rank")


if __name__ == "__main__":
    draw_figure_file(__file__)
