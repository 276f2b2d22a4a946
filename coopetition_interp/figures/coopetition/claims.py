"""Claims as statements about a number of each seed, with an interval over seeds."""

from __future__ import annotations

from collections.abc import Mapping

from coopetition_interp.analysis.seed_intervals import seed_interval
from coopetition_interp.figures.study_figure import Check


def over(statement: str, values: Mapping[int, float], threshold: float) -> Check:
    """Holds if the interval over seeds lies above a threshold; with one seed, its number.

    Args:
        statement: What the number is.
        values: A number by seed.
        threshold: What the claim needs it to exceed.
    """
    interval = seed_interval(values.values())
    least = interval.mean if interval.n_seeds == 1 else interval.low
    return Check(f"{statement} is over {threshold:.3g}: it is {interval}", least > threshold)


def under(statement: str, values: Mapping[int, float], threshold: float) -> Check:
    """Holds if the interval over seeds lies below a threshold; with one seed, its number.

    Args:
        statement: What the number is.
        values: A number by seed.
        threshold: What the claim needs it to stay below.
    """
    interval = seed_interval(values.values())
    most = interval.mean if interval.n_seeds == 1 else interval.high
    return Check(f"{statement} is under {threshold:.3g}: it is {interval}", most < threshold)


def in_seeds(values: Mapping[int, float]) -> str:
    """Mean and interval in words."""
    return str(seed_interval(values.values()))
