"""Figures 2a, 12, 2b, 13 and 15: heads of the last layer attend to labels and copy them."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from coopetition_interp.analysis.skip_trigrams import copying_summary
from coopetition_interp.figures.coopetition.claims import EMERGED, by_seed, in_seeds, over, under
from coopetition_interp.figures.coopetition.runs_compared import at_end, highest
from coopetition_interp.figures.study_figure import Check, StudyFigure, study_figure
from coopetition_interp.reporting.evaluators import FIGURE_1B_EVALUATORS, evaluator_curves
from coopetition_interp.reporting.style import TEMPLATE, head_style
from coopetition_interp.studies.coopetition_heads import (
    COPYING,
    DELTAS,
    NON_ADDITIVITY,
    ONE_LAYER_ATTENTION,
    ONE_LAYER_COPYING,
    PAIRWISE_NON_ADDITIVITY,
    QUERY_ATTENTION,
    TEMPERATURE,
)
from coopetition_interp.studies.coopetition_runs import of_main, of_seeds
from coopetition_interp.studies.study import Study


def attention(study: Study) -> StudyFigure:
    """Figures 2a and 12: layer 1's attention from the query on CIWL sequences."""
    table = study.table(QUERY_ATTENTION)
    on_right = _attention_to_right(table)
    main = of_main(table)
    numbers = [
        (
            f"attention to the right label at index {where}, mean over heads",
            "~0.8",
            f"{heads.mean():.3f} ({heads.min():.3f} to {heads.max():.3f})",
        )
        for where, heads in _attention_to_right(main).groupby("right_label_at")["attention"]
    ]
    mean = by_seed(on_right.groupby("seed")["attention"].mean())
    least = by_seed(on_right.groupby("seed")["attention"].min())
    return study_figure(
        "Figures 2a and 12: attention to the right label",
        "At the end all heads of layer 1 attend from the query to the label that the query's class "
        "has in weights, whatever it is paired with in context.",
        _attention_bars(main, "Layer 1's attention from the query on CIWL sequences"),
        [*numbers, ("the same, each head the mean of a seed", "", in_seeds(mean))],
        [
            over("attention to the right label, mean over heads", mean, 0.5),
            over("the same of the head with least", least, 0.33),
        ],
        "main and the mains of other seeds, at their end",
        {"": table},
    )


def copying(study: Study) -> StudyFigure:
    """Figure 2b: each head alone, its attention swept from the wrong label to the right one."""
    table = study.table(COPYING)
    return _copying_figure(
        "Figure 2b: layer 1's heads copy",
        "Accuracy on CIWL follows the attention of any one head of layer 1, from ~0 to ~1.",
        table,
        "main and the mains of other seeds, at their end",
    )


def one_layer(study: Study) -> StudyFigure:
    """Figure 13: one layer learns skip-trigram copying, and no in-context learning."""
    attended, copied = study.table(ONE_LAYER_ATTENTION), study.table(ONE_LAYER_COPYING)
    runs = of_seeds(study, "one-layer")
    icl = {seed: highest(study.metrics(run), "icl") for seed, run in runs.items()}
    ciwl = {seed: at_end(study.metrics(run), "ciwl") for seed, run in runs.items()}
    on_right = by_seed(_attention_to_right(attended).groupby("seed")["attention"].mean())
    gain = _gains(copied)
    main = of_main(attended)
    curves = evaluator_curves(study.metrics("one-layer"), FIGURE_1B_EVALUATORS)
    sweep = _sweep_curves(of_main(copied))
    bars = _attention_bars(main, "")
    figure = make_subplots(
        rows=2,
        cols=2,
        subplot_titles=[
            "a) in-context accuracy (millions of sequences)",
            "d) accuracy on CIWL against attention delta",
            "b) attention, right label at index 1",
            "c) attention, right label at index 3",
        ],
        vertical_spacing=0.16,
    )
    for trace in curves.data:
        figure.add_trace(trace, row=1, col=1)
    for trace in sweep.data:
        figure.add_trace(trace.update(showlegend=False), row=1, col=2)
    for trace in bars.data:
        figure.add_trace(
            trace.update(showlegend=False), row=2, col=1 if trace.xaxis in (None, "x") else 2
        )
    figure.update_layout(
        title="One layer", template=TEMPLATE, height=760, width=1100, hovermode="closest"
    )
    return study_figure(
        "Figure 13: one layer",
        "One layer learns CIWL as well, by skip-trigram copying, and no in-context learning.",
        figure,
        [
            ("CIWL at the end", "as the 2-layer run", in_seeds(ciwl)),
            ("highest ICL", "0.5", in_seeds(icl)),
            ("attention to the right label, mean over heads", "most", in_seeds(on_right)),
            ("accuracy from delta -1 to +1, mean over heads", "~0 to ~1", _ends(copied)),
        ],
        [
            over("CIWL at the end", ciwl, 0.9),
            under("highest ICL accuracy", icl, EMERGED),
            over("attention to the right label, mean over heads", on_right, 0.5),
            over("gain in accuracy from delta -1 to +1, least of the heads", gain, 0.5),
        ],
        ", ".join(runs.values()),
        {"": copied, "attention": attended},
    )


def superposition(study: Study) -> StudyFigure:
    """Figure 15: heads differ on single sequences, and do not add up."""
    deltas, temperature = study.table(DELTAS), study.table(TEMPERATURE)
    additivity, pairs = study.table(NON_ADDITIVITY), study.table(PAIRWISE_NON_ADDITIVITY)
    wide = deltas.pivot(index="sequence", columns="head", values="delta")
    correlations = wide.corr()
    one, other, lowest = _least_correlated(correlations)
    figure = make_subplots(
        rows=1,
        cols=3,
        subplot_titles=[
            f"a) attention deltas of heads {one} and {other}",
            "b) the head alone writes",
            "c) all heads active",
        ],
        horizontal_spacing=0.08,
    )
    figure.add_scatter(
        x=wide[one],
        y=wide[other],
        mode="markers",
        marker={"size": 4, "opacity": 0.5, "color": "#333333"},
        showlegend=False,
        row=1,
        col=1,
    )
    for col, active in ((2, "only writer"), (3, "all")):
        swept = temperature[temperature["active"] == active]
        for head, curve in swept.groupby("head"):
            style = head_style(int(str(head)))
            figure.add_scatter(
                x=curve["temperature"],
                y=curve["p_right_in_context"],
                mode="lines+markers",
                name=style.name,
                legendgroup=style.name,
                showlegend=col == 2,
                line={"color": style.colour},
                row=1,
                col=col,
            )
        figure.update_xaxes(title_text="temperature", type="log", row=1, col=col)
    figure.update_xaxes(title_text=f"head {one}", row=1, col=1)
    figure.update_yaxes(title_text=f"head {other}", row=1, col=1)
    figure.update_yaxes(title_text="p(right label), of those in context", row=1, col=2)
    figure.update_layout(title="Superposition", template=TEMPLATE, width=1250, hovermode="closest")
    sharpened = temperature[temperature["temperature"] == 0.5].set_index(["active", "head"])
    alone, together = (
        sharpened.loc[active, "p_right_in_context_change"] for active in ("only writer", "all")
    )
    beyond = additivity[additivity["metric"] == "logit_difference"]
    main = of_main(beyond).iloc[0]
    clear = int(((pairs["low"] > 0) | (pairs["high"] < 0)).sum())
    share = beyond.set_index("seed")["non_additivity"] / beyond.set_index("seed")["joint_effect"]
    return study_figure(
        "Figure 15: superposition",
        "Heads alike on average differ on single sequences. Sharpening a head's attention helps "
        "when it is alone, and not consistently when all are active: heads do not add up.",
        figure,
        [
            (
                "correlation of two heads' deltas over sequences, least of all pairs",
                "low",
                f"{lowest:.2f} (mean {_mean_off_diagonal(correlations):.2f})",
            ),
            (
                "heads that temperature 0.5 helps, alone",
                "all",
                _helped(alone),
            ),
            (
                "heads that temperature 0.5 helps, all active",
                "not all",
                _helped(together),
            ),
            (
                "ablating all heads: change of the logit difference",
                "not given",
                f"{main['joint_effect']:.2f}; sum of single heads' {main['sum_of_effects']:.2f}",
            ),
            (
                "non-additivity (the first less the second)",
                "not given",
                f"{main['non_additivity']:.2f} (95% bootstrap {main['low']:.2f} to "
                f"{main['high']:.2f})",
            ),
            ("the same, as a share of the first", "not given", in_seeds(by_seed(share))),
            ("pairs of heads whose interval leaves out 0", "not given", f"{clear} of {len(pairs)}"),
        ],
        [
            Check("a pair of heads' deltas correlates at less than 0.5", lowest < 0.5),
            Check("alone: temperature 0.5 helps every head", bool((alone > 0).all())),
            Check("all active: it does not help every head", bool((together <= 0).any())),
            Check(
                "the interval of non-additivity leaves out 0", main["low"] > 0 or main["high"] < 0
            ),
        ],
        "main, at its end, on training sequences",
        {
            "deltas": deltas,
            "temperature": temperature,
            "non_additivity": additivity,
            "pairs": pairs,
        },
        "The measure of non-additivity is ours; the paper infers it from its temperatures.",
    )


def _copying_figure(title: str, claim: str, table: pd.DataFrame, runs: str) -> StudyFigure:
    main = of_main(table)
    summary = copying_summary(table, by=("seed", "head"))
    drop = by_seed(summary.groupby("seed")["largest_drop"].max())
    figure = _sweep_curves(main)
    figure.update_layout(title=title, template=TEMPLATE, hovermode="closest")
    return study_figure(
        title,
        claim,
        figure,
        [
            ("accuracy from delta -1 to +1, mean over heads", "~0 to ~1", _ends(table)),
            (
                "heads with a monotone curve, main",
                "8 of 8",
                f"{int(summary[summary['seed'].isin(main['seed'])]['monotone'].sum())} of "
                f"{main['head'].nunique()}",
            ),
        ],
        [
            over("gain in accuracy from delta -1 to +1, least of the heads", _gains(table), 0.5),
            under("largest drop between neighbouring deltas, of any head", drop, 0.05),
        ],
        runs,
        {"": table, "summary": summary},
    )


def _gains(table: pd.DataFrame) -> dict[int, float]:
    """By seed: the accuracy gained from delta -1 to +1 by the head that gains least."""
    summary = copying_summary(table, by=("seed", "head"))
    gain = (summary["at_plus_1"] - summary["at_minus_1"]).groupby(summary["seed"])
    return by_seed(gain.min())


def _ends(table: pd.DataFrame) -> str:
    ends = of_main(table).groupby("delta")["in_context_accuracy"].mean()
    return f"{ends.iloc[0]:.3f} to {ends.iloc[-1]:.3f}"


def _attention_to_right(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["position"] == table["right_label_at"]]


def _attention_bars(table: pd.DataFrame, title: str) -> go.Figure:
    places = sorted(table["right_label_at"].unique())
    figure = make_subplots(
        rows=1,
        cols=len(places),
        subplot_titles=[f"right label at index {place}" for place in places],
        shared_yaxes=True,
    )
    for col, place in enumerate(places, start=1):
        panel = table[table["right_label_at"] == place]
        for head, bars in panel.groupby("head"):
            style = head_style(int(str(head)))
            figure.add_bar(
                x=bars["position"],
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
    figure.update_layout(
        title=title, template=TEMPLATE, barmode="group", width=1100, hovermode="closest"
    )
    return figure


def _sweep_curves(table: pd.DataFrame) -> go.Figure:
    figure = go.Figure()
    for head, curve in table.groupby("head"):
        style = head_style(int(str(head)))
        figure.add_scatter(
            x=curve["delta"],
            y=curve["in_context_accuracy"],
            name=style.name,
            mode="lines+markers",
            line={"color": style.colour},
        )
    figure.update_xaxes(title_text="attention delta")
    figure.update_yaxes(title_text="in-context accuracy on CIWL", range=[-0.02, 1.04])
    return figure


def _helped(changes: pd.Series) -> str:
    """How many heads a change helps."""
    return f"{int((changes > 0).sum())} of {len(changes)} (mean {changes.mean():+.4f})"


def _least_correlated(correlations: pd.DataFrame) -> tuple[int, int, float]:
    pairs = correlations.rename_axis("other", axis=1).stack()
    one, other = pairs.idxmin()
    return int(one), int(other), float(pairs.min())


def _mean_off_diagonal(correlations: pd.DataFrame) -> float:
    n = len(correlations)
    return float((correlations.to_numpy().sum() - n) / (n * (n - 1)))
