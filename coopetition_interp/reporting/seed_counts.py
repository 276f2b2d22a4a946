"""Numbers of several seeds in words: in how many something holds, between what a number lies.

A claim of most seeds holds if the 95 % interval of the share lies above one half, one of every seed
if there is no exception.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coopetition_interp.analysis.divots_across_seeds import wilson_interval

SEEDS = 36
"""Seeds over which the toy models' claims are counted: three times the paper's twelve."""


@dataclass(frozen=True)
class Count:
    """In how many seeds something holds.

    Attributes:
        number: Seeds in which it does.
        total: Seeds in which it could.
    """

    number: int
    total: int

    @classmethod
    def where(cls, holds: pd.Series) -> Count:
        """Counts the true values of one truth value per seed."""
        return cls(int(holds.sum()), len(holds))

    @property
    def every(self) -> bool:
        """Whether it holds without exception in at least one seed."""
        return 0 < self.total == self.number

    @property
    def most(self) -> bool:
        """Whether the 95 % interval of its share lies above one half."""
        return wilson_interval(self.number, self.total)[0] > 0.5

    def __str__(self) -> str:
        told = f"{self.number} of {self.total}"
        if self.total < 2:
            return told
        low, high = wilson_interval(self.number, self.total)
        return f"{told} (95% interval {low:.2f} to {high:.2f})"


def step_told(step: float) -> str:
    """A step in words; "not reached" for NaN."""
    return "not reached" if np.isnan(step) else f"{step:.0f}"


def span_told(values: pd.Series, form: str) -> str:
    """Least, greatest and median of a number of each seed, in words.

    Args:
        values: One number per seed.
        form: How each is written, as for `str.format`.
    """
    if values.empty:
        return "no seed"
    low, high, middle = (form.format(v) for v in (values.min(), values.max(), values.median()))
    return f"{low} to {high}, median {middle}"
