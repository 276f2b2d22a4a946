"""Figures 4.6b, 4.8 and 4.9 of the thesis: subcircuits, isolated by clamping the others."""

from __future__ import annotations

import pandas as pd

from coopetition_interp.figures.induction_heads.curves import loss_curves, loss_panels
from coopetition_interp.figures.induction_heads.shapes import MEASURE, shape_told
from coopetition_interp.figures.study_figure import (
    Check,
    StudyFigure,
    study_figure,
    thousands,
)
from coopetition_interp.reporting.style import CurveStyle
from coopetition_interp.studies.induction_curves import (
    CLAMP_SHAPES,
    CLAMPS,
    SCALING_CURVES,
    SCALING_SHAPES,
    split_curves,
)
from coopetition_interp.studies.induction_heads_of import strongest_heads
from coopetition_interp.studies.induction_weights import PROGRESS_MEASURES, PROGRESS_SHAPES
from coopetition_interp.studies.study import Study

STEPS_STYLES = {
    "nothing": CurveStyle("nothing", "#000000"),
    "step-1": CurveStyle("1 (attend to the previous token)", "#ff7f0e"),
    "steps-1-2": CurveStyle("1, 2 (layer 0)", "#d62728"),
    "match": CurveStyle("1, 2, 3qk, 4 (match)", "#2ca02c"),
    "copy": CurveStyle("3v, 5 (copy)", "#1f77b4"),
    "steps-1-2-and-copy": CurveStyle("1, 2, 3v, 5 (layer 0 and copy)", "#9467bd"),
}
"""Looks of what is clamped in Figures 4.6b and 4.8, coloured as in the thesis."""

THESIS_SHAPES = {
    "nothing": "phase change, ~200k long",
    "step-1": "phase change, similar",
    "steps-1-2": "phase change, ~75k long",
    "match": "exponential",
    "copy": "phase change, ~50k long",
    "steps-1-2-and-copy": "more exponential",
}

LEARNED = {
    "full": ("nothing clamped", "all of it"),
    "match-left": ("layer 0 and copy clamped", "subcircuit B (match)"),
    "copy-left": ("match clamped", "subcircuit C (copy)"),
    "both-left": ("layer 0 clamped", "B and C"),
}
"""What is clamped and what is left to learn in each column of Figure 4.9."""

LEAST_DELAY = 1.5
"""Times as late, from the least to the most classes or labels: harder to learn."""

MOST_DELAY = 1.25
"""At most so many times as late: about as hard."""


def clamps(study: Study) -> StudyFigure:
    """Figure 4.6b: what is learned, and how, with some steps of the circuit clamped."""
    table, shapes = study.table(CLAMPS), study.table(CLAMP_SHAPES)
    curves = split_curves(table)
    figure = loss_curves(
        curves, STEPS_STYLES, "Figure 4.6b: steps of the induction circuit clamped while training"
    )
    figure.update_layout(legend_title_text="clamped steps")
    by_steps = shapes.set_index("curve")
    numbers = [
        (
            f"{STEPS_STYLES[steps].name} clamped",
            THESIS_SHAPES[steps],
            shape_told(by_steps.loc[steps]),
        )
        for steps in curves
    ]
    kinds, durations = by_steps["kind"], by_steps["duration"]
    expected = {
        steps: "phase change" if told.startswith("phase") else "exponential"
        for steps, told in THESIS_SHAPES.items()
    }
    checks = [
        *(
            Check(f"{STEPS_STYLES[steps].name}: {kind}", kinds[steps] == kind)
            for steps, kind in expected.items()
        ),
        Check(
            "the phase change with layer 0 clamped is shorter than with nothing clamped",
            bool(durations["steps-1-2"] < durations["nothing"]),
        ),
    ]
    return study_figure(
        "Figure 4.6b: clamped steps",
        "With only the copy left to learn the loss falls exponentially; with layer 0 clamped, or "
        "the copy, a shorter phase change is left; with both, the rest is exponential again: three "
        "subcircuits whose interaction makes the phase change.",
        figure,
        numbers,
        checks,
        ", ".join(table["run"].unique()),
        {"": table, "shapes": shapes},
        f"The thesis sees a small saddle point in the curve of the clamped copy; ours has a gap of "
        f"{by_steps.loc['copy', 'convexity_gap']:.2f}. {MEASURE}",
    )


def progress_measures(study: Study) -> StudyFigure:
    """Figure 4.8: clamped while training, beside the same clamps on checkpoints of training."""
    measured = split_curves(study.table(PROGRESS_MEASURES))
    trained = split_curves(study.table(CLAMPS))
    shapes = study.table(PROGRESS_SHAPES).set_index("curve")
    figure = loss_panels(
        {
            "clamped while training": {steps: trained[steps] for steps in measured},
            "progress measures: at checkpoints": measured,
        },
        STEPS_STYLES,
        "Figure 4.8: clamping and progress measures",
        columns=2,
    )
    while_training, at_checkpoints = "clamped while training", "progress measure"
    thesis = {
        f"{while_training}: step-1": "phase change",
        f"{while_training}: match": "exponential",
        f"{at_checkpoints}: step-1": "phase change",
        f"{at_checkpoints}: match": "phase change",
    }
    numbers = [(name, kind, shape_told(shapes.loc[name])) for name, kind in thesis.items()]
    times = shapes["learning_time"]
    checks = [
        *(
            Check(f"{name}: {kind}", shapes.loc[name, "kind"] == kind)
            for name, kind in thesis.items()
        ),
        Check(
            "the progress measure shows the copy learned before the rest",
            bool(times[f"{at_checkpoints}: match"] < times[f"{at_checkpoints}: step-1"]),
        ),
    ]
    return study_figure(
        "Figure 4.8: clamping and progress measures",
        "Progress measures show a phase change for both circuits, though the copy alone, with the "
        "match clamped, is learned exponentially.",
        figure,
        numbers,
        checks,
        "clamps/step-1, clamps/match, and checkpoints of "
        f"single-head/head-{strongest_heads(study)[0]}",
        {"": study.table(PROGRESS_MEASURES), "shapes": shapes.reset_index()},
        MEASURE,
    )


def scaling(study: Study) -> StudyFigure:
    """Figure 4.9: more classes delay the match, more labels the copy."""
    table = study.table(SCALING_CURVES)
    shapes = with_sizes(study.table(SCALING_SHAPES))
    curves = split_curves(table)
    sizes = shapes[["classes", "labels"]].drop_duplicates()
    base_labels, base_classes = sizes["labels"].min(), sizes["classes"].min()
    rows = {
        "classes": sizes[sizes["labels"] == base_labels].sort_values("classes"),
        "labels": sizes[sizes["classes"] == base_classes].sort_values("labels"),
    }
    styles, panels = {}, {}
    for what, of_row in rows.items():
        for left, (clamped, learned) in LEARNED.items():
            panel = {}
            for place, size in enumerate(of_row.itertuples()):
                name = f"{getattr(size, what)} {what}"
                styles[name] = CurveStyle(name, _SIZE_COLOURS[what][place])
                panel[name] = curves[f"classes-{size.classes}-labels-{size.labels}/{left}"]
            panels[f"{what}: {learned} learned" + f" ({clamped})"] = panel
    figure = loss_panels(
        panels, styles, "Figure 4.9: what more classes and labels delay", columns=4, height=720
    )
    figure.update_annotations(font_size=12)

    times = {
        (what, left): _times(shapes, of_row, left)
        for what, of_row in rows.items()
        for left in LEARNED
    }
    thesis = {
        ("classes", "full"): "later",
        ("classes", "match-left"): "later",
        ("classes", "copy-left"): "the same",
        ("classes", "both-left"): "later",
        ("labels", "full"): "later",
        ("labels", "match-left"): "the same",
        ("labels", "copy-left"): "later",
        ("labels", "both-left"): "later",
    }
    numbers = [
        (
            f"{LEARNED[left][1]}: under 0.4 log 2 with {_listed(rows[what][what])} {what}",
            told,
            ", ".join(thousands(time) for time in times[what, left]),
        )
        for (what, left), told in thesis.items()
    ]
    checks = [
        _delayed(f"more {what}: {LEARNED[left][1]}", told, times[what, left])
        for (what, left), told in thesis.items()
    ]
    return study_figure(
        "Figure 4.9: data-dependent delays",
        "More classes delay the phase change by making the match harder and not the copy; more "
        "labels, by making the copy harder and not the match.",
        figure,
        numbers,
        checks,
        "scaling/classes-*-labels-*/*",
        {"": table, "shapes": shapes},
        "The shape of each curve is in the table of shapes. " + MEASURE,
    )


_SIZE_COLOURS = {
    "classes": ("#9ecae1", "#4292c6", "#08306b"),
    "labels": ("#a1d99b", "#41ab5d", "#00441b"),
}


def with_sizes(shapes: pd.DataFrame) -> pd.DataFrame:
    """A scaling table with columns `classes`, `labels` and `left`, read off its curves' names."""
    sizes = shapes["curve"].str.extract(r"classes-(\d+)-labels-(\d+)/(.+)")
    sizes.columns = pd.Index(["classes", "labels", "left"])
    return pd.concat([sizes.astype({"classes": int, "labels": int}), shapes], axis=1)


def _times(shapes: pd.DataFrame, sizes: pd.DataFrame, left: str) -> list[float]:
    """Learning times of a panel's curves, in its order."""
    by_curve = shapes.set_index("curve")["learning_time"]
    return [
        float(by_curve[f"classes-{size.classes}-labels-{size.labels}/{left}"])
        for size in sizes.itertuples()
    ]


def _delayed(name: str, expected: str, times: list[float]) -> Check:
    """Whether the last is much later than the first (or never), or about as early."""
    first, last = times[0], times[-1]
    if expected == "later":
        holds = pd.notna(first) and (pd.isna(last) or last >= LEAST_DELAY * first)
        return Check(f"{name} at least {LEAST_DELAY} times as late", bool(holds))
    return Check(f"{name} at most {MOST_DELAY} times as late", bool(last <= MOST_DELAY * first))


def _listed(values: pd.Series) -> str:
    return ", ".join(map(str, values))
