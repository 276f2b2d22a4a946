"""Figures 5b, 6, 18a and 18b: what competition does, and what in-context learning hangs on."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.divot import Divot, find_divot
from coopetition_interp.analysis.divots_across_seeds import (
    coincidence_across_seeds,
    divot_table,
)
from coopetition_interp.analysis.rises import Rise, find_rise
from coopetition_interp.figures.coopetition.claims import EMERGED, each, over, under
from coopetition_interp.figures.coopetition.runs_compared import (
    at_end,
    compare_runs,
    curve_of,
    highest,
)
from coopetition_interp.figures.study_figure import Check, StudyFigure, study_figure
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.reporting.evaluators import evaluator_curves
from coopetition_interp.reporting.style import FLIP_COLOUR, CurveStyle, sequence_count
from coopetition_interp.studies.coopetition_runs import landmarks_of, of_seeds
from coopetition_interp.studies.study import Study

LEAST_RISE = 0.05
"""How far above chance ICL must get for its emergence to be looked for."""

LIGHT_RED = "#f4a6a6"


def ciwl_divot(metrics: pd.DataFrame, metric: str = "loss") -> Divot | None:
    """The divot of CIWL in a run (paper, section 6): of its loss, or of 1 - an accuracy."""
    curve = curve_of(metrics, "ciwl", metric)
    falling = curve if metric == "loss" else 1 - curve
    return find_divot(falling.index.to_numpy(), falling.to_numpy(), window=3)


def icl_rise(metrics: pd.DataFrame) -> Rise | None:
    """The rise of ICL's accuracy in a run, up to its highest point."""
    icl = curve_of(metrics, "icl")
    return find_rise(icl.index.to_numpy(), icl.to_numpy(), baseline=0.5, least_climb=LEAST_RISE)


def divot(study: Study) -> StudyFigure:
    """Figure 5b: losses of the main run, and the divot of CIWL."""
    study.require(["main"], "Figure 5b")
    metrics = study.metrics("main")
    runs = of_seeds(study, "main")
    divots = {seed: ciwl_divot(study.metrics(run)) for seed, run in runs.items()}
    rises = {seed: icl_rise(study.metrics(run)) for seed, run in runs.items()}
    table = divot_table(divots, rises)
    together = coincidence_across_seeds(table)
    figure = evaluator_curves(metrics, ("train", "icl", "ciwl"), "loss", title="Loss")
    first = divots[next(iter(divots))]
    if first is not None:
        figure.add_vrect(
            x0=first.start / 1e6,
            x1=first.end / 1e6,
            fillcolor="#ff7f0e",
            opacity=0.25,
            line_width=0,
            annotation_text="divot",
        )
    numbers = [
        (
            f"seed {seed}: divot of CIWL's loss",
            "mild, as ICL forms",
            f"{_deep(divots[seed])}; {_risen(rises[seed])}",
        )
        for seed in runs
    ]
    wrong = {
        seed: ciwl_divot(study.metrics(run), "in_context_accuracy") for seed, run in runs.items()
    }
    numbers += [
        (
            f"seed {seed}: divot of CIWL's in-context accuracy",
            "not given",
            _deep(found),
        )
        for seed, found in wrong.items()
    ]
    low, high = together.interval
    return study_figure(
        "Figure 5b: the divot",
        "As in-context learning forms, the loss on CIWL worsens mildly before it goes on falling, "
        "as in the toy model.",
        figure,
        numbers,
        [
            Check("there is a divot in every seed", together.with_both == together.seeds),
            Check(
                "it coincides with the rise of ICL in every seed: in "
                f"{together.coinciding} of {together.with_both}"
                + ("" if math.isnan(low) else f" (95% interval {low:.2f} to {high:.2f})"),
                0 < together.seeds == together.coinciding,
            ),
        ],
        ", ".join(runs.values()),
        {"": table},
        "A divot is a transient rise of the loss that stands clear of its noise.",
    )


def matched(study: Study) -> StudyFigure:
    """Figure 6, left: matching exemplars in context and query."""
    study.require(["main", "matched"], "Figure 6")
    runs = of_seeds(study, "matched")
    final = {seed: at_end(study.metrics(run), "flip") for seed, run in runs.items()}
    fall = {seed: highest(study.metrics(run), "flip") - final[seed] for seed, run in runs.items()}
    main_final = at_end(study.metrics("main"), "flip")
    return study_figure(
        "Figure 6: matched exemplars",
        "When the exemplar in context is the query itself, in-context learning does not fade.",
        _against_main(
            study, "matched", "matched exemplars", {"Flip": ("flip", "in_context_accuracy")}
        ),
        [
            ("Flip at the end, matched", "~1.0 and stays", each(final)),
            ("Flip at the end, normal", "under 0.05", f"{main_final:.3f}"),
            (
                "12 layers, matched (right panel)",
                "no sign of turning down",
                "not run: GPU-days, in the sweep of preset paper",
            ),
        ],
        [
            over("ICL dominates at the end: Flip, matched", final, 0.5),
            under("and does not fade: Flip's fall from its highest point", fall, 0.05),
        ],
        f"main, {', '.join(runs.values())}",
        {"": study.metrics("matched")},
        "What is tested is that it persists; how close Flip comes to the paper's ~1.0 is in the "
        "table.",
    )


def blocked(study: Study) -> StudyFigure:
    """Figure 18a: layer 0 never attends to the previous token from a label."""
    study.require(["main", "previous-token-blocked"], "Figure 18a")
    runs, mains = of_seeds(study, "previous-token-blocked"), of_seeds(study, "main")
    icl = {seed: highest(study.metrics(run), "icl") for seed, run in runs.items()}
    flip = {seed: highest(study.metrics(run), "flip") for seed, run in runs.items()}
    ciwl = {seed: curve_of(study.metrics(run), "ciwl") for seed, run in runs.items()}
    lost = {}
    for seed, run in mains.items():
        if seed in ciwl:
            same_time = curve_of(study.metrics(run), "ciwl")
            lost[seed] = float(same_time[: ciwl[seed].index[-1]].iloc[-1] - ciwl[seed].iloc[-1])
    return study_figure(
        "Figure 18a: in-context learning is not needed for CIWL",
        "With previous-token attention blocked there is no in-context learning, and CIWL comes "
        "about as it does without the block.",
        _against_main(
            study,
            "previous-token-blocked",
            "previous token blocked",
            {"Flip": ("flip", "in_context_accuracy"), "CIWL": ("ciwl", "in_context_accuracy")},
        ),
        [
            ("highest ICL, blocked", "no ICL", each(icl)),
            ("highest Flip, blocked", "0.5", each(flip)),
            (
                "CIWL at the end, blocked",
                "as without the block",
                each({seed: float(curve.iloc[-1]) for seed, curve in ciwl.items()}),
            ),
        ],
        [
            under("highest ICL accuracy, blocked", icl, 0.6),
            under("highest Flip, blocked", flip, EMERGED),
            under("CIWL lost by the block, at its run's end", lost, 0.05),
        ],
        ", ".join([*mains.values(), *runs.values()]),
        {"": study.metrics("previous-token-blocked")},
    )


def ablated(study: Study) -> StudyFigure:
    """Figure 18b: the heads that carried in-context learning in main, off from the start."""
    name = "previous-token-heads-ablated"
    study.require(["main", name], "Figure 18b")
    mains = of_seeds(study, "main")
    runs = {seed: run for seed, run in of_seeds(study, name).items() if seed in mains}
    peaks, delays = {}, {}
    for seed, run in runs.items():
        marks, usual = landmarks_of(study, run), landmarks_of(study, mains[seed])
        peaks[seed] = highest(study.metrics(run), "flip")
        if marks.flip_peak and usual.flip_peak:
            rise, usual_rise = icl_rise(study.metrics(run)), icl_rise(study.metrics(mains[seed]))
            if rise and usual_rise:
                delays[seed] = (rise.middle - usual_rise.middle) / 1e6
    heads = {seed: _ablated_heads(study, run) for seed, run in runs.items()}
    final = {seed: at_end(study.metrics(run), "flip") for seed, run in runs.items()}
    late = (
        over("delay of ICL's rise against main, in millions of sequences", delays, 0.0)
        if len(delays) == len(runs)
        else Check("ICL rises in every seed, so that its delay can be told", False)
    )
    checks = [
        over("Flip's highest point without those heads", peaks, EMERGED),
        under("Flip at the end without those heads", final, 0.5),
        late,
    ]
    return study_figure(
        "Figure 18b: in-context learning is no accident of initialisation",
        "With the heads ablated that carry in-context learning in the main run, it still emerges, "
        "somewhat later, and fades.",
        _against_main(
            study,
            name,
            "ICL heads ablated",
            {"Flip": ("flip", "in_context_accuracy"), "ICL": ("icl", "in_context_accuracy")},
        ),
        [
            *(
                (
                    f"heads ablated, seed {seed}",
                    "1, 4, 7",
                    ", ".join(map(str, off)),
                )
                for seed, off in heads.items()
            ),
            ("highest Flip, ablated", "~0.75", each(peaks)),
            (
                "ICL's rise comes later by",
                "slightly delayed",
                ", ".join(f"{delay:.2f}M" for delay in delays.values()) or "no rise to compare",
            ),
        ],
        checks,
        ", ".join([*mains.values(), *runs.values()]),
        {"": study.metrics(name)},
        "Which heads carry it is measured on each seed's main run: the fewest of layer 0's "
        "strongest previous-token heads without which ICL is at chance at Flip's peak.",
    )


def _ablated_heads(study: Study, run: str) -> list[int]:
    """The heads that a run was trained without."""
    clamps = [clamp for clamp in study.config(run).clamps if isinstance(clamp, AblateHeads)]
    return sorted(head for clamp in clamps for _, head in clamp.heads)


def _deep(found: Divot | None) -> str:
    if found is None:
        return "none"
    return f"{found.depth:.3f} deep, {sequence_count(found.start)} to {sequence_count(found.end)}"


def _risen(rise: Rise | None) -> str:
    if rise is None:
        return "ICL does not rise"
    return f"ICL rises {sequence_count(rise.start)} to {sequence_count(rise.end)}"


def _against_main(
    study: Study, run: str, name: str, panels: dict[str, tuple[str, str]]
) -> go.Figure:
    return compare_runs(
        panels,
        {"standard": study.metrics("main"), name: study.metrics(run)},
        {"standard": CurveStyle("standard", LIGHT_RED), name: CurveStyle(name, FLIP_COLOUR)},
        name.capitalize(),
    )
