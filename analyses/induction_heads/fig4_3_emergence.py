"""Figure 4.3: induction heads emerge.

The loss stands at log 2, guessing between the labels in context, until a phase change as induction
heads form; the network then generalises to unseen classes and label pairs (thesis 4.3, Figure 4.3).
What counts as a phase change is stated in `curves.py`.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analyses.induction_heads.curves import (
    CURVE_COLUMNS,
    LOG_2,
    curve_shapes,
    shape_told,
    thousands,
    training_curves,
)
from analyses.induction_heads.heads import N_CHECKPOINTS, training_sequences
from analyses.induction_heads.main_seed import holds, number, of_main
from analyses.induction_heads.runs import MAIN_SEED
from coopetition_interp.analysis.checkpoints import spread_checkpoints, strengths_over_checkpoints
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.seed_curves import add_seed_curves
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import (
    TEMPLATE,
    evaluator_styles,
    head_style,
    sequences_seen_axis,
)
from coopetition_interp.reporting.verdicts import Beside, Rule
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun

EMERGED = 0.5
"""Induction strength at which a head counts as emerged."""


@measure(n_sequences=1000, n_checkpoints=N_CHECKPOINTS)
def strengths_over_training(
    run: ExemplarLabelRun, n_sequences: int, n_checkpoints: int
) -> pd.DataFrame:
    """Induction strength of layer 1's heads over the run's checkpoints."""
    sequences = training_sequences(run, n_sequences)
    moments = spread_checkpoints(run, n_checkpoints)
    table = strengths_over_checkpoints(run, sequences, checkpoints=moments)
    return table.loc[table["layer"] == 1, ["sequences_seen", "head", "induction_strength"]]


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Losses and strengths of the main run."""
    metrics = study.curves("main", init_seed=MAIN_SEED)
    return {
        "losses": metrics[["init_seed", "evaluator", *CURVE_COLUMNS]],
        "strengths": of_main(study, strengths_over_training),
        "shape": curve_shapes(training_curves(study, "main", "main", init_seed=MAIN_SEED)),
    }


def draw(tables: Tables) -> go.Figure:
    """Losses of the evaluators, and induction strength of each head."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=["a) loss", "b) induction strength"])
    losses, strengths = tables["losses"], tables["strengths"]
    styles = evaluator_styles(losses["evaluator"].unique())
    add_seed_curves(figure, losses, "loss", "evaluator", styles, 1, 1)
    heads = {head: head_style(int(head)) for head in sorted(strengths["head"].unique())}
    add_seed_curves(figure, strengths, "induction_strength", "head", heads, 1, 2)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    figure.update_yaxes(title_text="loss (nats)", rangemode="tozero", col=1)
    figure.update_yaxes(title_text="attention to the right label minus the other", col=2)
    figure.add_hline(y=LOG_2, line={"color": "#888888", "dash": "dot", "width": 1}, col=1)
    figure.update_layout(title="Induction heads emerge", template=TEMPLATE, height=540)
    return figure


PUBLISHED = {
    "the loss has a phase change": "yes",
    "accuracy while the loss is within 0.1 of log 2": "~50%",
    "final accuracy, train": "99.99%",
    "final accuracy, held_out_classes": "high",
    "final accuracy, held_out_label_pairs": "high",
    "the strongest head emerges first": "yes: head 3",
    "final accuracy, held_out_exemplars": "high",
    f"heads with a strength over {EMERGED}": "several",
}


def rules(tables: Tables) -> list[Rule]:
    """A plateau at chance, a phase change, generalisation."""
    plateau, last = _plateau(tables), _last(tables)["accuracy"]
    accuracy = plateau["accuracy"].mean()
    emerged, final = _emerged(tables), _final_strengths(tables)
    first = emerged.index[0] == final.index[0] if len(emerged) else False
    while_guessing = "accuracy while the loss is within 0.1 of log 2"
    return [
        holds("the loss has a phase change", tables["shape"]["kind"].iloc[0] == "phase change"),
        number(while_guessing, accuracy, "over", 0.4),
        number(while_guessing, accuracy, "under", 0.65),
        number("final accuracy, train", last["train"], "over", 0.99),
        *(
            number(f"final accuracy, {name}", last[name], "over", 0.9)
            for name in ("held_out_classes", "held_out_label_pairs")
        ),
        holds("the strongest head emerges first", first),
    ]


def beside(tables: Tables) -> list[Beside]:
    """The plateau, the fall, the held-out exemplars, and which heads emerge."""
    plateau, last = _plateau(tables)["sequences_seen"], _last(tables)
    losses = tables["losses"]
    held_out = losses[losses["evaluator"] == "held_out_exemplars"]["loss"]
    emerged, final = _emerged(tables), _final_strengths(tables)
    return [
        Beside("the plateau", f"{thousands(plateau.min())} to {thousands(plateau.max())}"),
        Beside("shape of the curve", shape_told(tables["shape"].iloc[0])),
        Beside(
            "final accuracy, held_out_exemplars",
            f"{last['accuracy']['held_out_exemplars']:.3f}, the loss rising from "
            f"{held_out.min():.2f} to {held_out.iloc[-1]:.2f}",
        ),
        Beside("strongest head", f"head {final.index[0]} ({final.iloc[0]:.2f})"),
        Beside(
            "first head to emerge",
            f"head {emerged.index[0]} at {thousands(emerged.iloc[0])}" if len(emerged) else "none",
        ),
        Beside(f"heads with a strength over {EMERGED}", str(int((final > EMERGED).sum()))),
    ]


def _plateau(tables: Tables) -> pd.DataFrame:
    train = tables["losses"][tables["losses"]["evaluator"] == "train"]
    return train[(train["loss"] - LOG_2).abs() <= 0.1]


def _last(tables: Tables) -> pd.DataFrame:
    """Metrics of the last evaluation, by evaluator."""
    losses = tables["losses"]
    end = losses["sequences_seen"].max()
    return losses[losses["sequences_seen"] == end].set_index("evaluator")


def _final_strengths(tables: Tables) -> pd.Series:
    """By head, the strongest first."""
    table = tables["strengths"]
    end = table[table["sequences_seen"] == table["sequences_seen"].max()]
    return end.set_index("head")["induction_strength"].sort_values(ascending=False)


def _emerged(tables: Tables) -> pd.Series:
    """Sequences seen when each head emerges, by head, the first first."""
    table = tables["strengths"]
    strong = table[table["induction_strength"] >= EMERGED]
    return strong.groupby("head")["sequences_seen"].min().sort_values()


if __name__ == "__main__":
    draw_figure_file(__file__)
