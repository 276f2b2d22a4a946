"""Intervals by resampling."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.stats import bootstrap


def bootstrap_interval(
    values: Float64[np.ndarray, "n_rows n_draws"],
    generator: np.random.Generator,
    level: float = 0.95,
    n_resamples: int = 2000,
) -> Float64[np.ndarray, "n_rows 2"]:
    """Percentile bootstrap interval of the mean of each row.

    Draws (sequences, say) are resampled with replacement, the same ones for all rows, so that rows
    measured on the same draws stay paired.

    Args:
        values: What was measured; draws must be independent of each other.
        generator: Where the resamples come from.
        level: Share of resampled means that the interval covers, between 0 and 1.
        n_resamples: How many resamples.

    Returns:
        Low and high end of each row's interval.

    Raises:
        ValueError: Fewer than two draws, a value that is not finite, or an argument out of range.
    """
    if values.shape[1] < 2 or not np.isfinite(values).all():
        raise ValueError("a bootstrap needs two draws at least, all of them finite numbers")
    if not 0 < level < 1 or n_resamples < 1:
        raise ValueError(
            "level must be between 0 and 1 and n_resamples at least 1; got "
            f"level={level!r}, n_resamples={n_resamples!r}"
        )
    found = bootstrap(
        (values,),
        np.mean,
        axis=-1,
        n_resamples=n_resamples,
        batch=100,
        confidence_level=level,
        method="percentile",
        random_state=generator,
    ).confidence_interval
    return np.stack([found.low, found.high], axis=-1)
