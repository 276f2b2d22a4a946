"""Figures 4a to 4c: CIWL's layer 1 helps in-context learning to form, until it is too far gone."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from coopetition_interp.figures.coopetition.claims import EMERGED, each, over, under
from coopetition_interp.figures.coopetition.runs_compared import (
    at_end,
    compare_runs,
    curve_of,
    highest,
    shades,
)
from coopetition_interp.figures.study_figure import Check, StudyFigure, study_figure
from coopetition_interp.reporting.style import CurveStyle, sequence_count
from coopetition_interp.studies.coopetition_runs import (
    of_seeds,
    prefix_of_seed,
    starting_with,
)
from coopetition_interp.studies.study import Study
from coopetition_interp.sweeps.coopetition import moment_in_name

LEARNED = 0.75
"""ICL's in-context accuracy from which on a run on ICL-only data counts as having learned it."""

GRAFTS, RESUMED = "grafts/ciwl-only-", "resumed/ciwl-only-"


def graft(study: Study) -> StudyFigure:
    """Figure 4a: ICL-only data, from scratch and with main's block 1 and unembedding."""
    study.require(["icl_only", "grafts/main-end"], "Figure 4a")
    alone, grafted = of_seeds(study, "icl_only"), of_seeds(study, "grafts/main-end")
    both = sorted(alone.keys() & grafted.keys())
    with_graft = {seed: at_end(study.metrics(grafted[seed]), "icl") for seed in both}
    without = {seed: at_end(study.metrics(alone[seed]), "icl") for seed in both}
    sooner = {
        seed: _learned_by(study.metrics(alone[seed])) / _learned_by(study.metrics(grafted[seed]))
        for seed in both
    }
    scratch, graft = "from scratch", "with the graft"
    curves = {scratch: study.metrics("icl_only"), graft: study.metrics("grafts/main-end")}
    styles = {scratch: CurveStyle(scratch, "#111111"), graft: CurveStyle(graft, "#2ca02c")}
    lengths = {
        name: sequence_count(float(table["sequences_seen"].max())) for name, table in curves.items()
    }
    losses = {name: curve_of(table, "icl", "loss").iloc[-1] for name, table in curves.items()}
    return study_figure(
        "Figure 4a: the graft",
        "On ICL-only data a network from scratch stays on a plateau; with layer 1 and the "
        "unembedding of a network that ended with CIWL, it learns in-context learning quickly.",
        compare_runs(
            {"loss on ICL": ("icl", "loss"), "accuracy on ICL": ("icl", "in_context_accuracy")},
            curves,
            styles,
            "Training on ICL-only data",
        ),
        [
            (
                "ICL accuracy with the graft",
                "learns within ~2M",
                f"{each(with_graft)} after {lengths[graft]}",
            ),
            (
                "ICL accuracy from scratch",
                "plateau",
                f"{each(without)} after {lengths[scratch]}",
            ),
            (
                f"times sooner past {LEARNED} with the graft than from scratch",
                "",
                each(sooner),
            ),
            ("ICL loss at the end, with the graft", "near 0", f"{losses[graft]:.3f}"),
            ("ICL loss at the end, from scratch", "on a plateau", f"{losses[scratch]:.3f}"),
        ],
        [
            over("ICL accuracy at the end with the graft", with_graft, LEARNED),
            over(
                f"doublings (log2) of how much sooner it passes {LEARNED} with the graft",
                {seed: math.log2(times) for seed, times in sooner.items()},
                0.0,
            ),
        ],
        ", ".join(run for seed in both for run in (alone[seed], grafted[seed])),
        {"from_scratch": curves[scratch], "with_graft": curves[graft]},
        "A run that never learns counts as if it did at its end, so the times are at least those.",
    )


def graft_window(study: Study) -> StudyFigure:
    """Figure 4b: grafts from checkpoints of training on CIWL-only data."""
    study.require(["ciwl_only", *_of_main(study, GRAFTS)], "Figure 4b")
    finals = {
        seed: {
            moment_in_name(name): at_end(study.metrics(run), "icl")
            for name, run in starting_with(study, GRAFTS, prefix).items()
        }
        for seed, prefix in prefix_of_seed(study).items()
    }
    finals = {seed: dict(sorted(values.items())) for seed, values in finals.items() if values}
    curves = _by_moment(study, GRAFTS)
    best = {seed: max(values, key=values.__getitem__) for seed, values in finals.items()}
    first = {seed: values[best[seed]] - values[min(values)] for seed, values in finals.items()}
    last = {seed: values[best[seed]] - values[max(values)] for seed, values in finals.items()}
    main = next(iter(finals.values()))
    learned = [moment for moment, value in main.items() if value >= LEARNED]
    window = (
        f"{sequence_count(min(learned))} to {sequence_count(max(learned))} of {_range(main)}"
        if learned
        else f"none of {_range(main)}"
    )
    return study_figure(
        "Figure 4b: the window of grafts",
        "Layer 1 of a network trained on CIWL-only data lets in-context learning form for a brief "
        "period: early and late checkpoints do not.",
        compare_runs(
            {"loss on ICL": ("icl", "loss"), "accuracy on ICL": ("icl", "in_context_accuracy")},
            curves,
            _shaded(curves, "from"),
            "Training on ICL-only data with block 1 and unembedding of a CIWL-only checkpoint",
        ),
        [
            ("checkpoints that let ICL form", "9.8M to 31.5M of 4M to 64M", window),
            *(
                (
                    f"ICL accuracy from the checkpoint at {sequence_count(moment)}",
                    "",
                    each(_at(finals, moment)),
                )
                for moment in main
            ),
        ],
        [
            over(
                "ICL accuracy from the best checkpoint",
                {seed: values[best[seed]] for seed, values in finals.items()},
                LEARNED,
            ),
            over("the window opens: best less earliest", first, 0.1),
            over("and closes: best less latest", last, 0.1),
        ],
        f"{GRAFTS}*, of {len(finals)} initialisations",
        {"": _as_table(finals)},
    )


def resumed(study: Study) -> StudyFigure:
    """Figure 4c: bursty training from checkpoints of training on CIWL-only data."""
    study.require(["ciwl_only", *_of_main(study, RESUMED)], "Figure 4c")
    tops = {
        seed: {
            moment_in_name(name): highest(study.metrics(run), "flip")
            for name, run in starting_with(study, RESUMED, prefix).items()
        }
        for seed, prefix in prefix_of_seed(study).items()
    }
    tops = {seed: dict(sorted(values.items())) for seed, values in tops.items() if values}
    curves = _by_moment(study, RESUMED)
    main = next(iter(tops.values()))
    return study_figure(
        "Figure 4c: formed CIWL prevents in-context learning",
        "From early CIWL-only checkpoints, training on bursty data brings a transient emergence of "
        "in-context learning; once CIWL has formed, none.",
        compare_runs(
            {"Flip": ("flip", "in_context_accuracy"), "ICL": ("icl", "in_context_accuracy")},
            curves,
            _shaded(curves, "from"),
            "Training on bursty data from a CIWL-only checkpoint",
        ),
        [
            (
                f"highest Flip from the checkpoint at {sequence_count(moment)}",
                "over 0.5 early, no rise late",
                each(_at(tops, moment)),
            )
            for moment in main
        ],
        [
            over(
                "highest Flip from the earliest checkpoint",
                {seed: values[min(values)] for seed, values in tops.items()},
                EMERGED,
            ),
            under(
                "highest Flip from the latest checkpoint",
                {seed: values[max(values)] for seed, values in tops.items()},
                0.5,
            ),
            Check(
                "in every seed, after a checkpoint from which none emerges none emerges from a "
                "later one",
                all(_only_early(values) for values in tops.values()),
            ),
        ],
        f"{RESUMED}*, of {len(tops)} initialisations",
        {"": _as_table(tops)},
    )


def _learned_by(metrics: pd.DataFrame) -> float:
    """Sequences seen when ICL's accuracy first reaches `LEARNED`; at the end if it never does."""
    icl = curve_of(metrics, "icl").drop(index=0, errors="ignore")  # a time to divide by
    learned = icl.index[icl >= LEARNED]
    return float(learned[0] if len(learned) else icl.index[-1])


def _only_early(highest_flip: Mapping[int, float]) -> bool:
    """Whether ICL emerges from the first checkpoints alone, if from any; they are in order."""
    emerged = [value > EMERGED for value in highest_flip.values()]
    return emerged == sorted(emerged, reverse=True)


def _at(by_seed: Mapping[int, Mapping[int, float]], moment: int) -> dict[int, float]:
    """What the seeds that have this checkpoint got from it; other seeds may have fewer."""
    return {seed: values[moment] for seed, values in by_seed.items() if moment in values}


def _of_main(study: Study, prefix: str) -> list[str]:
    """The runs of the main seed that there are; one that says what is missing if there is none."""
    return list(starting_with(study, prefix).values()) or [f"{prefix}*"]


def _by_moment(study: Study, prefix: str) -> dict[str, pd.DataFrame]:
    runs = starting_with(study, prefix)
    return {
        name: study.metrics(runs[name]) for name in sorted(runs, key=lambda n: moment_in_name(n))
    }


def _shaded(curves: Mapping[str, pd.DataFrame], word: str) -> dict[str, CurveStyle]:
    return {
        name: CurveStyle(f"{word} {name}", colour) for name, colour in shades(list(curves)).items()
    }


def _range(values: Mapping[int, float]) -> str:
    return f"{sequence_count(min(values))} to {sequence_count(max(values))}"


def _as_table(by_seed: Mapping[int, Mapping[int, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"seed": seed, "checkpoint": moment, "value": value}
            for seed, values in by_seed.items()
            for moment, value in values.items()
        ]
    )
