"""When a toy model leaves the plateau around the saddle at zero.

At the saddle all vectors are zero, so the height of the plateau is known exactly: half the mean
squared entry of the target tensor (thesis, Appendix C.4). Leaving it is falling below a fraction
of that height.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

from coopetition_interp.toy_models.simulate import Trajectory
from coopetition_interp.toy_models.tensor_products import Expression


def first_step_where(
    condition: Bool[np.ndarray, "steps seeds"],
) -> Float64[np.ndarray, " seeds"]:
    """First step at which a condition holds, per seed; NaN where it never does."""
    return np.where(condition.any(axis=0), condition.argmax(axis=0), np.nan)


def plateau_end(
    trajectory: Trajectory, expression: Expression, fraction: float = 0.5
) -> Float64[np.ndarray, " seeds"]:
    """First step at which ``expression`` is under ``fraction`` of its value at the saddle.

    Args:
        trajectory: A run.
        expression: An ``Err``, or a loss that is positive when all vectors are zero.
        fraction: Of the height of the plateau.

    Returns:
        Steps (updates made); NaN for a seed that never leaves the plateau.

    Raises:
        ValueError: The expression is zero at the saddle, so there is no plateau to leave.
    """
    height = trajectory.saddle_value(expression)
    if np.any(height <= 0):
        raise ValueError(
            f"{expression!r} is zero when all vectors are zero, so it has no plateau; "
            "pass an Err or a loss that contains one"
        )
    # NaN, after an early stop, compares False.
    return first_step_where(trajectory.value(expression) < fraction * height)
