"""Figures C.2, C.4, C.5 and C.6 of the thesis: training other networks than the main one."""

from __future__ import annotations

import pandas as pd

from coopetition_interp.figures.induction_heads.curves import loss_curves
from coopetition_interp.figures.induction_heads.heads import seeds_scatter
from coopetition_interp.figures.study_figure import (
    Check,
    StudyFigure,
    rank_correlation,
    study_figure,
    thousands,
)
from coopetition_interp.reporting.style import CurveStyle, head_style
from coopetition_interp.studies.induction_curves import (
    GRAFT_SHAPES,
    GRAFTS,
    PAIR_SHAPES,
    PAIRS,
    PREVIOUS_TOKEN,
    PREVIOUS_TOKEN_SHAPES,
    split_curves,
)
from coopetition_interp.studies.induction_heads_of import strongest_heads
from coopetition_interp.studies.induction_weights import SEEDS
from coopetition_interp.studies.study import Study
from coopetition_interp.sweeps.induction_heads import GRAFT_SEEDS, MAIN_SEED

GRAFT_STYLES = {
    "nothing": CurveStyle("nothing fixed", "#000000", "dot"),
    "seed 5": CurveStyle("layer 0 of seed 5 (its own)", "#d62728"),
    "seed 6": CurveStyle("layer 0 of seed 6", "#2ca02c"),
    "seed 7": CurveStyle("layer 0 of seed 7", "#1f77b4"),
}

PREVIOUS_TOKEN_STYLES = {
    "nothing": CurveStyle("none", "#000000"),
    "strongest": CurveStyle("the strongest previous-token head", "#ff7f0e"),
    "strongest-three": CurveStyle("the strongest three", "#d62728"),
    "weakest": CurveStyle("the weakest", "#2ca02c"),
    "weakest-three": CurveStyle("the weakest three", "#1f77b4"),
    "all": CurveStyle("all", "#9467bd"),
}

SEED_METRICS = {
    "accuracy_alone": "accuracy, all others ablated",
    "loss_alone": "loss, all others ablated",
    "learning_time": "learning time of the head trained alone (sequences)",
}


def pairs(study: Study) -> StudyFigure:
    """Figure C.2: the strongest head trained with one other."""
    table, shapes = study.table(PAIRS), study.table(PAIR_SHAPES).set_index("curve")
    strongest = strongest_heads(study)[0]
    curves = split_curves(table)
    styles = {
        "all heads": CurveStyle("all heads", "#000000", "dot"),
        "strongest alone": CurveStyle(f"head {strongest} alone", "#555555", "dash"),
    }
    others = {}
    for name, curve in curves.items():
        if name in styles:
            continue
        heads = {int(head) for head in str(curve["heads"].iloc[0]).split()}
        others[name] = (heads - {strongest}).pop()
        styles[name] = CurveStyle(
            f"heads {strongest} and {others[name]}", head_style(others[name]).colour
        )
    title = "Figure C.2: two heads of layer 1"
    figure = loss_curves(curves, styles, title)
    times = shapes["learning_time"]
    together, alone = times["all heads"], times["strongest alone"]
    of_pairs = times[list(others)]
    by_rank = pd.Series(range(len(of_pairs)), index=of_pairs.index)
    correlation = rank_correlation(by_rank, of_pairs)
    numbers = [
        ("all heads: under 0.4 log 2", "earliest", thousands(together)),
        (f"head {strongest} alone", "latest", thousands(alone)),
        *(
            (styles[name].name, "nearly as all heads", thousands(time))
            for name, time in of_pairs.items()
        ),
        (
            "rank correlation of pairs' times with the order of strengths",
            "low",
            f"{correlation:.2f}",
        ),
    ]
    middle = of_pairs.fillna(float("inf")).median()
    checks = [
        Check(
            "every pair learns earlier than the strongest head alone",
            bool((of_pairs < alone).all()),
        ),
        Check(
            "the median pair is nearer to all heads than to the strongest alone",
            bool(abs(middle - together) < abs(middle - alone)),
        ),
        Check(
            "times do not go with the order of strengths (correlation under 0.8)", correlation < 0.8
        ),
    ]
    return study_figure(
        "Figure C.2: two heads of layer 1",
        "With one head beside the strongest, the loss is almost that of the whole network; the "
        "order of the phase changes is not that of the heads' strengths.",
        figure,
        numbers,
        checks,
        "main, pairs/strongest-and-rank-*",
        {"": table, "shapes": shapes.reset_index()},
    )


def grafts(study: Study) -> StudyFigure:
    """Figure C.4: layer 0 fixed to that of trained networks, of the same seed and of others."""
    table, shapes = study.table(GRAFTS), study.table(GRAFT_SHAPES).set_index("curve")
    title = "Figure C.4: layer 0 from trained networks"
    figure = loss_curves(split_curves(table), GRAFT_STYLES, title)
    times = shapes["learning_time"]
    own = times[f"seed {MAIN_SEED}"]
    others = [times[f"seed {seed}"] for seed in GRAFT_SEEDS if seed != MAIN_SEED]
    numbers = [
        (
            f"{GRAFT_STYLES[name].name}: under 0.4 log 2",
            {"nothing": "-", f"seed {MAIN_SEED}": "far quicker"}.get(str(name), "slower"),
            thousands(time),
        )
        for name, time in times.items()
    ]
    checks = [
        Check(
            "layer 0 of its own seed is learned with at least 1.5 times as quickly as any other",
            all(pd.isna(other) or other >= 1.5 * own for other in others) and bool(pd.notna(own)),
        )
    ]
    return study_figure(
        title,
        "A trained layer 0 helps far more if it grew from the same initialisation: fixing weights "
        "is no clean way to clamp a circuit.",
        figure,
        numbers,
        checks,
        "grafts/layer-0-of-seed-*",
        {"": table, "shapes": shapes.reset_index()},
    )


def previous_token_clamps(study: Study) -> StudyFigure:
    """Figure C.5: other sets of heads clamped to the previous token."""
    table = study.table(PREVIOUS_TOKEN)
    shapes = study.table(PREVIOUS_TOKEN_SHAPES).set_index("curve")
    title = "Figure C.5: layer-0 heads clamped to the previous token"
    figure = loss_curves(split_curves(table), PREVIOUS_TOKEN_STYLES, title)
    times = shapes["learning_time"]
    few = times.drop(["nothing", "all"])
    numbers = [
        (
            f"clamped: {PREVIOUS_TOKEN_STYLES[str(name)].name}; under 0.4 log 2",
            {"all": "far later", "nothing": "-"}.get(str(name), "little difference"),
            thousands(time),
        )
        for name, time in times.items()
    ]
    shift = (few / times["nothing"] - 1).abs()
    checks = [
        Check("one to three heads shift it by less than half", bool((shift < 0.5).all())),
        Check(
            "all heads are slower by at least half than the slowest of these",
            bool(pd.isna(times["all"]) or times["all"] >= 1.5 * few.max()),
        ),
    ]
    return study_figure(
        title,
        "Which heads are clamped to the previous token matters little, unless it is all of them, "
        "which slows learning severely.",
        figure,
        numbers,
        checks,
        ", ".join(table["run"].unique()),
        {"": table, "shapes": shapes.reset_index()},
    )


def seeds(study: Study) -> StudyFigure:
    """Figure C.6: strength of heads against what they do alone, over seeds."""
    table = study.table(SEEDS)
    n_seeds = table["seed"].nunique()
    title = f"Figure C.6: heads of {n_seeds} seeds"
    figure = seeds_scatter(table, SEED_METRICS, title)
    learned = table.dropna(subset=["learning_time"])
    correlations = {
        metric: rank_correlation(rows["induction_strength"], rows[metric])
        for metric, rows in zip(SEED_METRICS, (table, table, learned), strict=True)
    }
    thesis = ("high", "high, negative", "negative, weaker")
    numbers = [
        ("seeds (heads)", "5 (40)", f"{n_seeds} ({len(table)})"),
        *(
            (f"rank correlation of strength and {name}", told, f"{correlations[metric]:.2f}")
            for (metric, name), told in zip(SEED_METRICS.items(), thesis, strict=True)
        ),
        ("heads that do not learn alone", "none", str(len(table) - len(learned))),
    ]
    accuracy, loss, time = correlations.values()
    checks = [
        Check("correlation with accuracy of at least 0.8", accuracy >= 0.8),
        Check("with loss of at most -0.8", loss <= -0.8),
        Check(
            "with learning time negative, and weaker than both", min(-loss, accuracy) > -time > 0
        ),
    ]
    return study_figure(
        "Figure C.6: seeds",
        "Over initialisations, strong heads do well alone, and are, less closely, those that learn "
        "quickly alone: heads race.",
        figure,
        numbers,
        checks,
        "main, single-head/*, seeds/*: seeds "
        + ", ".join(map(str, sorted(table["seed"].unique()))),
        {"": table},
    )
