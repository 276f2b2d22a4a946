"""The shape of a curve that rises and may fall: its height, onset, fall and slope.

A curve of accuracy, such as that of in-context learning, is first smoothed by a running median of 3
evaluations, fewer towards both ends. Then

- height: its highest value; the peak is where it is first reached.
- emerged: the height is 0.55 or more, chance being 1/2.
- onset: where it is first at 0.5 + 0.9 (height - 0.5).
- fall: the height less the mean of the last tenth of the run.
- slope: of the least-squares line from the peak to the end, per million sequences.
- rising: its peak lies in the last tenth, whose mean is over that of as many evaluations before it
  by more than 0.01, about what noise of 2,000 sequences makes of such a mean.
- transient: it emerged, and the fall is 0.05 or more; a curve that is still rising cannot tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

from coopetition_interp.analysis.curves import smooth
from coopetition_interp.analysis.evaluator_curve import CHANCE, evaluator_curve, score_of

EMERGED = 0.55
RISEN = 0.9
FALLEN = 0.05
WINDOW = 3
LAST_PART = 0.1
STILL_RISEN = 0.01


@dataclass(frozen=True)
class CurveShape:
    """Height, onset, fall and slope of a curve: see the module. Places are in sequences seen.

    Attributes:
        height: Highest value.
        peak: Where it is.
        onset: Where the rise is nine tenths done; NaN if it did not emerge.
        fall: From the height to the end.
        slope: After the peak, per million sequences; NaN if the peak is the end.
        rising: Whether it still rises at its end, so that its peak may be yet to come.
    """

    height: float
    peak: float
    onset: float
    fall: float
    slope: float
    rising: bool

    @property
    def emerged(self) -> bool:
        """Whether it left chance at all."""
        return self.height >= EMERGED

    @property
    def transient(self) -> bool | None:
        """Whether it emerged and fell; None if it emerged and is still rising."""
        if self.emerged and self.rising:
            return None
        return self.emerged and self.fall >= FALLEN


def curve_shape(
    sequences_seen: Float64[np.ndarray, " points"], values: Float64[np.ndarray, " points"]
) -> CurveShape:
    """The shape of a curve.

    Args:
        sequences_seen: Where it was measured, increasing.
        values: What was.

    Raises:
        ValueError: There are no points, or a value is not finite.
    """
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("a curve's shape needs finite values, one at least")
    smoothed = smooth(values, WINDOW)
    top = int(smoothed.argmax())
    height = float(smoothed[top])
    risen = smoothed >= CHANCE + RISEN * (height - CHANCE)
    after, later = sequences_seen[top:] / 1e6, smoothed[top:]
    slope = np.polyfit(after, later, 1)[0] if len(after) > 1 else math.nan
    end = _window(sequences_seen, 1 - LAST_PART, 1.0)
    last, before = smoothed[end], smoothed[~end][-int(end.sum()) :]
    rises = len(before) > 0 and last.mean() - before.mean() > STILL_RISEN
    return CurveShape(
        height=height,
        peak=float(sequences_seen[top]),
        onset=float(sequences_seen[risen.argmax()]) if height >= EMERGED else math.nan,
        fall=height - float(last.mean()),
        slope=float(slope),
        rising=bool(end[top] and rises),
    )


def shape_of(
    metrics: pd.DataFrame, evaluator: str = "icl", metric: str = "in_context_accuracy"
) -> CurveShape:
    """The shape of an evaluator's curve in a run's metrics.

    Raises:
        ValueError: As `evaluator_curve`.
    """
    curve = _curve(metrics, evaluator, metric)
    return curve_shape(curve["sequences_seen"].to_numpy(), curve["value"].to_numpy())


def window_mean(
    metrics: pd.DataFrame,
    evaluator: str,
    metric: str = "in_context_accuracy",
    start: float = 0.8,
    stop: float = 1.0,
) -> float:
    """Mean of an evaluator's metric over a part of the run, by default its last fifth.

    Args:
        metrics: A run's metrics.
        evaluator: Whose.
        metric: Which; of IWL it is "accuracy" where in-context accuracy is asked for.
        start: Where the part begins, as a share of the run's length.
        stop: Where it ends.

    Raises:
        ValueError: As `evaluator_curve`; also if no evaluation lies in the part.
    """
    curve = _curve(metrics, evaluator, metric)
    inside = _window(curve["sequences_seen"].to_numpy(), start, stop)
    if not inside.any():
        raise ValueError(f"no evaluation lies between {start:.0%} and {stop:.0%} of the run")
    return float(curve["value"].to_numpy()[inside].mean())


def _curve(metrics: pd.DataFrame, evaluator: str, metric: str) -> pd.DataFrame:
    chosen = score_of(evaluator, metric) if metric == "in_context_accuracy" else metric
    return evaluator_curve(metrics, evaluator, chosen)


def _window(places: np.ndarray, start: float, stop: float) -> np.ndarray:
    return (places >= start * places[-1]) & (places <= stop * places[-1])
