"""A clamp for part of a training run."""

from __future__ import annotations

from dataclasses import dataclass

from coopetition_interp.interventions.clamp import Clamp, check_is_clamp
from coopetition_interp.interventions.fields import shown, whole_number


@dataclass(frozen=True)
class During(Clamp):
    """Holds a clamp for part of a training run, by sequences seen.

    A training step counts as the moment at which it begins: it is clamped if the sequences seen
    before it are at least `start` and fewer than `stop`. Evaluations and checkpoints at a moment
    likewise. On a model that is not in training there is no time: see `active_at`.

    Attributes:
        clamp: What is held.
        start: Sequences seen when it begins to hold.
        stop: Sequences seen when it no longer holds; None for never.
    """

    clamp: Clamp
    start: int | float = 0
    stop: int | float | None = None

    def __post_init__(self) -> None:
        check_is_clamp(self.clamp)
        if isinstance(self.clamp, During):
            raise ValueError("During: the clamp has a time already; give it one start and stop")
        object.__setattr__(self, "start", _moment(self.start, "start"))
        if self.stop is not None:
            object.__setattr__(self, "stop", _moment(self.stop, "stop"))
            if self.stop <= self.start:
                raise ValueError(
                    f"During: stop comes after start; got start={shown(self.start)}, "
                    f"stop={shown(self.stop)}"
                )

    def active_at(self, sequences_seen: int) -> bool:
        """Whether the clamp holds at a moment."""
        return self.start <= sequences_seen and (self.stop is None or sequences_seen < self.stop)


def _moment(value: object, name: str) -> int:
    """A moment in sequences seen; 2e6 is one."""
    moment = whole_number(value)
    if moment is None or moment < 0:
        raise ValueError(
            f"During: {name} is a number of sequences seen, whole and not negative; got "
            f"{shown(value)}"
        )
    return moment
