"""Progress measures of the toy models: what a checkpoint would do with some vectors perfected.

Unlike a clamp, a progress measure leaves training alone (thesis, section 4.4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Float64

from coopetition_interp.toy_models.simulate import Trajectory
from coopetition_interp.toy_models.tensor_products import Expression


def loss_with_targets(
    trajectory: Trajectory, expression: Expression, names: Sequence[str]
) -> Float64[np.ndarray, "steps seeds"]:
    """``expression`` at every step with the named vectors set to their targets.

    A solution is fixed only up to signs, (a, b, c) being as good as (-a, -b, c), so every named
    vector is tried as plus and as minus its target and the lowest value counts (thesis, footnote
    18 of Section 4.4.3).

    Args:
        trajectory: A run; it is not changed.
        expression: The loss, or part of it.
        names: Vectors to perfect.

    Raises:
        ValueError: An unknown name.
    """
    choices = []
    for signs in product((1, -1), repeat=len(names)):
        products = trajectory.products
        for name, sign in zip(names, signs, strict=True):
            products = products.at_target(name, sign)
        choices.append(expression.value(products))
    return trajectory.until_last_steps(np.minimum.reduce(choices))


def loss_with_final(
    trajectory: Trajectory, expression: Expression, names: Sequence[str]
) -> Float64[np.ndarray, "steps seeds"]:
    """``expression`` at every step with the named vectors set to their values at the end.

    Unlike with targets, the last value is the loss at the end of training: a solution is fixed only
    up to scale, so a need not have its target's length, and then fits b and c as trained but not
    their targets.

    Args:
        trajectory: A run; it is not changed.
        expression: The loss, or part of it.
        names: Vectors to take from the end of the run.

    Raises:
        ValueError: An unknown name.
    """
    products = trajectory.products
    for name in names:
        place = products.index(name)
        products = products.with_vector(
            name,
            trajectory.products.squared_norms[-1, :, place],
            trajectory.products.overlaps[-1, :, place],
        )
    return trajectory.until_last_steps(expression.value(products))


def squared_cosine(trajectory: Trajectory, name: str) -> Float64[np.ndarray, "steps seeds"]:
    """Squared cosine between a vector and its target at every step; NaN for a zero vector.

    Raises:
        ValueError: An unknown name.
    """
    products = trajectory.products
    place = products.index(name)
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = products.overlaps[..., place] ** 2 / (
            products.squared_norms[..., place] * products.target_squared_norms[..., place]
        )
    return trajectory.until_last_steps(squared)
