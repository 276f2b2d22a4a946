"""Figure 2b: every head of layer 1 copies the label it attends to.

With one head of layer 1 alone writing to the output, accuracy on CIWL follows that head's attention
from the wrong label to the right one, from about 0 to about 1 (section 4.1, Figure 2b).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.coopetition.at_end import (
    by_seed_at_end,
    end_checkpoint,
    first_sequences,
    with_end_state,
)
from coopetition_interp.analysis.skip_trigrams import copying_by_delta, copying_summary
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import TEMPLATE, head_style
from coopetition_interp.reporting.verdicts import NumberRule, Rule
from coopetition_interp.training import Run


@measure(n_sequences=1000)
def copying(run: Run, n_sequences: int) -> pd.DataFrame:
    """Accuracy on CIWL against the attention delta of each head of layer 1, at the end."""
    swept = copying_by_delta(
        run.model(end_checkpoint(run)), first_sequences(run, "ciwl", n_sequences)
    )
    return with_end_state(run, swept[["head", "delta", "in_context_accuracy"]].copy())


def table(study: Study) -> pd.DataFrame:
    """Of main from every initialisation."""
    return study.measured(copying, "main", data_seed=2)


def draw(tables: Tables) -> go.Figure:
    """A line for each head and seed."""
    figure = go.Figure()
    first = tables[""]["init_seed"].min()
    for (seed, head), curve in tables[""].groupby(["init_seed", "head"]):
        style = head_style(int(head))
        figure.add_scatter(
            x=curve["delta"],
            y=curve["in_context_accuracy"],
            name=style.name,
            legendgroup=style.name,
            showlegend=bool(seed == first),
            opacity=0.6,
            line={"color": style.colour, "width": 1.5},
        )
    figure.update_xaxes(title_text="attention delta (right label less other)")
    figure.update_yaxes(title_text="in-context accuracy on CIWL", range=[-0.02, 1.04])
    title = "One head of layer 1 alone, every seed"
    figure.update_layout(title=title, template=TEMPLATE, height=480, hovermode="closest")
    return figure


PUBLISHED = {
    "accuracy gained from delta -1 to +1, least of the heads": "~1",
    "largest drop between neighbouring deltas": "none: monotone in all 8",
}


def rules(tables: Tables) -> list[Rule]:
    """The head that gains least, and the largest drop of any."""

    def least_gain(of_seed: pd.DataFrame) -> float:
        summary = copying_summary(of_seed, by=("init_seed", "head"))
        return float((summary["at_plus_1"] - summary["at_minus_1"]).min())

    def largest_drop(of_seed: pd.DataFrame) -> float:
        return float(copying_summary(of_seed, by=("init_seed", "head"))["largest_drop"].max())

    return [
        NumberRule(
            "accuracy gained from delta -1 to +1, least of the heads",
            by_seed_at_end(tables[""], least_gain),
            "over",
            0.7,
        ),
        NumberRule(
            "largest drop between neighbouring deltas",
            by_seed_at_end(tables[""], largest_drop),
            "under",
            0.03,
        ),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
