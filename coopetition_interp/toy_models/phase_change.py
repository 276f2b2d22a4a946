"""The toy model of a phase change: three vectors learned through their tensor product.

Thesis, section 4.4.2. With nothing clamped the loss rests on a plateau, then
falls at once; with c clamped the plateau is shorter; with b and c clamped the error of a shrinks by
a constant factor per step, a smooth exponential.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from coopetition_interp.toy_models.simulate import Trajectory, gradient_descent
from coopetition_interp.toy_models.tensor_products import Err

PHASE_CHANGE_DIMS = {"a": 20, "b": 20, "c": 20}
PHASE_CHANGE_LOSS = Err("a", "b", "c")
PHASE_CHANGE_CLAMPS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "c": ("c",),
    "b and c": ("b", "c"),
}
"""Names of what is clamped, and the vectors that are held at their targets."""


def simulate_phase_change(
    seeds: Sequence[int] = (1,), clamped: Collection[str] = (), steps: int = 1000
) -> Trajectory:
    """Learn a, b and c at a learning rate of 1, without early stopping.

    Args:
        seeds: Seeds of the draws; the same seed has the same draws under every clamp.
        clamped: Vectors held at their targets.
        steps: Updates to make.

    Raises:
        ValueError: As ``gradient_descent``.
    """
    return gradient_descent(PHASE_CHANGE_DIMS, PHASE_CHANGE_LOSS, seeds, steps, clamped=clamped)
