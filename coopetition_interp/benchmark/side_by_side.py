"""Times of contenders that take turns, and the ratios of them.

Machines are shared and their speed drifts, so no time means much alone. Each measurement goes
round all its contenders in turn, several times; a ratio is the median of the ratios of a round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import torch

from coopetition_interp.training.freed_memory import keep_freed_memory


class Row(NamedTuple):
    """One number of the benchmark.

    Attributes:
        part: Of which part.
        what: What was measured.
        value: How much.
        unit: Of what: "ms", "x" (times), ...
    """

    part: str
    what: str
    value: float
    unit: str


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        rounds: Turns of each contender.
        seconds_per_turn: About how long one lasts; at least one call.
    """

    rounds: int
    seconds_per_turn: float


@dataclass(frozen=True)
class Times:
    """What was measured of contenders.

    Attributes:
        seconds: Per call, or per step of one model where a call takes several (see
            `side_by_side`); one entry per round, by contender.
    """

    seconds: Mapping[str, list[float]]

    def ratio(self, name: str, base: str) -> float:
        """Median over rounds of the time of `name` in times of `base`."""
        pairs = zip(self.seconds[name], self.seconds[base], strict=True)
        return statistics.median(one / other for one, other in pairs)

    def rows(self, part: str) -> list[Row]:
        """Median milliseconds of each contender."""
        return [
            Row(part, name, 1e3 * statistics.median(times), "ms")
            for name, times in self.seconds.items()
        ]


def side_by_side(contenders: Mapping[str, Callable[[], object]], effort: Effort) -> Times:
    """Times contenders, which take turns in every round; the first two calls are not counted.

    A contender that has `steps_per_call`, the steps of all the models that a call trains, is timed
    per step of one model.
    """
    keep_freed_memory()
    calls = {}
    for name, call in contenders.items():
        _seconds(call, 1)
        calls[name] = max(1, round(effort.seconds_per_turn / _seconds(call, 1)))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(effort.rounds):
        for name, call in contenders.items():
            n_steps = calls[name] * getattr(call, "steps_per_call", 1)
            seconds[name].append(_seconds(call, calls[name]) / n_steps)
    return Times(seconds)


def _seconds(call: Callable[[], object], times: int) -> float:
    """How long so many calls take, until a GPU has done them too."""
    start = perf_counter()
    for _ in range(times):
        call()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return perf_counter() - start
