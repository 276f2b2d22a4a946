"""Curves: where one crosses a level and stays, and how one is smoothed."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64
from numpy.lib.stride_tricks import sliding_window_view


def first_to_stay(holds: Bool[np.ndarray, " points"], n: int) -> int | None:
    """Index of the first of `n` points in a row at which something holds."""
    for start in range(len(holds) - n + 1):
        if holds[start : start + n].all():
            return start
    return None


def first_crossing(
    x: Float64[np.ndarray, " points"],
    curve: Float64[np.ndarray, " points"],
    level: float,
    *,
    falling: bool = False,
    stays: int = 1,
) -> float | None:
    """First place where a curve goes from one side of a level to the other.

    Args:
        x: Increasing places.
        curve: Finite values there.
        level: What is crossed.
        falling: Look for the way down, from above or on the level to below it; otherwise for the
            way up, from below or on it to above it.
        stays: Points in a row that have to lie beyond the level.

    Returns:
        The place, interpolated linearly between two points, or None; a curve that begins beyond the
        level has to come back first.
    """
    height = level - curve if falling else curve - level
    inside = np.flatnonzero(height <= 0)
    if len(inside) == 0:
        return None
    start = int(inside[0])
    first = first_to_stay(height[start:] > 0, stays)
    if first is None:
        return None
    before = start + first - 1
    fraction = -height[before] / (height[before + 1] - height[before])
    return float(x[before] + fraction * (x[before + 1] - x[before]))


def smooth(
    values: Float64[np.ndarray, " points"],
    window: int,
    by: Literal["median", "mean"] = "median",
    ends: Literal["even", "cut"] = "even",
) -> Float64[np.ndarray, " points"]:
    """Running median or mean of an odd number of points about each, fewer towards both ends.

    Args:
        values: The curve.
        window: Points; 1 for none.
        by: What is taken of them.
        ends: At both ends the window shrinks evenly on both sides ("even": the first and the last
            point stay, and a running median keeps every monotone curve unchanged), or is cut off
            ("cut": noise at the ends is smoothed too, and a monotone curve stays monotone).

    Raises:
        ValueError: The window is even or not positive.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and positive, got {window}")
    middle = np.median if by == "median" else np.mean
    half, last = window // 2, len(values) - 1
    smoothed = np.empty(len(values))
    if len(values) >= window:
        smoothed[half : last - half + 1] = middle(sliding_window_view(values, window), axis=1)
    for place in range(len(values)):
        if half <= place <= last - half:
            continue  # its window is whole
        before = after = min(place, last - place) if ends == "even" else half
        smoothed[place] = middle(values[max(0, place - before) : place + after + 1])
    return smoothed
