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

from analyses.induction_heads.curves import LOG_2, curve_shapes, thousands, training_curves
from analyses.induction_heads.heads import (
    induction_strengths,
    strongest_heads,
    training_sequences,
)
from analyses.induction_heads.main_seed import holds, main_heads, number, of_main
from analyses.induction_heads.runs import MAIN_SEED
from coopetition_interp.analysis.ablation import all_but_one_ablations, single_head_ablations
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.seed_curves import add_seed_curves
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import (
    TEMPLATE,
    CurveStyle,
    head_style,
    sequences_seen_axis,
)
from coopetition_interp.reporting.verdicts import Beside, Rule
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun

SYMBOLS = {"this head": "triangle-up", "all other heads": "circle"}
ALL = "all heads"


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
    """Ablations in the main run; curves of it and of the runs with one head of layer 1."""
    heads = main_heads(study)
    ablations = of_main(study, heads_ablated)
    ablations["induction_strength"] = ablations["head"].map(induction_strengths(heads))
    alone = training_curves(study, "head {head}", "single_head", init_seed=MAIN_SEED)
    together = training_curves(study, ALL, "main", init_seed=MAIN_SEED)
    curves = pd.concat([together, alone], ignore_index=True)
    shapes = curve_shapes(curves)
    return {"heads": heads, "ablations": ablations, "single_heads": curves, "shapes": shapes}


def draw(tables: Tables) -> go.Figure:
    """Accuracy against induction strength; losses of the runs with one head."""
    titles = ["a) heads ablated", "b) trained with one head of layer 1"]
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
                "color": [head_style(int(head)).colour for head in points["head"]],
                "line": {"color": "#333333", "width": 1},
            },
            text=[f"head {head}" for head in points["head"]],
            hovertemplate="%{text}: %{y:.4f}",
            row=1,
            col=1,
        )
    styles = {ALL: CurveStyle(ALL, "#000000", "dot")}
    n_heads = len(tables["shapes"]) - 1
    styles |= {f"head {head}": head_style(head) for head in range(n_heads)}
    add_seed_curves(figure, tables["single_heads"], "loss", "curve", styles, 1, 2)
    figure.update_xaxes(title_text="induction strength", col=1)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero", col=2)
    figure.update_yaxes(title_text="accuracy", col=1)
    figure.update_yaxes(title_text="loss (nats)", col=2)
    figure.add_hline(y=LOG_2, line={"color": "#888888", "dash": "dot", "width": 1}, col=2)
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
    lost, alone = _lost(tables), _alone(tables)
    strongest = strongest_heads(tables["heads"])[0]
    shapes = tables["shapes"].set_index("curve")
    together, single = shapes.loc[ALL], shapes.drop(ALL)
    times = single["learning_time"].fillna(float("inf"))
    return [
        number("strongest head ablated: accuracy lost", lost[strongest], "under", 0.02),
        holds("it costs more than any other head", lost.idxmax() == strongest),
        number(
            "rank correlation of strength and accuracy alone",
            spearmanr(alone["induction_strength"], alone["accuracy"]).statistic,
            "over",
            0.8,
        ),
        number("single heads: lowest final accuracy", single["last_accuracy"].min(), "over", 0.99),
        holds(
            "every head alone learns later than all heads together",
            (times > together["learning_time"]).all(),
        ),
        holds("the strongest head is the quickest alone", times.idxmin() == f"head {strongest}"),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The other heads' accuracy, and when each run learns."""
    lost, alone = _lost(tables), _alone(tables)
    strongest = strongest_heads(tables["heads"])[0]
    shapes = tables["shapes"].set_index("curve")
    times, single = shapes["learning_time"], shapes.drop(ALL)
    quickest = times.drop(ALL).sort_values(na_position="last")
    return [
        Beside(
            "any other head ablated: accuracy lost, at most", f"{lost.drop(strongest).max():.4f}"
        ),
        Beside("strongest head alone: accuracy", f"{alone['accuracy'][strongest]:.4f}"),
        Beside(
            "single heads: loss under 0.4 log 2, quickest to slowest",
            ", ".join(f"{name} {thousands(time)}" for name, time in quickest.items()),
        ),
        Beside("all heads: loss under 0.4 log 2", thousands(times[ALL])),
        Beside("single head of the lowest accuracy", str(single["last_accuracy"].idxmin())),
    ]


def _lost(tables: Tables) -> pd.Series:
    """Accuracy lost without each head."""
    table = tables["ablations"]
    return -table[table["ablated"] == "this head"].set_index("head")["accuracy_change"]


def _alone(tables: Tables) -> pd.DataFrame:
    table = tables["ablations"]
    return table[table["ablated"] == "all other heads"].set_index("head")


if __name__ == "__main__":
    draw_figure_file(__file__)
