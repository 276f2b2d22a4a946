"""A figure of a study with the tables it is drawn from, and a verdict reached by stated checks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import SupportsFloat

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.figures.page import NUMBERS_COLUMNS, FigureEntry, Verdict


@dataclass(frozen=True)
class Check:
    """One thing that has to hold for a claim to be reproduced.

    Attributes:
        rule: What, with its thresholds.
        holds: Whether it does in our runs.
    """

    rule: str
    holds: bool | np.bool_

    def __str__(self) -> str:
        return f"{self.rule}: {'yes' if self.holds else 'NO'}"


@dataclass(frozen=True, eq=False)
class StudyFigure:
    """A figure, its entry on the page, and its tables.

    Attributes:
        entry: What is claimed, the figure, the numbers, and the verdict.
        tables: What is drawn and what the numbers are from, by a word for the file's name; "" for
            the table that is named as the figure is.
    """

    entry: FigureEntry
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def study_figure(
    title: str,
    claim: str,
    figure: go.Figure,
    numbers: Sequence[tuple[str, str, str]],
    checks: Sequence[Check],
    runs: str,
    tables: Mapping[str, pd.DataFrame],
    remark: str = "",
) -> StudyFigure:
    """Puts a figure together: "reproduced" if every check holds, "differs" if one does not.

    Args:
        title: Of the entry on the page.
        claim: What the published work says that the figure shows.
        figure: The figure.
        numbers: Quantity, the published value, ours.
        checks: What the verdict rests on.
        runs: Runs it comes from.
        tables: See `StudyFigure`.
        remark: Said after the checks, such as where we differ and by how much.

    Raises:
        ValueError: There is nothing to check.
    """
    if not checks:
        raise ValueError(f"{title!r} has no checks: a verdict needs at least one")
    verdict: Verdict = "reproduced" if all(check.holds for check in checks) else "differs"
    return StudyFigure(
        FigureEntry(
            title=title,
            claim=claim,
            figure=figure,
            numbers=pd.DataFrame(list(numbers), columns=list(NUMBERS_COLUMNS)),
            verdict=verdict,
            run=runs,
            note=" ".join([_told(checks), remark]).strip(),
        ),
        tables,
    )


def _told(checks: Iterable[Check]) -> str:
    return "Reproduced if all of these hold. " + "; ".join(map(str, checks)) + "."


def percent(share: SupportsFloat, digits: int = 1) -> str:
    """A share as a percentage in words."""
    return f"{100 * float(share):.{digits}f}%"


def thousands(sequences_seen: SupportsFloat) -> str:
    """Sequences seen in words, such as "320k"; "not reached" for NaN."""
    seen = float(sequences_seen)
    return "not reached" if math.isnan(seen) else f"{seen / 1e3:.0f}k"


def rank_correlation(one: pd.Series, other: pd.Series) -> float:
    """Spearman's correlation of two series of the same index."""
    return float(one.rank().corr(other.rank()))
