"""Verdicts on claims, reached by rules that are stated before the runs are looked at.

A number is computed for each seed. Its 95 % t interval of the mean decides:

- reproduced: the whole interval is on the claim's side of the threshold.
- contradicted: the whole interval is on the other side.
- undecided: anything between, or fewer than 3 seeds.
- agrees, or disagrees (one run): a single run at the published scale, by its number alone.
- not testable here: what the claim needs cannot be run.

A yes/no rule is reproduced if it holds in every seed and contradicted if it fails in every seed;
one of most seeds if the 95 % Wilson interval of the share lies above, or below, one half. A seed
of which it cannot be told leaves a rule undecided. A claim of several parts is reproduced if
all are, contradicted if any is, else undecided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import binomtest

from coopetition_interp.analysis.seed_intervals import SeedInterval, seed_interval

Verdict = Literal[
    "reproduced",
    "contradicted",
    "undecided",
    "agrees (one run)",
    "disagrees (one run)",
    "not testable here",
]

LEAST_SEEDS = 3


@dataclass(frozen=True)
class NumberRule:
    """A number of each seed that a claim needs on one side of a threshold.

    Attributes:
        statement: What the number is.
        values: By seed; NaN where a seed has no such number, as when a moment did not come.
        side: Where the claim needs it.
        threshold: Of what.
        claim: Which of its figure's claims it is a part of; empty where there is one.
    """

    statement: str
    values: Mapping[int, float]
    side: Literal["over", "under"]
    threshold: float
    claim: str = ""

    def __post_init__(self) -> None:
        """Refuses what would turn the verdict round.

        Raises:
            ValueError: `side` is neither, or `values` is no mapping.
        """
        _require_one_of("side", self.side, ("over", "under"))
        _require_by_seed("values", self.values)

    @property
    def interval(self) -> SeedInterval | None:
        """Over the seeds that have the number; None if none has."""
        return _interval(self.values)

    @property
    def rule(self) -> str:
        """The rule in words."""
        return f"{self.statement} {'>' if self.side == 'over' else '<'} {self.threshold:g}"

    def verdict(self, single_run: bool = False) -> Verdict:
        """See the module.

        Args:
            single_run: There is one run, at the published scale: its number decides alone.
        """
        interval = self.interval
        if interval is None or interval.n_seeds < len(self.values):
            return "undecided"  # a seed without the number tells neither way
        if single_run and interval.n_seeds == 1:
            return "agrees (one run)" if self.holds_for(interval.mean) else "disagrees (one run)"
        if interval.n_seeds < LEAST_SEEDS:
            return "undecided"
        if self.holds_for(interval.low) and self.holds_for(interval.high):
            return "reproduced"
        other_side = (
            interval.high < self.threshold if self.side == "over" else interval.low > self.threshold
        )
        return "contradicted" if other_side else "undecided"

    def holds_for(self, value: float) -> bool:
        """Whether a number is on the claim's side of the threshold."""
        return value > self.threshold if self.side == "over" else value < self.threshold

    @property
    def found(self) -> str:
        """What was found, in words."""
        return _in_words(self.values)


@dataclass(frozen=True)
class YesNoRule:
    """Something that a claim needs in every seed, or in most.

    Attributes:
        statement: What has to hold.
        holds: Whether it does, by seed; None where that cannot be told.
        of: In how many seeds the claim needs it.
        counted: What stands for a seed in `holds`.
        claim: See `NumberRule`.
        told: What was found, in words, where one number decides for all of `holds` and a count
            would say something else.
    """

    statement: str
    holds: Mapping[int, bool | None]
    of: Literal["every seed", "most seeds"] = "every seed"
    counted: str = "seeds"
    claim: str = ""
    told: str = ""

    def __post_init__(self) -> None:
        """Refuses what would turn the verdict round.

        Raises:
            ValueError: `of` is neither, or `holds` is no mapping to True, False and None.
        """
        _require_one_of("of", self.of, ("every seed", "most seeds"))
        _require_by_seed("holds", self.holds)
        for seed, holds in self.holds.items():
            if holds is not None and not isinstance(holds, bool | np.bool_):
                raise ValueError(
                    f"{self.statement}: holds[{seed}] is {holds!r}: give True, False, or None "
                    "where it cannot be told"
                )

    @property
    def rule(self) -> str:
        """The rule in words."""
        return f"{self.statement}, in {self.of}" if self.of == "most seeds" else self.statement

    @property
    def share(self) -> tuple[float, float]:
        """95 % Wilson interval of the share of seeds in which it holds; 0 to 1 without seeds."""
        told = [holds for holds in self.holds.values() if holds is not None]
        if not told:
            return 0.0, 1.0
        interval = binomtest(sum(told), len(told)).proportion_ci(method="wilson")
        return float(interval.low), float(interval.high)

    def verdict(self, single_run: bool = False) -> Verdict:
        """See the module; arguments as of `NumberRule.verdict`."""
        if single_run and len(self.holds) == 1 and not self._untold:
            return "agrees (one run)" if all(self.holds.values()) else "disagrees (one run)"
        if len(self.holds) < LEAST_SEEDS:
            return "undecided"
        if self._untold:
            return "undecided"
        if self.of == "most seeds":
            low, high = self.share
            return "reproduced" if low > 0.5 else "contradicted" if high < 0.5 else "undecided"
        if all(self.holds.values()):
            return "reproduced"
        return "undecided" if any(self.holds.values()) else "contradicted"

    @property
    def found(self) -> str:
        """What was found, in words."""
        if self.told:
            return self.told
        if not self.holds:
            return f"no {self.counted} yet"
        cannot = f"cannot be told for {_listed(self._untold, self.counted)}"
        if len(self._untold) == len(self.holds):
            return cannot
        holding = [seed for seed, holds in self.holds.items() if holds]
        told = f"in {len(holding)} of {len(self.holds)} {self.counted}"
        if self.of == "most seeds":
            told += " (95% interval of the share {:.2f} to {:.2f})".format(*self.share)
        return f"{told}; {cannot}" if self._untold else told

    @property
    def _untold(self) -> list[int]:
        return [seed for seed, holds in self.holds.items() if holds is None]


Rule = NumberRule | YesNoRule


@dataclass(frozen=True)
class Beside:
    """A number that stands beside a claim's rules and decides nothing.

    Attributes:
        statement: What the number is.
        found: Ours, in words.
    """

    statement: str
    found: str

    @classmethod
    def of_seeds(cls, statement: str, values: Mapping[int, float]) -> Beside:
        """A number of each seed, told as a `NumberRule` tells it.

        Args:
            statement: What the number is.
            values: By seed; NaN where a seed has no such number.
        """
        return cls(statement, _in_words(values))

    @property
    def rule(self) -> str:
        """What stands in a rule's place."""
        return f"{self.statement} (no verdict)"


def verdict_of(rules: Sequence[Rule], single_run: bool = False) -> Verdict:
    """The verdict on a claim of several parts.

    Args:
        rules: Its parts.
        single_run: See `NumberRule.verdict`.

    Raises:
        ValueError: There are none, so nothing is decided.
    """
    if not rules:
        raise ValueError("a claim needs at least one rule")
    verdicts = {rule.verdict(single_run) for rule in rules}
    orders: tuple[Verdict, ...] = ("contradicted", "disagrees (one run)", "undecided")
    for verdict in orders:
        if verdict in verdicts:
            return verdict
    return "agrees (one run)" if "agrees (one run)" in verdicts else "reproduced"


def _interval(values: Mapping[int, float]) -> SeedInterval | None:
    there = [value for value in values.values() if math.isfinite(value)]
    return seed_interval(there) if there else None


def _in_words(values: Mapping[int, float]) -> str:
    if not values:
        return "no seeds yet"
    without = [seed for seed, value in values.items() if not math.isfinite(value)]
    none = f"no value for {_listed(without)}"
    interval = _interval(values)
    if interval is None:
        return none
    return f"{interval}; {none}" if without else str(interval)


def _listed(seeds: Sequence[int], counted: str = "seeds") -> str:
    """Seeds by name, as in "seeds 6, 7"."""
    kind = counted.removesuffix("s") if len(seeds) == 1 else counted
    return f"{kind} {', '.join(map(str, seeds))}"


def _require_one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}; got {value!r}")


def _require_by_seed(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{name} is a mapping from seeds, such as a dict; got {type(value).__name__}"
        )
