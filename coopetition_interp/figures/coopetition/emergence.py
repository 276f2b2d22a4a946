"""Figures 1b and 7 to 11: in-context learning emerges and fades, and where it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.evaluator_curve import score_of
from coopetition_interp.analysis.landmarks import landmark_table, landmarks
from coopetition_interp.figures.coopetition.claims import EMERGED, over
from coopetition_interp.figures.coopetition.runs_compared import at_end, curve_of, highest
from coopetition_interp.figures.page import NUMBERS_COLUMNS, FigureEntry
from coopetition_interp.figures.study_figure import Check, StudyFigure, study_figure
from coopetition_interp.reporting.evaluators import (
    FIGURE_1B_EVALUATORS,
    evaluator_curves,
    evaluator_grid,
)
from coopetition_interp.reporting.style import sequence_count
from coopetition_interp.reporting.transience import transience_numbers
from coopetition_interp.studies.coopetition_runs import landmarks_of, of_seeds
from coopetition_interp.studies.study import Study
from coopetition_interp.sweeps.coopetition import OTHER_DATA_SEEDS, OTHER_INIT_SEEDS, SIZES

WITH_IWL = (*FIGURE_1B_EVALUATORS, "iwl")


def transience(study: Study) -> StudyFigure:
    """Figure 1b: in-context learning emerges, dominates, and gives way to CIWL."""
    study.require(["main"], "Figure 1b")
    metrics = study.metrics("main")
    found = landmarks(metrics)
    peaks, flip_falls, icl_falls, ciwl = {}, {}, {}, {}
    for seed, run in of_seeds(study, "main").items():
        marks = landmarks_of(study, run)
        flip, icl = curve_of(study.metrics(run), "flip"), curve_of(study.metrics(run), "icl")
        peaks[seed] = marks.flip_peak.value if marks.flip_peak else float(flip.max())
        flip_falls[seed] = peaks[seed] - float(flip.iloc[-1])
        icl_peak = marks.icl_peak.value if marks.icl_peak else float(icl.max())
        icl_falls[seed] = icl_peak - float(icl.iloc[-1])
        ciwl[seed] = marks.final["ciwl"]
    return study_figure(
        "Figure 1b: transience of in-context learning",
        "On bursty data in-context learning emerges, dominates, and fades, while "
        "context-constrained in-weights learning (CIWL) takes over.",
        evaluator_curves(metrics, landmarks=found, title="Transience of ICL"),
        list(transience_numbers(found).itertuples(index=False, name=None)),
        [
            over("ICL emerges: Flip's peak", peaks, 0.5),
            over("and gives way: Flip's fall from its peak to the end", flip_falls, 0.2),
            over("ICL itself fades: the ICL evaluator's fall from its peak", icl_falls, 0.0),
            over("CIWL's accuracy at the end", ciwl, 0.75),
        ],
        f"main, {sequence_count(found.sequences_seen)} sequences, and the mains of other seeds",
        {"": metrics[metrics["evaluator"].isin(FIGURE_1B_EVALUATORS)]},
    )


def seeds(study: Study) -> StudyFigure:
    """Figure 7: other initialisations and other training data."""
    runs = {"init 5, data 2 (main)": "main"}
    runs |= {f"init {seed}": f"seeds/init-{seed}/main" for seed in OTHER_INIT_SEEDS}
    runs |= {f"data {seed}": f"seeds/data-{seed}/main" for seed in OTHER_DATA_SEEDS}
    study.require(runs.values(), "Figure 7")
    metrics = {name: study.metrics(run) for name, run in runs.items()}
    table = landmark_table(metrics)
    crossings = table.set_index("run")["crossing"]
    return study_figure(
        "Figure 7: seeds",
        "The profile is the same over seeds; initialisation changes the timing, the data's seed "
        "hardly anything.",
        _grid(metrics, "Seeds"),
        [
            (
                f"{row['run']}: Flip's peak, crossing",
                "as the main run",
                f"{row['flip_peak']:.2f}, {_place(row['crossing'])}",
            )
            for row in table.to_dict("records")
        ],
        [
            Check(
                "in every run Flip rises above 0.5 and later falls below it",
                bool(crossings.notna().all()),
            ),
            Check(
                "the data's seed moves the crossing by less than a quarter",
                all(
                    abs(crossings[f"data {seed}"] / crossings.iloc[0] - 1) < 0.25
                    for seed in OTHER_DATA_SEEDS
                ),
            ),
        ],
        ", ".join(runs.values()),
        {"": table},
    )


def positions(study: Study) -> StudyFigure:
    """Figure 8: other positional embeddings."""
    runs = {"learned": "main", "rotary": "rotary", "sinusoidal": "sinusoidal"}
    study.require(runs.values(), "Figure 8")
    metrics = {name: study.metrics(run) for name, run in runs.items()}
    top = {name: highest(table, "flip") for name, table in metrics.items()}
    return study_figure(
        "Figure 8: positional embeddings",
        "Two attention-only layers need learned positions for in-context learning to emerge.",
        _grid(metrics, "Positional embeddings"),
        [
            ("highest Flip, learned", "~0.71", f"{top['learned']:.3f}"),
            ("highest Flip, rotary", "not over 0.5", f"{top['rotary']:.3f}"),
            ("highest Flip, sinusoidal", "not over 0.5", f"{top['sinusoidal']:.3f}"),
        ],
        [
            Check(f"learned: Flip exceeds {EMERGED}", top["learned"] > EMERGED),
            Check(f"rotary: Flip stays under {EMERGED}", top["rotary"] < EMERGED),
            Check(f"sinusoidal: Flip stays under {EMERGED}", top["sinusoidal"] < EMERGED),
        ],
        ", ".join(runs.values()),
        {"": landmark_table(metrics)},
        "One seed each.",
    )


def sizes(study: Study) -> StudyFigure:
    """Figure 9: fewer classes or exemplars."""
    runs = {"12800 x 20": "main"}
    runs |= {f"{c} x {e}": f"sizes/{c}x{e}" for c, e in SIZES}
    study.require(runs.values(), "Figure 9")
    metrics = {name: study.metrics(run) for name, run in runs.items()}
    flip = {name: highest(table, "flip") for name, table in metrics.items()}
    few_icl = highest(metrics["1600 x 5"], "icl")
    few_iwl = at_end(metrics["1600 x 5"], "iwl", "accuracy")
    return study_figure(
        "Figure 9: classes and exemplars",
        "Many classes are needed for ICL to dominate for a time; with few classes and few "
        "exemplars it does not emerge, and some pure in-weights learning does.",
        _grid(metrics, "Classes x exemplars", columns=2),
        [
            ("highest Flip, 12800 x 20", "~0.71", f"{flip['12800 x 20']:.3f}"),
            ("highest Flip, 12800 x 5", "over 0.5", f"{flip['12800 x 5']:.3f}"),
            ("highest Flip, 1600 x 20", "at most 0.5", f"{flip['1600 x 20']:.3f}"),
            ("highest Flip, 1600 x 5", "at most 0.5", f"{flip['1600 x 5']:.3f}"),
            ("highest ICL, 1600 x 5", "no emergence", f"{few_icl:.3f}"),
            ("IWL at the end, 1600 x 5", "some", f"{few_iwl:.3f}"),
        ],
        [
            Check(f"12800 classes x 5: Flip exceeds {EMERGED}", flip["12800 x 5"] > EMERGED),
            Check(
                f"1600 classes: Flip never exceeds {EMERGED}",
                max(flip["1600 x 20"], flip["1600 x 5"]) < EMERGED,
            ),
            Check("1600 x 5: ICL stays under 0.6", few_icl < 0.6),
        ],
        ", ".join(runs.values()),
        {"": landmark_table(metrics)},
        "One seed each.",
    )


def mlps(study: Study) -> StudyFigure:
    """Figure 10: blocks with MLPs."""
    all_sizes = ((12_800, 20), *SIZES)
    runs = {f"{c} x {e}": f"mlps/{c}x{e}" for c, e in all_sizes}
    compared = ["main", "sizes/12800x5", "sizes/1600x5"]
    study.require([*compared, *runs.values()], "Figure 10")
    metrics = {name: study.metrics(run) for name, run in runs.items()}
    marks = landmarks(metrics["12800 x 20"])
    iwl = at_end(metrics["1600 x 5"], "iwl", "accuracy")
    without = at_end(study.metrics("sizes/1600x5"), "iwl", "accuracy")
    valleys = {
        "with": _resurgence(curve_of(metrics["12800 x 5"], "flip")),
        "without": _resurgence(curve_of(study.metrics("sizes/12800x5"), "flip")),
    }
    peak = marks.flip_peak.value if marks.flip_peak else math.nan
    return study_figure(
        "Figure 10: with MLPs",
        "With MLPs the main setting behaves alike; with few classes and exemplars pure in-weights "
        "learning grows.",
        _grid(metrics, "With MLPs", columns=2),
        [
            ("Flip's peak, 12800 x 20", "as without MLPs", f"{peak:.3f}"),
            ("Flip's crossing, 12800 x 20", "as without MLPs", _place(marks.crossing)),
            *(
                (f"Flip's resurgence, 12800 x 5, {mlps} MLPs", told, f"{valleys[mlps]:.3f}")
                for mlps, told in (("with", "transient and resurgent ICL"), ("without", "none"))
            ),
            ("IWL at the end, 1600 x 5, with MLPs", "more than without", f"{iwl:.3f}"),
            ("IWL at the end, 1600 x 5, without", "less", f"{without:.3f}"),
        ],
        [
            Check(
                "12800 x 20: Flip rises above 0.5 and falls below it", marks.crossing is not None
            ),
            Check(
                "12800 x 5: Flip falls and rises again by more than 0.1, unlike without MLPs",
                valleys["with"] > 0.1 > valleys["without"],
            ),
            Check("1600 x 5: more IWL at the end than without MLPs", iwl > without),
        ],
        ", ".join([*compared[1:], *runs.values()]),
        {"": landmark_table(metrics)},
        "One seed each. Resurgence is the depth of Flip's deepest valley, below the lower of the "
        f"highest points before and after it, once Flip has exceeded {EMERGED}.",
    )


def long_run(study: Study) -> StudyFigure:
    """Figure 11: accuracy over all labels, far beyond the transition."""
    study.require(["main"], "Figure 11")
    run = "main" if study.missing(["long"]) else "long"
    metrics = study.metrics(run)
    figure = evaluator_curves(metrics, WITH_IWL, "accuracy", title="Accuracy over all labels")
    final = {name: at_end(metrics, name, "accuracy") for name in WITH_IWL}
    published = {"train": ".9946", "icl": ".466", "ciwl": ".9948", "flip": ".0054", "iwl": ".0008"}
    numbers = [
        (f"{name}, accuracy over all labels, end", value, f"{final[name]:.4f}")
        for name, value in published.items()
    ]
    claim = (
        "Five times as long as the other runs, CIWL saturates and pure in-weights learning stays "
        "at chance."
    )
    if run == "long":
        checks = [
            Check("CIWL's accuracy at the end exceeds 0.98", final["ciwl"] > 0.98),
            Check("IWL's accuracy at the end is under 0.01", final["iwl"] < 0.01),
        ]
        return study_figure(
            "Figure 11: the long run", claim, figure, numbers, checks, run, {"": metrics}
        )
    table = pd.DataFrame(numbers, columns=list(NUMBERS_COLUMNS))
    note = (
        "The paper's run is of 320M sequences, 16 times its Figure 1b; no such run was made here. "
        "Drawn and given is the main run."
    )
    entry = FigureEntry(
        "Figure 11: the long run", claim, figure, table, "not testable at this scale", run, note
    )
    return StudyFigure(entry, {"": metrics})


def _grid(metrics_by_title: Mapping[str, pd.DataFrame], title: str, columns: int = 3) -> go.Figure:
    """Panels of all evaluators; IWL's accuracy is over all labels, as in the paper's Appendix B."""
    metric = "in_context_accuracy"
    own_score = score_of("iwl", metric)
    drawn = {
        name: metrics.assign(
            in_context_accuracy=metrics[metric].where(
                metrics["evaluator"] != "iwl", metrics[own_score]
            )
        )
        for name, metrics in metrics_by_title.items()
    }
    return evaluator_grid(
        drawn, WITH_IWL, metric, columns, f"{title} (IWL: accuracy over all labels)"
    )


def _resurgence(flip: pd.Series) -> float:
    """Depth of a curve's deepest valley once it has exceeded `EMERGED`; 0 if it never has."""
    since = flip[(flip > EMERGED).cummax()]
    before, after = since.cummax(), since[::-1].cummax()[::-1]
    return float((np.minimum(before, after) - since).max()) if len(since) else 0.0


def _place(crossing: float | None) -> str:
    return "never" if crossing is None or math.isnan(crossing) else sequence_count(crossing)
