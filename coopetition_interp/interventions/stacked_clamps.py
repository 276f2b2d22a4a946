"""The clamps of several runs as one, for a model of each run under `torch.vmap`.

Clamps that differ only in numbers to reckon with (`Clamp.numbers`), or `GraftIn` and `GraftOut` in
whose weights they graft, are one clamp with tensors in their place, one entry a run.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coopetition_interp.interventions.binding import BoundClamps
from coopetition_interp.interventions.clamp import Clamp, full_name
from coopetition_interp.interventions.during import During
from coopetition_interp.interventions.grafts import GraftIn, GraftOut


def form_of(clamps: Iterable[Clamp]) -> Hashable:
    """What is equal for clamps that can be stacked: all but their numbers and their donors."""
    return tuple(_form(clamp) for clamp in clamps)


def _form(clamp: Clamp) -> Hashable:
    if isinstance(clamp, During):
        return ("During", clamp.start, clamp.stop, _form(clamp.clamp))
    kind = type(clamp)
    donor = "checkpoint" if isinstance(clamp, GraftIn | GraftOut) else None
    fields = []
    for each in dataclasses.fields(clamp):  # type: ignore[arg-type]
        value = getattr(clamp, each.name)
        free = each.name in clamp.numbers or (each.name == donor and isinstance(value, str))
        fields.append((each.name, "free" if free else repr(value)))
    return (full_name(kind), *fields)


@dataclass(frozen=True, eq=False)
class StackedClamps:
    """Bound clamps of several runs, of one form: see `stack_clamps`.

    Attributes:
        first: Those of the first run.
        donated: Weights that grafts put in place of the models', by name, [run, ...].
        numbers: The clamps' numbers where they differ, by the clamp's place and the field, [run].
    """

    first: BoundClamps
    donated: Mapping[str, Tensor]
    numbers: Mapping[tuple[int, str], Tensor]

    @property
    def tensors(self) -> list[Tensor]:
        """All that differs, each [run, ...]."""
        return [*self.donated.values(), *self.numbers.values()]

    def of_run(self, tensors: Sequence[Tensor]) -> BoundClamps:
        """The clamps of one run, given its share of `tensors`."""
        donated = dict(zip(self.donated, tensors, strict=False))
        clamps = list(self.first.clamps)
        for (place, field), number in zip(self.numbers, tensors[len(donated) :], strict=True):
            changed = copy.copy(clamps[place])
            object.__setattr__(changed, field, number)
            clamps[place] = changed
        return dataclasses.replace(self.first, clamps=tuple(clamps), donated=donated)


def stack_clamps(bound: Sequence[BoundClamps], like: Tensor) -> StackedClamps:
    """Stacks the clamps of several runs.

    Args:
        bound: The clamps of each, of one `form_of`.
        like: A tensor with the device and dtype of the numbers.

    Raises:
        ValueError: They are not of one form, or graft other weights.
    """
    if len({form_of(each.clamps) for each in bound}) > 1:
        raise ValueError("the runs' clamps differ in more than numbers and donors")
    names = [sorted(each.donated) for each in bound]
    if any(other != names[0] for other in names):
        raise ValueError("the runs' grafts replace other weights than each other's")
    donated = {name: torch.stack([each.donated[name] for each in bound]) for name in names[0]}
    numbers = {}
    for place, clamps in enumerate(zip(*(each.clamps for each in bound), strict=True)):
        for field in clamps[0].numbers:
            values = [getattr(clamp, field) for clamp in clamps]
            if len(set(values)) > 1:
                numbers[place, field] = like.new_tensor(values)
    return StackedClamps(bound[0], donated, numbers)
