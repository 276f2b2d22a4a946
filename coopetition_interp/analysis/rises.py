"""When a curve rises: between which places it climbs from its baseline to its top."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rise:
    """A climb from a baseline to the curve's top. Places are in the units of ``x``.

    Attributes:
        start: Last place at or under the low mark before ``end``.
        middle: First place at or over half the climb, from ``start`` on.
        end: First place at or over the high mark.
        top: The curve's highest value.
    """

    start: float
    middle: float
    end: float
    top: float


def find_rise(
    x: np.ndarray,
    curve: np.ndarray,
    *,
    baseline: float,
    falling: bool = False,
    low: float = 0.1,
    high: float = 0.9,
    least_climb: float = 0.0,
) -> Rise | None:
    """Find the climb of a curve from its plateau to its top.

    Args:
        x: Where the curve was measured, increasing; 1-d.
        curve: For example in-context accuracy on the ICL evaluator.
        baseline: The plateau it leaves: 0.5 for in-context accuracy, the value at the saddle for a
            toy model's error.
        falling: The curve is a loss, whose fall counts as the rise.
        low: Fraction of the climb at which the rise starts.
        high: Fraction of the climb at which the rise ends.
        least_climb: A smaller distance between baseline and top is no rise.

    Returns:
        The rise, or ``None`` if the curve does not get ``least_climb`` beyond its baseline.

    Raises:
        ValueError: Lengths differ, no points, a value is not finite, or not 0 < low < high < 1.
    """
    x, curve = np.asarray(x, dtype=np.float64), np.asarray(curve, dtype=np.float64)
    if x.ndim != 1 or x.shape != curve.shape or len(x) == 0:
        raise ValueError(f"x and curve must be 1-d and as long, got {x.shape} and {curve.shape}")
    if not np.isfinite(curve).all():
        raise ValueError("the curve must be finite: drop the points that are NaN or infinite")
    if not 0 < low < high < 1:
        raise ValueError(f"marks must satisfy 0 < low < high < 1, got low={low}, high={high}")
    height = baseline - curve if falling else curve - baseline
    climb = float(height.max())
    if climb <= max(least_climb, 0.0):
        return None
    end = int(np.argmax(height >= high * climb))
    under = np.flatnonzero(height[: end + 1] <= low * climb)
    # A curve already over the low mark at its first point rose before it was measured.
    start = int(under[-1]) if len(under) else 0
    middle = start + int(np.argmax(height[start:] >= 0.5 * climb))
    top = baseline - climb if falling else baseline + climb
    return Rise(float(x[start]), float(x[middle]), float(x[end]), top)
