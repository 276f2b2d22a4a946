"""Thesis, Figures 4.6a and 4.7: claims, numbers and verdicts on the toy model of a phase change.

Sections 4.4.2 and 4.4.3. The thesis shows one seed; here one is drawn, and the claims are counted
over `SEEDS`.
"""

from __future__ import annotations

import pandas as pd

from coopetition_interp.analysis.phase_change import LEAST_GAP
from coopetition_interp.analysis.toy_phase_change import (
    LOSS_WITH_FINAL,
    LOSS_WITH_TARGETS,
    SQUARED_COSINE,
    clamped_loss_shapes,
    progress_measure_shapes,
    progress_measures,
)
from coopetition_interp.figures.seed_counts import SEEDS, Count, span_told, step_told
from coopetition_interp.figures.study_figure import Check, StudyFigure, study_figure
from coopetition_interp.figures.toy_models import phase_change_figure, progress_measures_figure
from coopetition_interp.toy_models import (
    PHASE_CHANGE_CLAMPS,
    PHASE_CHANGE_LOSS,
    first_step_where,
    plateau_end,
    simulate_phase_change,
)

STEADY = 0.99
"""A fall is exponential if its slowest rate is at least this share of its fastest."""

SHAPE_TOLD = (
    f"A phase change is a convexity gap of at least {LEAST_GAP}: how far a curve stands above its "
    "lower convex hull, as a share of what is left to fall. A seed has left the plateau when its "
    "loss is under half of what it is with all vectors zero. The draws are not the thesis's, so "
    "the seed drawn is not its seed."
)


def phase_change(seed: int = 1, seeds: int = SEEDS, steps: int = 1000) -> StudyFigure:
    """Figure 4.6a of the thesis: the loss with nothing, c, or b and c clamped.

    Args:
        seed: The seed that is drawn.
        seeds: How many seeds, from 0, are counted.
        steps: Gradient descent steps.

    Raises:
        ValueError: No seeds, or fewer than two steps.
    """
    return phase_change_entry(clamped_loss_shapes(range(seeds), steps), seed, steps)


def phase_change_entry(table: pd.DataFrame, seed: int, steps: int) -> StudyFigure:
    """Figure 4.6a: the drawn seed, and the claims over the seeds of a table.

    Args:
        table: As `clamped_loss_shapes` returns it.
        seed: The seed that is drawn.
        steps: Gradient descent steps, as in the table.
    """
    by_clamp = {
        name: table[table["clamped"] == name].set_index("seed") for name in PHASE_CHANGE_CLAMPS
    }
    plain, c, b_and_c = (by_clamp[name] for name in ("nothing", "c", "b and c"))
    left = plain["leaves_plateau_at"].notna()
    # NaN, for a seed that is still on the plateau, compares False.
    faster = Count.where((c["leaves_plateau_at"] < plain["leaves_plateau_at"])[left])
    plain_changes, c_changes = _changes(plain[left]), _changes(c)
    smooth = Count.where((b_and_c["kind"] == "exponential") & (b_and_c["rate_ratio"] >= STEADY))
    c_steady = Count.where(c["rate_ratio"] >= STEADY)
    curves = []
    halves = {}
    for name, clamped in PHASE_CHANGE_CLAMPS.items():
        drawn = simulate_phase_change([seed], clamped, steps)
        curves.append(drawn.table({"loss": PHASE_CHANGE_LOSS}).assign(clamped=name))
        halves[name] = float(plateau_end(drawn, PHASE_CHANGE_LOSS)[0])
    drawn_curves = pd.concat(curves, ignore_index=True)
    return study_figure(
        "Thesis, Figure 4.6a: toy model of a phase change",
        "Three vectors learned through their tensor product make a phase change after a plateau; "
        "with c clamped learning is faster, but still a phase change; only with b and c clamped is "
        "the loss a smooth exponential.",
        phase_change_figure(drawn_curves),
        [
            (
                f"nothing clamped: leave the plateau in {steps} steps",
                "not given",
                str(Count.where(left)),
            ),
            ("phase changes, of those", "phase change (one seed)", str(plain_changes)),
            ("c clamped: earlier, of those", "faster (one seed)", str(faster)),
            ("c clamped: phase changes", "still a phase change (one seed)", str(c_changes)),
            ("b and c clamped: exponential", "smoothly exponential (one seed)", str(smooth)),
            *(
                (
                    f"convexity gap, {name} clamped",
                    "not given",
                    span_told(shapes["convexity_gap"], "{:.2f}"),
                )
                for name, shapes in {"nothing": plain[left], "c": c, "b and c": b_and_c}.items()
            ),
            *(
                (
                    f"seed {seed} drawn, {name} clamped: half way at step",
                    "not given",
                    step_told(half),
                )
                for name, half in halves.items()
            ),
        ],
        [
            Check(
                "nothing clamped: a phase change in every seed that leaves the plateau: "
                f"{plain_changes}",
                plain_changes.every,
            ),
            Check(f"c clamped: every such seed leaves the plateau earlier: {faster}", faster.every),
            Check(f"c clamped: still a phase change in most seeds: {c_changes}", c_changes.most),
            Check(f"c clamped: an exponential in no seed: {c_steady}", c_steady.number == 0),
            Check(
                f"b and c clamped: an exponential, without a phase change, in every seed: {smooth}",
                smooth.every,
            ),
        ],
        _simulated(table["seed"].nunique(), steps),
        {"": drawn_curves, "shapes": table},
        f"{SHAPE_TOLD} A smaller gap is a plateau shorter than about a quarter of the fall. An "
        f"exponential's rate of fall is constant: the slowest at least {STEADY} of the fastest.",
    )


def clamp_against_measures(seed: int = 1, seeds: int = SEEDS, steps: int = 1000) -> StudyFigure:
    """Figure 4.7 of the thesis: the clamp's loss beside progress measures of a.

    Args:
        seed: The seed that is drawn.
        seeds: How many seeds, from 0, are counted.
        steps: Gradient descent steps.

    Raises:
        ValueError: No seeds, or fewer than two steps.
    """
    table = progress_measure_shapes(range(seeds), steps)
    clamped_shapes = clamped_loss_shapes(range(seeds), steps, ["b and c"])
    smooth = Count.where(
        (clamped_shapes["kind"] == "exponential") & (clamped_shapes["rate_ratio"] >= STEADY)
    )
    left = table[table["leaves_plateau_at"].notna()]
    changes = {
        name: _changes(left[left["measure"] == name])
        for name in (SQUARED_COSINE, LOSS_WITH_TARGETS, LOSS_WITH_FINAL)
    }

    plain = simulate_phase_change([seed], steps=steps)
    clamped = simulate_phase_change([seed], ("b", "c"), steps=steps)
    measures = progress_measures(plain)
    training = {"training loss": PHASE_CHANGE_LOSS}
    curves = pd.concat(
        [
            plain.table(training).assign(clamped="nothing"),
            clamped.table(training).assign(clamped="b and c"),
            plain.table_of_values(measures).assign(clamped="nothing"),
        ],
        ignore_index=True,
    )
    half = 0.5 * plain.saddle_value(PHASE_CHANGE_LOSS)
    half_way = {
        "training loss, nothing clamped": plateau_end(plain, PHASE_CHANGE_LOSS),
        "training loss, b and c clamped": plateau_end(clamped, PHASE_CHANGE_LOSS),
        SQUARED_COSINE: first_step_where(measures[SQUARED_COSINE] > 0.5),
        LOSS_WITH_TARGETS: first_step_where(measures[LOSS_WITH_TARGETS] < half),
        LOSS_WITH_FINAL: first_step_where(measures[LOSS_WITH_FINAL] < half),
    }
    return study_figure(
        "Thesis, Figure 4.7: clamping against progress measures",
        "The squared cosine of a and its target, and the loss with b and c perfected at each "
        "checkpoint, show a phase change; the loss of training with b and c clamped is smoothly "
        "exponential, a clearer signal of how a is learned.",
        progress_measures_figure(curves),
        [
            ("b and c clamped: exponential", "smoothly exponential (one seed)", str(smooth)),
            *(
                (f"phase change of the {name}", "phase change (one seed)", str(count))
                for name, count in changes.items()
            ),
            *(
                (f"seed {seed} drawn, {name}: half way at step", "not given", step_told(step[0]))
                for name, step in half_way.items()
            ),
            # A solution is fixed up to scale only, so this need not end at zero.
            (
                f"seed {seed} drawn, {LOSS_WITH_TARGETS}, at the end",
                "not given",
                f"{measures[LOSS_WITH_TARGETS][-1, 0]:.4f}",
            ),
        ],
        [
            Check(
                "training loss with b and c clamped: an exponential, without a phase change, in "
                f"every seed: {smooth}",
                smooth.every,
            ),
            *(
                Check(
                    f"{name}: a phase change in most seeds that leave the plateau: {count}",
                    count.most,
                )
                for name, count in changes.items()
            ),
        ],
        _simulated(seeds, steps),
        {"": curves, "shapes": pd.concat([table, clamped_shapes], ignore_index=True)},
        SHAPE_TOLD,
    )


def _changes(shapes: pd.DataFrame) -> Count:
    return Count.where(shapes["kind"] == "phase change")


def _simulated(seeds: int, steps: int) -> str:
    return f"simulated on the spot: {seeds} seed(s), {steps} gradient descent steps"
