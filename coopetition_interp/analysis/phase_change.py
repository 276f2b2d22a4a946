"""Whether a loss curve has a phase change or falls like an exponential: a stated measure.

The thesis (4.4.2) tells subcircuits whose loss "is smoothly exponential" from
those with a "phase change" by eye. Here:

An exponential, and any sum of decaying ones, falls fastest at its start and ever slower: it is
convex. A phase change is a plateau and then a fall, which no convex curve can follow. So the
measure is the curve's *convexity gap*. Draw the lower convex hull of the curve, up to its lowest
point: a taut string below it. Over a plateau the string is a straight chord, and the curve stands
above it. The gap is the most by which it does, as a fraction of what it has still to fall from the
chord's start. It is 0 for convex curves and at most 1; the units of the axes, the loss in the end
and the length of training afterwards do not matter; a first fast fall that ends on the plateau
matters little.

    shape                                                              gap
    exponential; sums of them; softplus of a margin growing linearly   0
    softplus of a margin growing with the square of time               0.12
    logistic fall, plateau (to 10 % fallen) 1/4 of the 10-90 % fall    0.15
    logistic fall, plateau 1/2, 1, 2 times the 10-90 % fall            0.23, 0.35, 0.51

A curve with a gap of at least `LEAST_GAP` = 0.15 has a phase change. That spares a start from rest,
as when one product of two factors grows, and counts a plateau a quarter as long as the fall.

Noise makes gaps: after averaging (`window`), its standard deviation should be under 0.3 % of the
whole fall; it then adds 0.1 at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from coopetition_interp.analysis import curves as of_curves
from coopetition_interp.analysis.rises import find_rise

LEAST_SHARE = 0.1
"""Chords that start when less than this share of the whole fall is left are not looked at: wiggles
of a loss that has all but arrived are no phase changes."""

LEAST_GAP = 0.15
"""Convexity gap from which on a loss curve has a phase change (see the module)."""


@dataclass(frozen=True)
class LossShape:
    """How a loss falls. Places are in the units of x, such as sequences seen.

    Attributes:
        kind: "phase change", "exponential" (no phase change), or "no fall".
        convexity_gap: See the module; NaN if there is no fall.
        plateau_end: Where the curve stands highest above the chord; from there it falls faster than
            the chord. NaN unless there is a phase change.
        fall_start: Where a tenth of what was left to fall at the chord's start is done, or NaN.
        fall_middle: Half of it.
        fall_end: Nine tenths of it.
    """

    kind: Literal["phase change", "exponential", "no fall"]
    convexity_gap: float
    plateau_end: float = float("nan")
    fall_start: float = float("nan")
    fall_middle: float = float("nan")
    fall_end: float = float("nan")

    @property
    def duration(self) -> float:
        """From a tenth to nine tenths of the phase change's fall; NaN if there is none."""
        return self.fall_end - self.fall_start


def loss_shape(
    x: np.ndarray,
    loss: np.ndarray,
    window: int = 1,
    least_fall: float = 0.0,
) -> LossShape:
    """Decides whether a loss curve has a phase change.

    Args:
        x: Sequences seen, or steps; increasing, evenly spaced or not.
        loss: The loss there.
        window: Points in a running mean, odd; 1 for none. Choose it for the noise (see the module),
            and well under the points in a phase change.
        least_fall: A curve that falls by less from its first value is "no fall".

    Raises:
        ValueError: If x does not increase, the lengths differ, there are fewer than three points,
            the loss is not finite, or the window is even or not positive.
    """
    x, loss = np.asarray(x, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if x.ndim != 1 or x.shape != loss.shape or len(x) < 3:
        raise ValueError(
            f"x and loss must be 1-d, as long, and at least three points; got {x.shape} and "
            f"{loss.shape}"
        )
    if not (np.diff(x) > 0).all():
        raise ValueError("x must increase from point to point")
    if not np.isfinite(loss).all():
        raise ValueError("the loss must be finite: drop the points that are NaN or infinite")
    smooth = of_curves.smooth(loss, window, by="mean")
    fall = float(smooth[0] - smooth.min())
    if fall <= max(least_fall, 0.0):
        return LossShape("no fall", float("nan"))
    lowest = int(np.argmin(smooth))
    x, smooth = x[: lowest + 1], smooth[: lowest + 1]  # a loss that rises later has still fallen
    hull = _lower_convex_hull(x, smooth)
    heights = smooth - np.interp(x, x[hull], smooth[hull])
    # The vertex where the chord under each point starts, and what is left to fall from there.
    chord = hull[np.searchsorted(hull, np.arange(len(x)), side="right") - 1]
    left_to_fall = smooth[chord] - smooth[-1]
    counts = left_to_fall >= LEAST_SHARE * fall
    gaps = np.divide(heights, left_to_fall, out=np.zeros_like(heights), where=counts)
    knee = int(np.argmax(gaps))
    gap = float(gaps[knee])
    plateau = int(chord[knee])
    drop = find_rise(x[plateau:], smooth[plateau:], baseline=float(smooth[plateau]), falling=True)
    if gap < LEAST_GAP or drop is None:
        return LossShape("exponential", gap)
    return LossShape("phase change", gap, float(x[knee]), drop.start, drop.middle, drop.end)


def _lower_convex_hull(
    x: Float64[np.ndarray, " points"], y: Float64[np.ndarray, " points"]
) -> Int64[np.ndarray, " vertices"]:
    """Indices of the points of the curve's lower convex hull, both ends included."""
    hull: list[int] = []
    for point in range(len(x)):
        while len(hull) >= 2 and _lies_above(x, y, hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return np.array(hull, dtype=np.int64)


def _lies_above(x: np.ndarray, y: np.ndarray, left: int, middle: int, right: int) -> bool:
    """Whether the middle point lies on or above the line through the other two."""
    slope_to_middle = (y[middle] - y[left]) * (x[right] - x[left])
    slope_to_right = (y[right] - y[left]) * (x[middle] - x[left])
    return bool(slope_to_middle >= slope_to_right)
