"""Figures 3 and 14, and the ablations of sections 4.1, 4.2 and C.1: what each layer does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from plotly.subplots import make_subplots

from coopetition_interp.figures.coopetition.claims import by_seed, in_seeds, over, under
from coopetition_interp.figures.study_figure import StudyFigure, percent, study_figure
from coopetition_interp.reporting.bars import grouped_bars
from coopetition_interp.reporting.style import (
    TEMPLATE,
    evaluator_styles,
    head_style,
    metric_name,
    millions,
    sequence_count,
    sequences_seen_axis,
)
from coopetition_interp.studies.coopetition_layers import (
    EMBEDDING_ABLATIONS,
    IN_CONTEXT_EVALUATORS,
    INDUCTION_STRENGTH,
    LABEL_ATTENTION,
    LAYER_ABLATIONS,
    WEIGHT_SWAPS,
)
from coopetition_interp.studies.coopetition_runs import landmarks_of, of_main, of_seeds
from coopetition_interp.studies.study import Study

RUNS = "main and the mains of other seeds"

PUBLISHED_CUTS = {
    ("ciwl", "nothing"): "98.74%",
    ("ciwl", "output"): "98.48%",
    ("ciwl", "Q"): "95.4%",
    ("ciwl", "K"): "57.5%",
    ("ciwl", "V"): "58.6%",
    ("train", "nothing"): "98.62%",
    ("train", "output"): "98.52%",
    ("train", "Q"): "95.7%",
    ("train", "K"): "57.1%",
    ("train", "V"): "59.3%",
    ("flip", "nothing"): "1.46%",
    ("flip", "output"): "1.78%",
    ("flip", "Q"): "4.6%",
    ("flip", "K"): "44.7%",
    ("flip", "V"): "40.0%",
}
CUTS = ("nothing", "output", "Q", "K", "V")


def composition(study: Study) -> StudyFigure:
    """Sections 4.1 and 4.2: layer 0 cut from the output and from layer 1."""
    table = study.table(LAYER_ABLATIONS)
    main = of_main(table).pivot(index="evaluator", columns="cut", values="in_context_accuracy")
    ciwl = table[table["evaluator"] == "ciwl"].pivot(
        index="seed", columns="cut", values="in_context_accuracy"
    )
    lost = {cut: by_seed(ciwl["nothing"] - ciwl[cut]) for cut in CUTS[1:]}
    smaller = {seed: min(lost["K"][seed], lost["V"][seed]) for seed in lost["K"]}
    names = {"nothing": "intact", "output": "output cut", **{c: f"{c} cut" for c in "QKV"}}
    figure = grouped_bars(
        list(main.index),
        {names[cut]: main[cut].tolist() for cut in CUTS},
        "Layer 0 cut from the output, or from layer 1's queries, keys or values",
        "in-context accuracy",
    )
    return study_figure(
        "Sections 4.1 and 4.2: composition of layers",
        "Layer 0 does not act on the output directly; layer 1's keys and values rely on it, its "
        "queries hardly.",
        figure,
        [
            (f"{evaluator}, {names[cut]}", told, percent(main.loc[evaluator, cut], 2))
            for (evaluator, cut), told in PUBLISHED_CUTS.items()
        ],
        [
            under("CIWL lost without layer 0's direct path to the output", lost["output"], 0.03),
            over("CIWL lost without K-composition", lost["K"], 0.1),
            over("CIWL lost without V-composition", lost["V"], 0.1),
            over(
                "what Q-composition costs less than the smaller of those two",
                {seed: smaller[seed] - lost["Q"][seed] for seed in smaller},
                0.0,
            ),
            under("CIWL lost without Q-composition", lost["Q"], 0.1),
        ],
        f"{RUNS}, at their end",
        {"": table},
        "The three losses on CIWL over seeds: "
        + "; ".join(f"{cut} {in_seeds(lost[cut])}" for cut in "QKV")
        + ".",
    )


def embedding(study: Study) -> StudyFigure:
    """Appendix C.1: no heads at all, and no embedding."""
    table = study.table(EMBEDDING_ABLATIONS)
    main = of_main(table).pivot(index="evaluator", columns="ablated", values="in_context_accuracy")
    ciwl = table[table["evaluator"] == "ciwl"].pivot(
        index="seed", columns="ablated", values="in_context_accuracy"
    )
    figure = grouped_bars(
        list(main.index),
        {
            "intact": main["nothing"].tolist(),
            "heads ablated": main["heads"].tolist(),
            "embedding ablated": main["embedding"].tolist(),
        },
        "Pure in-weights learning: embedding to output alone, and without it",
        "in-context accuracy",
    )
    return study_figure(
        "Appendix C.1: pure in-weights learning plays a small part",
        "Without any heads the network does a little better than chance; without the embedding's "
        "path to the output, with patterns and values preserved, hardly worse than intact.",
        figure,
        [
            ("CIWL, no heads", "62.4%", percent(main.loc["ciwl", "heads"], 2)),
            ("train, no heads", "62.7%", percent(main.loc["train", "heads"], 2)),
            ("CIWL, embedding ablated", "96.7%", percent(main.loc["ciwl", "embedding"], 2)),
            ("CIWL, intact", "98.74%", percent(main.loc["ciwl", "nothing"], 2)),
        ],
        [
            over("CIWL without heads", by_seed(ciwl["heads"]), 0.5),
            under("CIWL without heads", by_seed(ciwl["heads"]), 0.75),
            under(
                "CIWL lost without the embedding",
                by_seed(ciwl["nothing"] - ciwl["embedding"]),
                0.1,
            ),
        ],
        f"{RUNS}, at their end",
        {"": table},
    )


def weight_swaps(study: Study) -> StudyFigure:
    """Figure 3: induction strength, and one half of the network fixed."""
    strengths, swaps = study.table(INDUCTION_STRENGTH), study.table(WEIGHT_SWAPS)
    main = of_main(swaps)
    moments = [moment for moment in main["moment"].unique() if moment != "end"]
    fixed_at = main.drop_duplicates("moment").set_index("moment")["fixed_at"]
    titles = [
        "a) induction strength on Flip",
        "b) layer 1 and unembedding fixed to the end",
        *(
            f"c) embedding and layer 0 fixed to {moment} ({sequence_count(fixed_at[moment])})"
            for moment in moments
        ),
    ]
    figure = make_subplots(
        rows=2, cols=3, subplot_titles=titles, horizontal_spacing=0.06, vertical_spacing=0.16
    )
    for head, curve in of_main(strengths).groupby("head"):
        style = head_style(int(str(head)))
        figure.add_scatter(
            x=millions(curve["sequences_seen"]),
            y=curve["induction_strength"],
            name=style.name,
            legend="legend2",
            line={"color": style.colour},
            row=1,
            col=1,
        )
    original = study.metrics("main")
    for place, moment in enumerate(["end", *moments], start=1):
        row, col = place // 3 + 1, place % 3 + 1
        panel = main[main["moment"] == moment]
        for evaluator, style in evaluator_styles(IN_CONTEXT_EVALUATORS).items():
            for table, name, width, opacity in (
                (original, f"{style.name}, as it was", 1.5, 0.35),
                (panel, style.name, 2.0, 1.0),
            ):
                curve = table[table["evaluator"] == evaluator]
                figure.add_scatter(
                    x=millions(curve["sequences_seen"]),
                    y=curve["in_context_accuracy"],
                    name=name,
                    legendgroup=name,
                    showlegend=place == 1,
                    opacity=opacity,
                    line={"color": style.colour, "width": width},
                    row=row,
                    col=col,
                )
        if moment != "end":
            line = {"color": "#ff7f0e", "dash": "dot"}
            figure.add_vline(x=float(fixed_at[moment]) / 1e6, line=line, row=row, col=col)
    figure.update_yaxes(title_text="induction strength", row=1, col=1)
    figure.update_yaxes(title_text=metric_name("in_context_accuracy"), row=1, col=2)
    figure.update_yaxes(title_text=metric_name("in_context_accuracy"), row=2, col=1)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    figure.update_layout(
        title="Layer 1 stays, layer 0 switches",
        template=TEMPLATE,
        height=820,
        width=1300,
        legend2={"x": 1.02, "y": 0.45},
    )
    differences = _difference_after_peak(study, swaps)
    flat, moved = _after_fix(study, swaps)
    rise, end = _strength_up_and_down(strengths)
    return study_figure(
        "Figure 3: weight swaps",
        "The transition is layer 0's. With layer 1 of the end the run is reproduced after its "
        "initial phase; with layer 0 fixed, nothing changes any more. Induction strengths rise, "
        "then turn negative.",
        figure,
        [
            ("highest mean induction strength on Flip", "up", in_seeds(rise)),
            ("mean induction strength on Flip at the end", "negative", in_seeds(end)),
            (
                "3b: mean difference from the run after Flip's peak, of the worst evaluator",
                "little",
                in_seeds(differences),
            ),
            (
                "3c: change of Flip with layer 0 fixed at Flip's peak",
                "flat",
                f"{in_seeds(flat)}; of the run itself {in_seeds(moved)}",
            ),
        ],
        [
            over("a) highest mean induction strength on Flip", rise, 0.0),
            under("a) mean induction strength on Flip at the end", end, 0.0),
            under(
                "b) mean difference from the run after Flip's peak, of the worst evaluator",
                differences,
                0.1,
            ),
            over(
                "c) Flip's fall after its peak, less that with layer 0 fixed there, as a share of "
                "the first",
                {seed: _share_kept(moved[seed], flat[seed]) for seed in moved},
                0.5,
            ),
        ],
        RUNS,
        {"": swaps, "induction_strength": strengths},
        "Panels c are at Flip's peak, its crossing, and where it first falls under 0.1, as far as "
        "they came; the paper's 4.25M, 7.75M and 15M are such moments of its run.",
    )


def label_attention(study: Study) -> StudyFigure:
    """Figure 14: layer 0's attention from labels, to the previous token and to themselves."""
    table = study.table(LABEL_ATTENTION)
    main = of_main(table)
    figure = make_subplots(
        rows=2,
        cols=len(IN_CONTEXT_EVALUATORS),
        subplot_titles=[
            f"{style.name}: to {to}"
            for to in ("previous", "itself")
            for style in evaluator_styles(IN_CONTEXT_EVALUATORS).values()
        ],
        shared_yaxes=True,
        horizontal_spacing=0.03,
    )
    for row, to in enumerate(("previous", "itself"), start=1):
        for col, evaluator in enumerate(IN_CONTEXT_EVALUATORS, start=1):
            panel = main[(main["to"] == to) & (main["evaluator"] == evaluator)]
            for head, curve in panel.groupby("head"):
                style = head_style(int(str(head)))
                figure.add_scatter(
                    x=millions(curve["sequences_seen"]),
                    y=curve["attention"],
                    name=style.name,
                    legendgroup=style.name,
                    showlegend=row == col == 1,
                    line={"color": style.colour},
                    row=row,
                    col=col,
                )
    figure.update_xaxes(**sequences_seen_axis(), row=2)
    figure.update_yaxes(title_text="mean attention", col=1)
    figure.update_layout(
        title="Layer 0's attention from label tokens", template=TEMPLATE, height=640, width=1300
    )
    at_peak, at_end = {}, {}
    for seed, run in of_seeds(study, "main").items():
        peak = landmarks_of(study, run).flip_peak
        if peak is None:
            continue
        rows = table[(table["seed"] == seed) & (table["evaluator"] == "train")]
        moments = rows["sequences_seen"].unique()
        nearest = moments[np.abs(moments - peak.sequences_seen).argmin()]
        at_peak[seed] = _by_head(rows, float(nearest))
        at_end[seed] = _by_head(rows, float(moments.max()))
    lost, gained, top = {}, {}, {}
    for seed, before in at_peak.items():
        strongest = int(before["previous"].to_numpy().argmax())
        top[seed] = float(before["previous"].iloc[strongest])
        kept = float(at_end[seed]["previous"].iloc[strongest])
        lost[seed] = 1 - kept / top[seed]
        gained[seed] = float(at_end[seed]["itself"].mean() - before["itself"].mean())
    return study_figure(
        "Figure 14: layer 0 switches",
        "Layer 0's heads attend to the previous token while in-context learning dominates, and to "
        "themselves at the end.",
        figure,
        [
            ("strongest previous-token head at Flip's peak", "transient", in_seeds(top)),
            ("share of it that is lost at the end", "most", in_seeds(lost)),
            ("attention to itself gained by the end, mean over heads", "more", in_seeds(gained)),
        ],
        [
            over("share of its attention that the strongest previous-token head loses", lost, 0.5),
            over("attention to itself gained by the end, mean over heads", gained, 0.0),
        ],
        RUNS,
        {"": table},
    )


def _by_head(rows: pd.DataFrame, moment: float) -> pd.DataFrame:
    there = rows[rows["sequences_seen"] == moment]
    return there.pivot(index="head", columns="to", values="attention")


def _difference_after_peak(study: Study, swaps: pd.DataFrame) -> dict[int, float]:
    """Mean absolute difference between swap and run from Flip's peak on, of the worst evaluator."""
    differences = {}
    for seed, run in of_seeds(study, "main").items():
        metrics, peak = study.metrics(run), landmarks_of(study, run).flip_peak
        swapped = swaps[(swaps["seed"] == seed) & (swaps["moment"] == "end")]
        gaps = []
        for evaluator in IN_CONTEXT_EVALUATORS:
            own = metrics[metrics["evaluator"] == evaluator]
            other = swapped[swapped["evaluator"] == evaluator]
            later = own[own["sequences_seen"] >= (peak.sequences_seen if peak else 0)]
            at = np.interp(
                later["sequences_seen"], other["sequences_seen"], other["in_context_accuracy"]
            )
            gaps.append(np.abs(later["in_context_accuracy"].to_numpy() - at).mean())
        differences[seed] = float(max(gaps))
    return differences


def _after_fix(study: Study, swaps: pd.DataFrame) -> tuple[dict[int, float], dict[int, float]]:
    """By seed, how far Flip gets from its peak: with layer 0 fixed there, and in the run.

    Without the seeds in which Flip has no peak; the run's is how far it falls, less than 0 for a
    rise.
    """
    flat, moved = {}, {}
    for seed, run in of_seeds(study, "main").items():
        swapped = swaps[(swaps["seed"] == seed) & (swaps["moment"] == "Flip's peak")]
        curve = swapped[swapped["evaluator"] == "flip"].sort_values("sequences_seen")
        if curve.empty:
            continue
        own = study.metrics(run)
        own = own[own["evaluator"] == "flip"].sort_values("sequences_seen")
        start = np.interp(
            curve["fixed_at"].iloc[0], own["sequences_seen"], own["in_context_accuracy"]
        )
        flat[seed] = abs(float(start - curve["in_context_accuracy"].iloc[-1]))
        moved[seed] = float(start - own["in_context_accuracy"].iloc[-1])
    return flat, moved


def _share_kept(moved: float, flat: float) -> float:
    """The part of Flip's fall that fixing layer 0 prevents; 0 where there is no fall to prevent."""
    return (moved - flat) / moved if moved > 0 else 0.0


def _strength_up_and_down(strengths: pd.DataFrame) -> tuple[dict[int, float], dict[int, float]]:
    """By seed, the mean induction strength of layer 1: highest, and at the end."""
    mean = strengths.groupby(["seed", "sequences_seen"])["induction_strength"].mean()
    return by_seed(mean.groupby("seed").max()), by_seed(mean.groupby("seed").last())
