"""Figure 14: layer 0 switches from the previous token to itself.

While in-context learning dominates, heads of layer 0 attend from label tokens to the previous
token; by the end that is gone and they attend to themselves. It is the same on all evaluators
(Appendix C, Figure 14).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analyses.coopetition.at_end import (
    IN_CONTEXT_EVALUATORS,
    by_seed_at_end,
    end_checkpoint,
    end_state,
    first_sequences,
)
from coopetition_interp.analysis.attention_strengths import label_attention
from coopetition_interp.analysis.checkpoints import checkpoint_models, spread_checkpoints
from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.reporting.figure_file import Tables, draw_figure_file
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.seed_curves import curve_panels
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import DOTTED, head_style, millions
from coopetition_interp.reporting.verdicts import NumberRule, Rule
from coopetition_interp.training import Run


@measure(n_sequences=500, n_checkpoints=60)
def attention_from_labels(run: Run, n_sequences: int, n_checkpoints: int) -> pd.DataFrame:
    """Layer 0's attention from labels to the previous token and to themselves, over training.

    `moment` is "peak" and "end" at those checkpoints of the run.
    """
    peak, end = moments_of(run.metrics).peak, end_checkpoint(run)
    marked = {end: "end"}
    if peak is not None:
        marked[run.nearest_checkpoint(peak)] = "peak"
    sequences = {e: first_sequences(run, e, n_sequences) for e in IN_CONTEXT_EVALUATORS}
    tables = []
    chosen = sorted({*spread_checkpoints(run, n_checkpoints), *marked})
    for seen, model in checkpoint_models(run, chosen):
        for evaluator, some in sequences.items():
            attention = label_attention(model, some)
            layer_0 = attention[attention["layer"] == 0]
            mean = layer_0.groupby(["head", "to"], as_index=False)["attention"].mean()
            moment = marked.get(seen, "")
            tables.append(mean.assign(evaluator=evaluator, sequences_seen=seen, moment=moment))
    return pd.concat(tables, ignore_index=True).assign(end_state=end_state(run))


def table(study: Study) -> pd.DataFrame:
    """Of main from every initialisation."""
    return study.measured(attention_from_labels, "main", data_seed=2)


def draw(tables: Tables) -> go.Figure:
    """On training sequences, a colour for each head; each seed's two moments are dotted lines."""
    train = tables[""][tables[""]["evaluator"] == "train"]
    heads = {head: head_style(int(head)) for head in sorted(train["head"].unique())}
    rows = train.assign(panel="to " + train["to"])
    panels = dict.fromkeys(("to previous", "to itself"), heads)
    figure = curve_panels(
        rows, panels, "attention", "head", "Layer 0's attention from label tokens", within="panel"
    )
    for moment, name in {"peak": "Flip's peak", "end": "end"}.items():
        places = millions(sorted(set(train.loc[train["moment"] == moment, "sequences_seen"])))
        for place in places:
            figure.add_vline(place, line=DOTTED)
        if len(places):
            figure.add_annotation(
                x=places[-1], y=1, yref="y domain", xanchor="left", text=name, showarrow=False
            )
    return figure


WHY = """
In the committed runs layer 0 keeps most of its attention to the previous token: 0.22 of it is lost
at the published rate, 0.28 at ten times the rate. The network still needs what layer 0 writes
(section 4), but so does the published one, which gives that attention up all the same. At ten times
the rate a head's attention also differs by 0.25 between evaluators. The reason is not known.
"""

PUBLISHED = {
    "share of layer 0's attention to the previous token lost from peak to end": "most",
    "attention to itself gained from peak to end": "gained",
    "largest difference between evaluators": "alike",
}


def rules(tables: Tables) -> list[Rule]:
    """Sums over the heads of layer 0, on training sequences; differences over all evaluators."""
    at_moments = tables[""][tables[""]["moment"].isin(["peak", "end"])]
    train = at_moments[at_moments["evaluator"] == "train"]

    def summed(of_seed: pd.DataFrame, to: str) -> pd.Series:
        return of_seed[of_seed["to"] == to].groupby("moment")["attention"].sum()

    def lost(of_seed: pd.DataFrame) -> float | None:
        previous = summed(of_seed, "previous")
        return None if "peak" not in previous else 1 - previous["end"] / previous["peak"]

    def gained(of_seed: pd.DataFrame) -> float | None:
        itself = summed(of_seed, "itself")
        return None if "peak" not in itself else itself["end"] - itself["peak"]

    def difference(of_seed: pd.DataFrame) -> float:
        spread = of_seed.groupby(["moment", "head", "to"])["attention"]
        return float((spread.max() - spread.min()).max())

    return [
        NumberRule(
            "share of layer 0's attention to the previous token lost from peak to end",
            by_seed_at_end(train, lost),
            "over",
            0.5,
        ),
        NumberRule(
            "attention to itself gained from peak to end",
            by_seed_at_end(train, gained),
            "over",
            0.0,
        ),
        NumberRule(
            "largest difference between evaluators",
            by_seed_at_end(at_moments, difference),
            "under",
            0.05,
        ),
    ]


if __name__ == "__main__":
    draw_figure_file(__file__)
