"""What Figures 4.6a and 4.7 share: the phase-change model over seeds, shapes of its curves.

A phase change is a convexity gap of 0.15 or more (see `analysis.phase_change`). A smaller one is a
plateau shorter than about a quarter of the fall. A seed has left the plateau when its loss is under
half of what it is with all vectors zero. The draws are not the thesis's, so the seed drawn is not
its seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from jaxtyping import Float64

from analyses.toy_models.coopetition_seeds import by_seed
from coopetition_interp.analysis.phase_change import loss_shape
from coopetition_interp.toy_models import (
    PHASE_CHANGE_CLAMPS,
    PHASE_CHANGE_LOSS,
    Trajectory,
    loss_with_final,
    loss_with_targets,
    plateau_end,
    simulate_phase_change,
    squared_cosine,
)

DRAWN = 1
"""The seed that is drawn."""

COLOURS = {"nothing": "black", "c": "#1f77b4", "b and c": "#9467bd"}

STEADY = 0.99
"""A fall is exponential if its slowest rate is at least this share of its fastest."""

NEGLIGIBLE_LOSS = 1e-6
"""Share of a loss's first value below which its rate of fall is not looked at."""

SQUARED_COSINE = "squared cosine of a and its target"
LOSS_WITH_TARGETS = "loss with b and c at their targets"
LOSS_WITH_FINAL = "loss with b and c from the end"


def rate_ratio(loss: Float64[np.ndarray, " steps"]) -> float:
    """How constant a loss's rate of fall is: its slowest over its fastest, per step.

    The rate is minus the change of log loss in a step, up to the first step at which less than
    `NEGLIGIBLE_LOSS` of the first loss is left.

    Returns:
        1 for an exponential fall to zero, 0 or less if the loss stands still or rises on its way;
        NaN if it never falls.

    Raises:
        ValueError: The first loss is not positive.
    """
    if not loss[0] > 0:
        raise ValueError(f"a rate of fall needs a loss that starts above 0, got {loss[0]}")
    gone = np.flatnonzero(loss < NEGLIGIBLE_LOSS * loss[0])
    counted = loss[: gone[0]] if len(gone) else loss
    rates = -np.diff(np.log(counted))
    if not len(rates) or rates.max() <= 0:
        return float("nan")
    return float(rates.min() / rates.max())


def shapes(values: Float64[np.ndarray, "steps seeds"], seeds: Sequence[int]) -> pd.DataFrame:
    """The shape of a falling curve in every seed.

    Args:
        values: The curve by step and seed.
        seeds: Names of the seeds.

    Returns:
        One row per seed: ``seed`` and the fields of `LossShape`, places being steps.

    Raises:
        ValueError: As `loss_shape`.
    """
    steps = np.arange(len(values))
    return pd.DataFrame(
        [
            {"seed": seed, **asdict(loss_shape(steps, values[:, column]))}
            for column, seed in enumerate(seeds)
        ]
    )


def clamped_loss_shapes(
    seeds: Sequence[int], steps: int = 1000, clamps: Iterable[str] = tuple(PHASE_CHANGE_CLAMPS)
) -> pd.DataFrame:
    """Shape of the loss under each clamp of Figure 4.6a.

    Args:
        seeds: Seeds of the draws.
        steps: Gradient descent steps.
        clamps: Which, by their names in `PHASE_CHANGE_CLAMPS`.

    Returns:
        One row per clamp and seed: ``clamped``, the columns of `shapes`, ``leaves_plateau_at`` (the
        first step at which the loss is under half its height on the plateau, or NaN), and
        ``rate_ratio``.

    Raises:
        ValueError: As ``gradient_descent``, or fewer than two steps.
    """
    parts = []
    for name in clamps:
        run = simulate_phase_change(seeds, PHASE_CHANGE_CLAMPS[name], steps)
        loss = run.value(PHASE_CHANGE_LOSS)
        part = shapes(loss, seeds).assign(
            leaves_plateau_at=plateau_end(run, PHASE_CHANGE_LOSS),
            rate_ratio=[rate_ratio(of_seed) for of_seed in loss.T],
        )
        part.insert(0, "clamped", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def progress_measures(trajectory: Trajectory) -> dict[str, Float64[np.ndarray, "steps seeds"]]:
    """The thesis's progress measures of a in a run, by name, at every step.

    Section 4.4.3 perfects b and c by their targets where it defines the measure, and by their
    values at the end of training where it tells the result; both are here.
    """
    return {
        SQUARED_COSINE: squared_cosine(trajectory, "a"),
        LOSS_WITH_TARGETS: loss_with_targets(trajectory, PHASE_CHANGE_LOSS, ["b", "c"]),
        LOSS_WITH_FINAL: loss_with_final(trajectory, PHASE_CHANGE_LOSS, ["b", "c"]),
    }


def progress_measure_shapes(seeds: Sequence[int], steps: int = 1000) -> pd.DataFrame:
    """Shape of each progress measure of a in training without clamps (Figure 4.7).

    The squared cosine rises, so it is one minus it whose shape is taken.

    Args:
        seeds: Seeds of the draws.
        steps: Gradient descent steps.

    Returns:
        One row per measure and seed: ``measure``, the columns of `shapes`, and
        ``leaves_plateau_at`` of the training loss.

    Raises:
        ValueError: As ``gradient_descent``, or fewer than two steps.
    """
    run = simulate_phase_change(seeds, steps=steps)
    left_at = plateau_end(run, PHASE_CHANGE_LOSS)
    parts = []
    for name, values in progress_measures(run).items():
        falling = 1 - values if name == SQUARED_COSINE else values
        part = shapes(falling, seeds).assign(leaves_plateau_at=left_at)
        part.insert(0, "measure", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def phase_changes(shapes: pd.DataFrame) -> dict[int, bool]:
    """Whether each seed's curve has a phase change."""
    return by_seed(shapes, shapes["kind"] == "phase change")


def exponentials(shapes: pd.DataFrame) -> dict[int, bool]:
    """Whether each seed's loss falls exponentially: at a constant rate, without a phase change."""
    steady = shapes["rate_ratio"] >= STEADY
    return by_seed(shapes, (shapes["kind"] == "exponential") & steady)


def left_plateau(shapes: pd.DataFrame) -> pd.DataFrame:
    """The rows of seeds that have left the plateau."""
    return shapes[shapes["leaves_plateau_at"].notna()]


def step_told(step: float) -> str:
    """A step in words; "not reached" for NaN."""
    return "not reached" if np.isnan(step) else f"{step:.0f}"
