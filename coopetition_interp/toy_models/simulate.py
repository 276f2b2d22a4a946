"""Plain gradient descent on losses of tensor products, many seeds in one batch.

1. Draw every vector and its target from N(0, 1), per seed from that seed's own generator.
2. Set clamped vectors to their targets.
3. Each step: inner products -> loss and derivatives (closed form) -> one update of all vectors of
   all seeds. A seed whose loss is below ``stop_below`` is frozen there.
4. Only the inner products of each step are kept. They suffice to evaluate any loss, part of a loss
   or progress measure afterwards, at every step, without running again.

Seeds never mix: but for rounding, a seed's trajectory is the same alone or in a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from coopetition_interp.toy_models.tensor_products import Derivatives, Expression, InnerProducts


class DivergedError(ArithmeticError):
    """Gradient descent blew up: the learning rate is too large for these vectors."""


@dataclass(frozen=True)
class Vectors:
    """Named vectors and their targets, padded with zeros to the longest.

    Attributes:
        dims: Name and dimension of each vector, in the order of the vectors axis.
        current: The vectors.
        targets: Their targets, written with a star in the paper.
    """

    dims: Mapping[str, int]
    current: Float64[np.ndarray, "seeds vectors longest"]
    targets: Float64[np.ndarray, "seeds vectors longest"]

    def unpadded(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Per name, the vectors and the targets, each (seeds, dimension)."""
        return {
            name: (self.current[:, place, :dim], self.targets[:, place, :dim])
            for place, (name, dim) in enumerate(self.dims.items())
        }


def draw_vectors(dims: Mapping[str, int], seeds: Sequence[int]) -> Vectors:
    """Draw targets and starting vectors from N(0, 1) (coopetition paper, Appendix D).

    Args:
        dims: Name and dimension of each vector. Per seed the draws are made in this order, the
            target before its vector.
        seeds: One generator each.

    Raises:
        ValueError: No vector, no seed, a seed named twice, or a dimension below 1.
    """
    if not dims:
        raise ValueError("dims names no vector; give each a dimension, as in {'a': 20}")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must be distinct and at least one, got {list(seeds)}")
    for name, dim in dims.items():
        if dim < 1:
            raise ValueError(f"vector {name!r} has dimension {dim}; it must be at least 1")
    current = np.zeros((len(seeds), len(dims), max(dims.values())))
    targets = np.zeros_like(current)
    for row, seed in enumerate(seeds):
        generator = np.random.default_rng(seed)
        for place, dim in enumerate(dims.values()):
            targets[row, place, :dim] = generator.standard_normal(dim)
            current[row, place, :dim] = generator.standard_normal(dim)
    return Vectors(dict(dims), current, targets)


def chain_rule(
    derivatives: Derivatives,
    current: Float64[np.ndarray, "seeds vectors longest"],
    targets: Float64[np.ndarray, "seeds vectors longest"],
) -> Float64[np.ndarray, "seeds vectors longest"]:
    """Derivatives by the vectors, from those by their inner products (see `tensor_products`)."""
    return (
        2.0 * derivatives.by_squared_norms[..., None] * current
        + derivatives.by_overlaps[..., None] * targets
    )


@dataclass(frozen=True)
class Trajectory:
    """What a batched run leaves behind.

    Attributes:
        seeds: The seeds, in the order of the seeds axis.
        products: Inner products before each step and after the last: (steps + 1, seeds, vectors).
        last_steps: Per seed, the number of updates made; less than the steps asked for when the
            seed stopped early. Entries of ``products`` after it repeat the stopped state.
        vectors: The vectors at the end.
    """

    seeds: tuple[int, ...]
    products: InnerProducts
    last_steps: Int64[np.ndarray, " seeds"]
    vectors: Vectors

    def value(self, expression: Expression) -> Float64[np.ndarray, "steps seeds"]:
        """``expression`` at every step of every seed; NaN after a seed's last step."""
        return self.until_last_steps(expression.value(self.products))

    def until_last_steps(
        self, values: Float64[np.ndarray, "steps seeds"]
    ) -> Float64[np.ndarray, "steps seeds"]:
        """``values`` with NaN after each seed's last step."""
        steps = np.arange(len(values))
        return np.where(steps[:, None] <= self.last_steps, values, np.nan)

    def saddle_value(self, expression: Expression) -> Float64[np.ndarray, " seeds"]:
        """``expression`` with all vectors zero: its height on the plateau (thesis, C.4)."""
        return expression.value(self.products.at_zero())

    def table(self, quantities: Mapping[str, Expression], every: int = 1) -> pd.DataFrame:
        """Tidy table of named expressions over the run.

        Args:
            quantities: What to evaluate, by the name it gets in the table.
            every: Keep the steps divisible by this, and each seed's last step.

        Returns:
            Columns ``step`` (updates made), ``seed``, ``quantity``, ``value``.
        """
        return self.table_of_values(
            {name: self.value(expression) for name, expression in quantities.items()}, every
        )

    def table_of_values(
        self, values: Mapping[str, Float64[np.ndarray, "steps seeds"]], every: int = 1
    ) -> pd.DataFrame:
        """As ``table``, for values already computed per step and seed."""
        parts = []
        for name, by_step in values.items():
            for column, seed in enumerate(self.seeds):
                last = int(self.last_steps[column])
                steps = np.union1d(np.arange(0, last + 1, every), [last])
                parts.append(
                    pd.DataFrame(
                        {
                            "step": steps,
                            "seed": seed,
                            "quantity": name,
                            "value": by_step[steps, column],
                        }
                    )
                )
        return pd.concat(parts, ignore_index=True)


def gradient_descent(
    dims: Mapping[str, int],
    loss: Expression,
    seeds: Sequence[int],
    steps: int,
    *,
    learning_rate: float = 1.0,
    clamped: Collection[str] = (),
    stop_below: float | None = None,
) -> Trajectory:
    """Learn the vectors by gradient descent, all seeds at once.

    Args:
        dims: Name and dimension of each vector.
        loss: What is minimised.
        seeds: Seeds of the draws; each is an independent run.
        steps: Most updates to make.
        learning_rate: The paper's is 1.
        clamped: Names of the vectors held at their targets throughout (thesis, Section 4.4.2).
        stop_below: A seed stops once its loss is below this; ``None`` runs all the steps.

    Raises:
        ValueError: Bad dimensions or seeds, negative ``steps``, or a name in ``loss`` or
            ``clamped`` that ``dims`` lacks.
        DivergedError: A loss became infinite or NaN.
    """
    unknown = sorted((set(clamped) | loss.names()) - set(dims))
    if unknown:
        raise ValueError(
            f"no dimension given for vector(s) {', '.join(unknown)}; dims has {', '.join(dims)}"
        )
    if steps < 0:
        raise ValueError(f"steps must not be negative, got {steps}")
    drawn = draw_vectors(dims, seeds)
    held = np.isin(list(dims), list(clamped))
    targets = drawn.targets
    target_squared_norms = np.sum(targets * targets, axis=-1)
    current = np.where(held[:, None], targets, drawn.current)
    rates = np.where(held, 0.0, learning_rate)

    history = np.empty((2, steps + 1, len(seeds), len(dims)))
    last_steps = np.full(len(seeds), steps, dtype=np.int64)
    running = np.ones(len(seeds), dtype=bool)
    recorded = steps + 1
    # An overflow is reported below, with its seed.
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(steps + 1):
            squared_norms, overlaps = history[:, step]
            np.sum(current * current, axis=-1, out=squared_norms)
            np.sum(current * targets, axis=-1, out=overlaps)
            at_step = InnerProducts(drawn.dims, squared_norms, overlaps, target_squared_norms)
            derivatives = loss.differentiate(at_step)
            _refuse_divergence(derivatives.value, seeds, step, learning_rate)
            if stop_below is not None:
                stopping = running & (derivatives.value < stop_below)
                last_steps[stopping] = step
                running &= ~stopping
                if not running.any():
                    recorded = step + 1
                    break
            if step == steps:
                break
            rate = rates * running[:, None]
            current = current - rate[..., None] * chain_rule(derivatives, current, targets)
    products = InnerProducts(
        drawn.dims, history[0, :recorded], history[1, :recorded], target_squared_norms
    )
    return Trajectory(
        tuple(seeds), products, last_steps, Vectors(drawn.dims, current, drawn.targets)
    )


def _refuse_divergence(
    loss: Float64[np.ndarray, " seeds"], seeds: Sequence[int], step: int, learning_rate: float
) -> None:
    if np.isfinite(loss).all():
        return
    diverged = [seed for seed, value in zip(seeds, loss, strict=True) if not np.isfinite(value)]
    raise DivergedError(
        f"the loss of seed(s) {diverged} is no longer finite after {step} steps; use a learning "
        f"rate below {learning_rate} or leave these seeds out"
    )
