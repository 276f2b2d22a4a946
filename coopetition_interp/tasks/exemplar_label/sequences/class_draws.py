"""Drawing class ranks, uniformly or by weights, with classes excluded exactly."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

_TOTAL_WEIGHT = 2**50
"""Probabilities of weighted ranks are rounded to multiples of its inverse."""


class ClassDraws:
    """A distribution over ranks 0..n_classes-1 that can leave out classes already drawn.

    Each rank owns an interval of whole numbers as long as its weight. A draw is a whole number
    below the total; excluded ranks have their intervals cut out of the line first. So there are no
    rejections and no rounding, and the cost of a draw grows with the logarithm of the number of
    classes (weighted) or not at all (uniform).

    Args:
        n_classes: Number of ranks.
        weights: Of each rank, positive; None is uniform.
    """

    def __init__(self, n_classes: int, weights: Float64[np.ndarray, " n_classes"] | None = None):
        self.n_classes = n_classes
        self._ends: np.ndarray | None = None  # where each rank's interval ends; None: at rank + 1
        if weights is not None:
            whole = np.rint(weights / weights.sum() * _TOTAL_WEIGHT).astype(np.int64)
            self._ends = np.cumsum(np.maximum(whole, 1))

    def draw(
        self,
        rng: np.random.Generator,
        shape: tuple[int, ...],
        excluded: Int64[np.ndarray, "... n_excluded"] | None = None,
    ) -> Int64[np.ndarray, " ..."]:
        """Draws ranks.

        Args:
            rng: Source of randomness.
            shape: Shape of the result.
            excluded: Distinct ranks that each entry must avoid, broadcastable to `shape` but for
                the last axis.

        Returns:
            Ranks of that shape, each following the distribution given that it is not excluded.
        """
        if excluded is None or excluded.shape[-1] == 0:
            return self._rank_at(rng.integers(self._total, size=shape))
        excluded = np.sort(excluded, axis=-1)
        if self._ends is None:  # every interval is as long as the next: the total is one number
            point = rng.integers(self._total - excluded.shape[-1], size=shape)
            for index in range(excluded.shape[-1]):
                point += point >= excluded[..., index]
            return point
        ends = self._ends[excluded]
        weights = ends - np.where(excluded > 0, self._ends[excluded - 1], 0)
        point = rng.integers(self._total - weights.sum(-1), size=shape)
        for index in range(excluded.shape[-1]):
            weight = weights[..., index]
            point += np.where(point >= ends[..., index] - weight, weight, 0)
        return self._rank_at(point)

    def draw_distinct(
        self,
        rng: np.random.Generator,
        n_rows: int,
        n_distinct: int,
        excluded: Int64[np.ndarray, "n_rows n_excluded"],
    ) -> Int64[np.ndarray, "n_rows n_distinct"]:
        """Draws `n_distinct` ranks per row one after the other, without replacement.

        Args:
            rng: Source of randomness.
            n_rows: Number of rows.
            n_distinct: Ranks to draw in each.
            excluded: Distinct ranks that each row must avoid besides.
        """
        taken = excluded
        for _ in range(n_distinct):
            drawn = self.draw(rng, (n_rows,), taken)
            taken = np.concatenate([taken, drawn[:, None]], axis=1)
        return taken[:, excluded.shape[1] :]

    @property
    def _total(self) -> int:
        return self.n_classes if self._ends is None else int(self._ends[-1])

    def _rank_at(self, point: np.ndarray) -> np.ndarray:
        if self._ends is None:
            return point
        return np.searchsorted(self._ends, point, side="right")
