"""Training in phases: between the moments at which clamps begin or cease to hold.

A recorded training step holds its clamps for good, so each phase has its own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from transformer_lens import HookedRootModule

from coopetition_interp.interventions.binding import BoundClamps, Clamps, bind, require_list
from coopetition_interp.interventions.clamp import Clamp
from coopetition_interp.interventions.during import During
from coopetition_interp.interventions.fields import shown

Made = TypeVar("Made")


class Phase(NamedTuple):
    """A stretch of training with the same clamps throughout, by sequences seen.

    Attributes:
        start: Where it begins.
        stop: Where the next one does; None for the last.
        clamps: What is held, without times.
    """

    start: int
    stop: int | None
    clamps: tuple[Clamp, ...]


def active_at(clamps: Iterable[Clamp], sequences_seen: int) -> tuple[Clamp, ...]:
    """The clamps that hold at a moment of training, without times, in their order.

    Args:
        clamps: Clamps, some of them perhaps `During`; those that are not hold always.
        sequences_seen: The moment.

    Raises:
        TypeError: One clamp is given, not in a list.
    """
    require_list(clamps)
    return tuple(
        clamp.clamp if isinstance(clamp, During) else clamp
        for clamp in clamps
        if not isinstance(clamp, During) or clamp.active_at(sequences_seen)
    )


def phases(clamps: Iterable[Clamp]) -> list[Phase]:
    """The phases of training under clamps, in order; one if none has a time.

    Raises:
        TypeError: See `active_at`.
    """
    require_list(clamps)
    clamps = tuple(clamps)
    timed = [clamp for clamp in clamps if isinstance(clamp, During)]
    moments = {0, *(int(clamp.start) for clamp in timed)}
    moments |= {int(clamp.stop) for clamp in timed if clamp.stop is not None}
    starts = sorted(moments)
    return [
        Phase(start, stop, active_at(clamps, start))
        for start, stop in zip(starts, [*starts[1:], None], strict=True)
    ]


@dataclass(frozen=True, eq=False)
class PhasedClamps:
    """The clamps of each phase, bound: see `bind_phases`.

    Attributes:
        starts: Where each phase begins, in sequences seen; the first at 0.
        bound: The clamps of each.
    """

    starts: tuple[int, ...]
    bound: tuple[BoundClamps, ...]

    def phase_at(self, sequences_seen: int) -> int:
        """Number of the phase of a moment."""
        return bisect_right(self.starts, sequences_seen) - 1

    def at(self, sequences_seen: int) -> BoundClamps:
        """The clamps that hold at a moment."""
        return self.bound[self.phase_at(sequences_seen)]


def bind_phases(
    clamps: Clamps,
    model: HookedRootModule,
    moments: Sequence[int] | None = None,
) -> PhasedClamps:
    """Binds the clamps of every phase, so that what `bind` finds wrong shows before training.

    Clamps that are never held together may contradict each other.

    Args:
        clamps: The clamps, some of them perhaps `During`. Bound ones have no time: one phase.
        model: The model to train.
        moments: Sequences seen at each moment at which they are held, such as each training step's
            beginning; increasing.

    Raises:
        TypeError: See `bind`.
        ValueError: See `bind`; also if a clamp would hold at none of the moments.
        FileNotFoundError: See `bind`.
    """
    if isinstance(clamps, BoundClamps):
        starts, bound = [0], [bind(clamps, model)]
    else:
        require_list(clamps)
        clamps = tuple(clamps)
        if moments:
            check_each_is_held(clamps, moments)
        stretches = phases(clamps)
        starts = [phase.start for phase in stretches]
        bound = [bind(phase.clamps, model) for phase in stretches]
    return PhasedClamps(tuple(starts), tuple(bound))


class ByPhase(Generic[Made]):
    """One thing for each phase, such as a recorded training step, made when it is first needed.

    Args:
        clamps: The clamps, bound phase by phase.
        make: Makes the thing for a phase's clamps.
    """

    def __init__(self, clamps: PhasedClamps, make: Callable[[BoundClamps], Made]):
        self._clamps = clamps
        self._make = make
        self._made: dict[int, Made] = {}

    def at(self, sequences_seen: int) -> Made:
        """The thing of the phase that a moment is in."""
        phase = self._clamps.phase_at(sequences_seen)
        if phase not in self._made:
            self._made[phase] = self._make(self._clamps.bound[phase])
        return self._made[phase]


def check_each_is_held(clamps: Sequence[Clamp], moments: Sequence[int]) -> None:
    """Refuses a clamp whose time has no moment in it.

    Raises:
        ValueError: Naming it.
    """
    for clamp in clamps:
        if not isinstance(clamp, During):
            continue
        first = bisect_left(moments, clamp.start)
        if first == len(moments) or not clamp.active_at(moments[first]):
            which = [*map(str, moments[:2]), *([f"... {moments[-1]}"] if len(moments) > 2 else [])]
            raise ValueError(
                f"{shown(clamp)} would never be held: the moments here are at {', '.join(which)} "
                "sequences seen"
            )
