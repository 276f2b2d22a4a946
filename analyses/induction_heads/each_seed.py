"""Claims about single networks, judged in every initialisation: each by its own runs and heads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from coopetition_interp.reporting.figure_file import Tables
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.verdicts import NumberRule, Rule, YesNoRule

NO_SEED = (
    "no seed has all the finished runs that this needs: make them by `coopetition-interp sweep`"
)


@dataclass(frozen=True)
class Number:
    """A seed's part of a `NumberRule`; attributes as there."""

    statement: str
    value: float
    side: Literal["over", "under"]
    threshold: float


@dataclass(frozen=True)
class Holds:
    """A seed's part of a `YesNoRule`.

    Attributes:
        statement: What has to hold.
        value: Whether it does.
    """

    statement: str
    value: bool | np.bool_


def of_shared_seeds(tables: Tables) -> dict[str, pd.DataFrame]:
    """A figure's tables without the seeds that one of them lacks.

    Raises:
        StudyError: There is no seed in all of them.
    """
    shared = set.intersection(*(set(table["init_seed"]) for table in tables.values()))
    if not shared:
        raise StudyError(NO_SEED)
    return {name: table[table["init_seed"].isin(shared)] for name, table in tables.items()}


def each_seed(tables: Tables) -> dict[int, Tables]:
    """A figure's tables by seed."""
    seeds = sorted(next(iter(tables.values()))["init_seed"].unique())
    return {
        int(seed): {name: table[table["init_seed"] == seed] for name, table in tables.items()}
        for seed in seeds
    }


def judged(tables: Tables, of_seed: Callable[[Tables], Sequence[Number | Holds]]) -> list[Rule]:
    """The rules of a figure.

    Args:
        tables: The figure's.
        of_seed: From one seed's tables to its part of each rule.
    """
    found = {seed: of_seed(of) for seed, of in each_seed(tables).items()}
    return [
        _rule(dict(zip(found, parts, strict=True))) for parts in zip(*found.values(), strict=True)
    ]


def _rule(parts: Mapping[int, Number | Holds]) -> Rule:
    first = next(iter(parts.values()))
    if isinstance(first, Holds):
        return YesNoRule(first.statement, {seed: bool(part.value) for seed, part in parts.items()})
    values = {seed: float(part.value) for seed, part in parts.items()}
    return NumberRule(first.statement, values, first.side, first.threshold)


Form = Callable[[float], str]


def told(tables: Tables, value: Callable[[Tables], float], form: Form) -> str:
    """The mean and range of a number of each seed, in words.

    Args:
        tables: A figure's.
        value: From one seed's tables.
        form: A number in words.
    """
    return mean_and_range([value(of) for of in each_seed(tables).values()], form)


def mean_and_range(values: Iterable[float], form: Form) -> str:
    """As in "0.98 (0.96 to 0.99)", of those that are numbers; then how many are not."""
    numbers = np.array(list(values), dtype=np.float64)
    there = numbers[np.isfinite(numbers)]
    if len(there) == 0:
        return form(math.nan)
    found = form(there.mean())
    if len(there) > 1:
        found += f" ({form(there.min())} to {form(there.max())})"
    missing = len(numbers) - len(there)
    return f"{found}; {form(math.nan)} in {missing} of {len(numbers)} seeds" if missing else found


def seed_by_seed(tables: Tables, words: Callable[[Tables], str]) -> str:
    """Something of each seed in words, as in "seed 5: head 3; seed 6: head 1"."""
    return "; ".join(f"seed {seed}: {words(of)}" for seed, of in each_seed(tables).items())
