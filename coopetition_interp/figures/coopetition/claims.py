"""Claims as statements about a number of each seed, with an interval over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from coopetition_interp.analysis.seed_intervals import seed_interval
from coopetition_interp.figures.study_figure import Check

EMERGED = 0.55
"""Flip, or ICL, from which on in-context learning counts as having emerged; chance is 0.5."""

NO_SEED = "no seed has it"
"""Told of a number that rests on a landmark, such as Flip's peak, that no run came to."""


def over(statement: str, values: Mapping[int, float], threshold: float) -> Check:
    """Holds if the interval over seeds lies above a threshold; with one seed, its number.

    Args:
        statement: What the number is.
        values: A number by seed; without any the claim does not hold.
        threshold: What the claim needs it to exceed.
    """
    return _compared(statement, "over", values, threshold)


def under(statement: str, values: Mapping[int, float], threshold: float) -> Check:
    """Holds if the interval over seeds lies below a threshold; with one seed, its number.

    Args:
        statement: What the number is.
        values: A number by seed; without any the claim does not hold.
        threshold: What the claim needs it to stay below.
    """
    return _compared(statement, "under", values, threshold)


def in_seeds(values: Mapping[int, float]) -> str:
    """Mean and interval in words."""
    return str(seed_interval(values.values())) if values else NO_SEED


def each(values: Mapping[int, float]) -> str:
    """The number of each seed in words, the main seed's first."""
    return ", ".join(f"{value:.3f}" for value in values.values())


def by_seed(numbers: pd.Series) -> dict[int, float]:
    """A number by seed, from a series that is indexed by seed."""
    return {int(str(seed)): float(number) for seed, number in numbers.items()}


def _compared(
    statement: str, side: Literal["over", "under"], values: Mapping[int, float], threshold: float
) -> Check:
    rule = f"{statement} is {side} {threshold:.3g}"
    if not values:
        return Check(f"{rule}: {NO_SEED}", False)
    interval = seed_interval(values.values())
    low, high = interval.low, interval.high
    if interval.n_seeds == 1:
        low = high = interval.mean
    holds = low > threshold if side == "over" else high < threshold
    return Check(f"{rule}: it is {interval}", holds)
