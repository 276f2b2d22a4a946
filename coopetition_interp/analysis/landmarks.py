"""Landmarks of a run: when in-context learning emerges, dominates and gives way (Figure 1b).

All are read off in-context accuracy at the query, whose chance level is 1/2 with two labels in
context. Curves are first smoothed by a centred running median over ``window`` evaluations (3 by
default), fewer towards both ends, where the first and the last stay as they are: one outlier moves
nothing in between, and a monotone curve is not changed at all. Final values are not smoothed.

A curve has left chance where it exceeds it by a margin of 0.05, or of 4 standard errors of the
evaluator's accuracy where that is more (which needs fewer than 1600 sequences); noise about chance
makes no landmark.

- End of the plateau: the last time the training evaluator climbs out of that margin before its
  maximum. It tells when the run learns to use the context at all, by whatever strategy. Earlier
  blips that fall back do not count.
- Peak of a curve: its first highest point, if that exceeds the margin.
- Crossing: the first time after Flip's peak that Flip falls below chance: ICL and CIWL are in
  balance there (annotation 3 of the figure).

Places between two evaluations are interpolated linearly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

from coopetition_interp.analysis.curves import first_crossing, smooth
from coopetition_interp.analysis.evaluator_curve import (
    evaluator_curve,
    rows_of_evaluator,
    score_of,
)

LEAST_MARGIN = 0.05
STANDARD_ERRORS = 4.0


@dataclass(frozen=True)
class Peak:
    """The highest point of a smoothed curve.

    Attributes:
        sequences_seen: Where it is.
        value: The smoothed in-context accuracy there.
        at_end: It is the last evaluation, so the curve may be rising still.
    """

    sequences_seen: float
    value: float
    at_end: bool


@dataclass(frozen=True)
class Landmarks:
    """What happened in a run, places in sequences seen. ``None`` for what did not happen.

    Attributes:
        plateau_end: Where the training evaluator leaves chance; ``None`` if it never does, or had
            by the first evaluation.
        flip_peak: Where in-context learning dominates most; ``None`` if it never dominates.
        crossing: Where Flip falls below chance after its peak.
        icl_peak: Where the ICL evaluator is highest; ``None`` if it never leaves chance.
        final: Last value of every evaluator: in-context accuracy, and for IWL the accuracy over
            all labels; NaN where that was not recorded.
        sequences_seen: Of the last evaluation.
    """

    plateau_end: float | None
    flip_peak: Peak | None
    crossing: float | None
    icl_peak: Peak | None
    final: Mapping[str, float]
    sequences_seen: int


def landmarks(
    metrics: pd.DataFrame,
    *,
    train: str = "train",
    icl: str = "icl",
    flip: str = "flip",
    metric: str = "in_context_accuracy",
    chance: float = 0.5,
    window: int = 3,
) -> Landmarks:
    """Read the landmarks off a run's metrics (measures: see the module).

    Args:
        metrics: A run's metrics, a row per moment and evaluator.
        train: Name of the evaluator of training sequences.
        icl: Name of the ICL evaluator.
        flip: Name of the Flip evaluator.
        metric: The metric that is followed, one with this chance level.
        chance: What a model that ignores exemplars gets: 1 / labels in context.
        window: Evaluations in the running median, odd; 1 for none.

    Raises:
        ValueError: The table is empty, lacks an evaluator or a column, a metric is NaN
            throughout, or the window is even or not positive.
    """
    curves = {
        name: _SmoothCurve.of(metrics, name, metric, chance, window) for name in (train, icl, flip)
    }
    flip_peak = curves[flip].peak()
    return Landmarks(
        plateau_end=curves[train].leaves_chance(),
        flip_peak=flip_peak,
        crossing=curves[flip].falls_below_chance(after=flip_peak) if flip_peak else None,
        icl_peak=curves[icl].peak(),
        final={str(name): _final(metrics, name, metric) for name in metrics["evaluator"].unique()},
        sequences_seen=int(metrics["sequences_seen"].max()),
    )


def landmark_table(
    metrics_by_run: Mapping[str, pd.DataFrame], **options: str | float | int
) -> pd.DataFrame:
    """Landmarks of several runs, one row each.

    Args:
        metrics_by_run: Metrics by the name of the run.
        **options: As ``landmarks`` takes them.

    Returns:
        Columns ``run``, ``plateau_end``, ``flip_peak_at``, ``flip_peak``, ``crossing``,
        ``icl_peak_at``, ``icl_peak``, ``sequences_seen`` and ``final_NAME`` for every evaluator of
        any run; NaN for what did not happen.

    Raises:
        ValueError: As ``landmarks``, naming the run.
    """
    rows = []
    for run, metrics in metrics_by_run.items():
        try:
            found = landmarks(metrics, **options)  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"run {run!r}: {error}") from error
        rows.append(
            {
                "run": run,
                "plateau_end": found.plateau_end,
                "flip_peak_at": found.flip_peak.sequences_seen if found.flip_peak else None,
                "flip_peak": found.flip_peak.value if found.flip_peak else None,
                "crossing": found.crossing,
                "icl_peak_at": found.icl_peak.sequences_seen if found.icl_peak else None,
                "icl_peak": found.icl_peak.value if found.icl_peak else None,
                "sequences_seen": found.sequences_seen,
                **{f"final_{name}": value for name, value in found.final.items()},
            }
        )
    table = pd.DataFrame(rows, columns=None if rows else ["run"])
    numbers = [column for column in table if column not in ("run", "sequences_seen")]
    return table.astype(dict.fromkeys(numbers, np.float64))


@dataclass(frozen=True, eq=False)
class _SmoothCurve:
    x: Float64[np.ndarray, " points"]
    values: Float64[np.ndarray, " points"]
    chance: float
    margin: float

    @classmethod
    def of(
        cls, metrics: pd.DataFrame, evaluator: str, metric: str, chance: float, window: int
    ) -> _SmoothCurve:
        curve = evaluator_curve(metrics, evaluator, metric)
        margin = LEAST_MARGIN
        if "n_sequences" in metrics:
            fewest = rows_of_evaluator(metrics, evaluator)["n_sequences"].min()
            margin = max(margin, STANDARD_ERRORS * math.sqrt(chance * (1 - chance) / fewest))
        return cls(
            x=curve["sequences_seen"].to_numpy(),
            values=smooth(curve["value"].to_numpy(), window),
            chance=chance,
            margin=margin,
        )

    def peak(self) -> Peak | None:
        top = int(np.argmax(self.values))
        if self.values[top] <= self.chance + self.margin:
            return None
        return Peak(float(self.x[top]), float(self.values[top]), top == len(self.x) - 1)

    def leaves_chance(self) -> float | None:
        top = int(np.argmax(self.values))
        mark = self.chance + self.margin
        under = np.flatnonzero(self.values[: top + 1] <= mark)
        if self.values[top] <= mark or len(under) == 0:
            return None
        last = int(under[-1])
        return first_crossing(self.x[last : top + 1], self.values[last : top + 1], mark)

    def falls_below_chance(self, after: Peak) -> float | None:
        later = self.x >= after.sequences_seen
        return first_crossing(self.x[later], self.values[later], self.chance, falling=True)


def _final(metrics: pd.DataFrame, evaluator: str, metric: str) -> float:
    """Not smoothed, and NaN if the last value is: a run that ended badly must show it."""
    last = rows_of_evaluator(metrics, evaluator).iloc[-1]
    return float(last.get(score_of(evaluator, metric), math.nan))
