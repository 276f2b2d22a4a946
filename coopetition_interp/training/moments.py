"""Steps of a run at which something is due, worked out as they are asked for."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Set
from itertools import groupby


class Moments(Set[int]):
    """An ordered set of steps (numbers of optimizer steps done), of a run of any length.

    Args:
        listed: Moments in sequences seen, in any order; those after the end are left out.
        every: Further ones at every multiple of this, in sequences seen, from 0; 0 for none.
        n_steps: Steps of the whole run.
        batch_size: Sequences per step. Each moment is rounded up to a whole step.
    """

    def __init__(self, listed: Iterable[int], every: int, n_steps: int, batch_size: int):
        self._every = every
        self._batch_size = batch_size
        self._end = n_steps * batch_size
        within = (moment for moment in listed if moment <= self._end)
        self._listed = sorted({_rounded_up(moment, batch_size) for moment in within})

    @classmethod
    def _from_iterable(cls, it: Iterable[int]) -> set[int]:  # type: ignore[override]
        """What set operations give: a plain set."""
        return set(it)

    def since(self, step: int) -> Iterator[int]:
        """The moments from `step` on, in order."""
        listed = self._listed[bisect_left(self._listed, step) :]
        return (moment for moment, _ in groupby(heapq.merge(listed, self._regular_since(step))))

    def __iter__(self) -> Iterator[int]:
        return self.since(0)

    def __contains__(self, step: object) -> bool:
        if not isinstance(step, int):
            return False
        place = bisect_left(self._listed, step)
        return self._listed[place : place + 1] == [step] or self._is_regular(step)

    def __len__(self) -> int:
        return self._n_regular() + sum(not self._is_regular(step) for step in self._listed)

    def _regular_since(self, step: int) -> Iterator[int]:
        """The multiples of `every`, as steps; several that fall on one step are one."""
        while self._every:
            first = 0 if step <= 0 else (step - 1) * self._batch_size // self._every + 1
            if first * self._every > self._end:
                return
            moment = _rounded_up(first * self._every, self._batch_size)
            yield moment
            step = moment + 1

    def _is_regular(self, step: int) -> bool:
        return next(self._regular_since(step), None) == step

    def _n_regular(self) -> int:
        if not self._every:
            return 0
        multiples = self._end // self._every
        return 1 + min(multiples, _rounded_up(multiples * self._every, self._batch_size))


def _rounded_up(sequences: int, batch_size: int) -> int:
    return -(-sequences // batch_size)
