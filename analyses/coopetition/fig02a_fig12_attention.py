"""Figures 2a and 12: at the end, layer 1 attends to the label that is right in weights.

On CIWL sequences every head of layer 1 attends from the query to the label that the query's class
has in weights, wherever it stands in context (section 4.1, Figures 2a and 12).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analyses.coopetition.at_end import (
    by_seed_at_end,
    end_checkpoint,
    first_sequences,
    with_end_state,
)
from coopetition_interp.analysis.attention_strengths import query_attention
from coopetition_interp.analysis.right_label_places import with_right_label_in
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import TEMPLATE, head_style
from coopetition_interp.reporting.verdicts import NumberRule, Rule
from coopetition_interp.training import Run


@measure(n_sequences=2000)
def attention_from_query(run: Run, n_sequences: int) -> pd.DataFrame:
    """Layer 1's attention from the query at the end, by where the right label is."""
    model, ciwl = run.model(end_checkpoint(run)), first_sequences(run, "ciwl", n_sequences)
    tables = []
    for pair in range(ciwl.n_pairs):
        attention = query_attention(model, with_right_label_in(ciwl, pair), by="position")
        last = attention[attention["layer"] == model.cfg.n_layers - 1].drop(columns="layer")
        tables.append(last.assign(right_label_at=2 * pair + 1))
    return with_end_state(run, pd.concat(tables, ignore_index=True))


def table(study: Study) -> pd.DataFrame:
    """Of main from every initialisation."""
    return study.measured(attention_from_query, "main", data_seed=2)


def draw(tables: Tables) -> go.Figure:
    """Attention to each token, a bar for each head: the mean over seeds."""
    places = sorted(tables[""]["right_label_at"].unique())
    figure = make_subplots(
        rows=1,
        cols=len(places),
        subplot_titles=[f"right label at index {place}" for place in places],
        shared_yaxes=True,
    )
    mean = tables[""].groupby(["right_label_at", "head", "to"])["attention"].mean().reset_index()
    for col, place in enumerate(places, start=1):
        for head, bars in mean[mean["right_label_at"] == place].groupby("head"):
            style = head_style(int(str(head)))
            figure.add_bar(
                x=bars["to"],
                y=bars["attention"],
                name=style.name,
                legendgroup=style.name,
                showlegend=col == 1,
                marker_color=style.colour,
                row=1,
                col=col,
            )
    figure.update_xaxes(title_text="attended token", dtick=1)
    figure.update_yaxes(title_text="mean attention", col=1)
    title = "Layer 1's attention from the query on CIWL sequences"
    figure.update_layout(title=title, template=TEMPLATE, height=440, hovermode="closest")
    return figure


PUBLISHED = {
    "attention to the right label at index 1, least of the heads": "~0.8",
    "attention to the right label at index 3, least of the heads": "~0.8",
}


def rules(tables: Tables) -> list[Rule]:
    """The least of layer 1's heads, at either place."""
    on_right = tables[""][tables[""]["to"] == tables[""]["right_label_at"]]
    return [
        NumberRule(
            f"attention to the right label at index {place}, least of the heads",
            by_seed_at_end(rows, lambda of_seed: of_seed["attention"].min()),
            "over",
            0.5,
        )
        for place, rows in on_right.groupby("right_label_at")
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
