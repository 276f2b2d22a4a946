"""Figure C.1: induction heads are imperfect copiers.

With a perfect match heads still err, on some labels more than on others; heads that emerge later
make up for the labels that the strongest miscopies (thesis, appendix C, Figure C.1).
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analyses.induction_heads.each_seed import (
    Holds,
    Number,
    each_seed,
    judged,
    seed_by_seed,
    told,
)
from analyses.induction_heads.heads import (
    head_names,
    heads_at_end,
    seed_colours,
    strongest_heads,
    training_sequences,
    with_strengths,
)
from coopetition_interp.analysis.mistakes import mistake_rates_by_head_and_label
from coopetition_interp.analysis.perfected_heads import perfected_heads
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import TEMPLATE, head_style
from coopetition_interp.reporting.verdicts import Beside, Rule
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun

SYMBOLS = {"nothing": "circle", "match": "square", "copy": "diamond"}


@measure(n_sequences=2000)
def perfected(run: ExemplarLabelRun, n_sequences: int) -> pd.DataFrame:
    """Each head of layer 1 alone, as it is and with a perfect match or copy, at the end."""
    table = perfected_heads(run.model("last"), training_sequences(run, n_sequences))
    return table[["head", "perfected", "accuracy", "loss"]]


@measure(n_sequences=20_000)  # the strongest heads make few mistakes
def mistakes(run: ExemplarLabelRun, n_sequences: int) -> pd.DataFrame:
    """Mistakes by head and label with a perfect match, at the end."""
    sequences = training_sequences(run, n_sequences)
    return mistake_rates_by_head_and_label(run.model("last"), sequences)


def table(study: Study) -> dict[str, pd.DataFrame]:
    """Of the main runs."""
    heads = study.measured(heads_at_end, "main")
    return {
        "": with_strengths(study.measured(perfected, "main"), heads),
        "mistakes": with_strengths(study.measured(mistakes, "main"), heads),
        "heads": heads,
    }


def draw(tables: Tables) -> go.Figure:
    """Heads alone by strength, of all seeds; mistakes and accuracy by label, of the first."""
    seed, first = next(iter(each_seed(tables).items()))
    titles = [
        "a) each head alone",
        "b) perfect match: relative mistake rate",
        "c) perfect match: accuracy",
    ]
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.07)
    for kind, symbol in SYMBOLS.items():
        points = tables[""][tables[""]["perfected"] == kind]
        figure.add_scatter(
            x=points["induction_strength"],
            y=points["accuracy"],
            mode="markers",
            name="as it is" if kind == "nothing" else f"perfect {kind}",
            marker={
                "symbol": symbol,
                "size": 11,
                "color": seed_colours(points["init_seed"]),
                "line": {"color": "#333333", "width": 1},
            },
            text=head_names(points),
            hovertemplate="%{text}: %{y:.4f}",
            row=1,
            col=1,
        )
    for head, rates in first["mistakes"].groupby("head"):
        style = head_style(int(str(head)))
        for col, values in ((2, rates["relative_mistake_rate"]), (3, 1 - rates["mistake_rate"])):
            figure.add_scatter(
                x=rates["label"],
                y=values,
                name=style.name,
                legendgroup=style.name,
                showlegend=col == 2,
                mode="lines+markers",
                line={"color": style.colour, "width": 2},
                opacity=float(rates["induction_strength"].iloc[0].clip(0.35, 1.0)),
                row=1,
                col=col,
            )
    figure.update_xaxes(title_text="induction strength", col=1)
    for col in (2, 3):
        figure.update_xaxes(title_text="label", dtick=1, col=col)
        figure.update_yaxes(title_text="", col=col)
    figure.update_yaxes(title_text="accuracy", range=[-0.02, 1.04], col=1)
    figure.update_yaxes(range=[-0.02, 1.04], col=3)
    title = f"Heads alone (a colour a seed), and what those of seed {seed} miscopy"
    return figure.update_layout(title=title, template=TEMPLATE, hovermode="closest", height=440)


PUBLISHED = {
    "share of heads that a perfect match improves": "most of 8",
    "mean accuracy over heads, perfect match": "far from perfect",
    "largest relative mistake rate of a label in the strongest head": "mistakes hang on the label",
    "another head errs less than its mean on the labels that the strongest miscopies": "yes",
    "strongest head alone, perfect match: accuracy": "99.93% (58 of 78,400 wrong)",
    "labels that the strongest head miscopies more than its mean": "1 and 3",
    "heads that err on those less than their mean": "1 and 5",
}


def rules(tables: Tables) -> list[Rule]:
    """A perfect match helps and is not enough; mistakes hang on the label."""
    return judged(tables, _of_seed)


def _of_seed(tables: Tables) -> list[Number | Holds]:
    accuracy, rates = _accuracy(tables), _rates(tables)
    strongest = strongest_heads(tables["heads"])[0]
    return [
        Number(
            "share of heads that a perfect match improves",
            (accuracy["match"] > accuracy["nothing"]).mean(),
            "over",
            0.5,
        ),
        Number("mean accuracy over heads, perfect match", accuracy["match"].mean(), "under", 0.95),
        Number(
            "largest relative mistake rate of a label in the strongest head",
            rates[strongest].max(),
            "over",
            1.5,
        ),
        Holds(
            "another head errs less than its mean on the labels that the strongest miscopies",
            bool(_helpers(tables)),
        ),
    ]


def beside(tables: Tables) -> list[Beside]:
    """Which heads and labels."""

    def accuracy(of: Tables) -> float:
        return float(_accuracy(of)["match"][strongest_heads(of["heads"])[0]])

    def listed(numbers: Callable[[Tables], list[int]]) -> str:
        return seed_by_seed(tables, lambda of: ", ".join(map(str, numbers(of))) or "none")

    return [
        Beside(
            "strongest head alone, perfect match: accuracy",
            told(tables, accuracy, "{:.4f}".format),
        ),
        Beside(
            "labels that the strongest head miscopies more than its mean", listed(_worst_labels)
        ),
        Beside("heads that err on those less than their mean", listed(_helpers)),
    ]


def _accuracy(tables: Tables) -> pd.DataFrame:
    return tables[""].pivot(index="head", columns="perfected", values="accuracy")


def _rates(tables: Tables) -> pd.DataFrame:
    return tables["mistakes"].pivot(index="label", columns="head", values="relative_mistake_rate")


def _worst_labels(tables: Tables) -> list[int]:
    of_strongest = _rates(tables)[strongest_heads(tables["heads"])[0]]
    return of_strongest.index[of_strongest > 1].tolist()


def _helpers(tables: Tables) -> list[int]:
    """The other heads, by strength, that err less than their mean on the strongest's labels."""
    rates, worst = _rates(tables), _worst_labels(tables)
    others = strongest_heads(tables["heads"])[1:]
    return [head for head in others if worst and (rates.loc[worst, head] < 1).all()]


if __name__ == "__main__":
    draw_figure_file(__file__)
