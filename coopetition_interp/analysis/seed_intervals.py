"""A number of each of a few seeds: its mean, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class SeedInterval:
    """Mean over seeds with Student's confidence interval.

    Attributes:
        mean: Over seeds.
        low: Lower end of the interval; NaN with a single seed.
        high: Upper end of it.
        n_seeds: Seeds.
        confidence: Of the interval.
    """

    mean: float
    low: float
    high: float
    n_seeds: int
    confidence: float = 0.95

    def __str__(self) -> str:
        if self.n_seeds == 1:
            return f"{self.mean:.3g} (one seed)"
        return (
            f"{self.mean:.3g} ({self.confidence:.0%} interval {self.low:.3g} to {self.high:.3g}, "
            f"{self.n_seeds} seeds)"
        )


def seed_interval(values: Iterable[float], confidence: float = 0.95) -> SeedInterval:
    """Mean and Student's interval of one number per seed, taken as normally distributed.

    Args:
        values: A number of each seed.
        confidence: Probability that such an interval holds the true mean.

    Raises:
        ValueError: No values, one is not finite, or a confidence that is not between 0 and 1.
    """
    numbers = np.array(list(values), dtype=np.float64)
    if len(numbers) == 0 or not np.isfinite(numbers).all():
        raise ValueError(f"an interval over seeds needs finite numbers; got {numbers.tolist()}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1; got {confidence}")
    mean, n = float(numbers.mean()), len(numbers)
    if n == 1:
        return SeedInterval(mean, float("nan"), float("nan"), 1, confidence)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1) * numbers.std(ddof=1) / np.sqrt(n))
    return SeedInterval(mean, mean - half, mean + half, n, confidence)
