"""The moments of a transient strategy, found on a run's metrics: rise, peak, crossing, end.

- rise: the ICL evaluator is at 0.65 or above, and stays for 3 evaluations.
- peak: Flip's highest evaluation from the rise on.
- crossing: after the peak, Flip falls through 0.5 and stays below for 3 evaluations; interpolated
  linearly between the last evaluation above and the first below.
- end: three times the crossing.

Nothing is smoothed. A curve that ends before it has stayed has no such moment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coopetition_interp.analysis.curves import first_crossing, first_to_stay
from coopetition_interp.analysis.evaluator_curve import CHANCE, evaluator_curve, score_of

RISEN = 0.65
EVALUATIONS_TO_STAY = 3
END_IN_CROSSINGS = 3.0


@dataclass(frozen=True)
class Moments:
    """When a strategy rose, peaked, was balanced and is over, in sequences seen.

    Attributes:
        rise: First of the evaluations at which ICL has risen.
        peak: Evaluation at which Flip is highest.
        crossing: Where Flip falls through 1/2.
        end: Three times the crossing; the run need not be so long.
    """

    rise: float | None = None
    peak: float | None = None
    crossing: float | None = None
    end: float | None = None


def moments_of(metrics: pd.DataFrame) -> Moments:
    """The moments of a run (see the module).

    Args:
        metrics: A run's metrics, a row per moment and evaluator, "icl" and "flip" among them.

    Returns:
        The moments; None for those that did not come.

    Raises:
        ValueError: The table is empty, or lacks an evaluator or its in-context accuracy.
    """
    of_icl, of_flip = evaluator_curve(metrics, "icl"), evaluator_curve(metrics, "flip")
    risen = first_to_stay(of_icl["value"].to_numpy() >= RISEN, EVALUATIONS_TO_STAY)
    if risen is None:
        return Moments()
    rise = float(of_icl["sequences_seen"].iloc[risen])
    later = of_flip[of_flip["sequences_seen"] >= rise]
    if later.empty:
        return Moments(rise)
    places, values = later["sequences_seen"].to_numpy(), later["value"].to_numpy()
    top = int(values.argmax())
    crossing = first_crossing(
        places[top:], values[top:], CHANCE, falling=True, stays=EVALUATIONS_TO_STAY
    )
    end = None if crossing is None else END_IN_CROSSINGS * crossing
    return Moments(rise, float(places[top]), crossing, end)


def value_at(metrics: pd.DataFrame, evaluator: str, moment: float | None) -> float | None:
    """In-context accuracy of an evaluator at the evaluation nearest to a moment.

    Args:
        metrics: A run's metrics.
        evaluator: Whose; of IWL, whose right label is not in context, it is "accuracy".
        moment: In sequences seen; None for one that did not come.

    Returns:
        The value; None if the moment did not come, or lies beyond the run's last evaluation by
        more than one interval between evaluations: another moment's value is never taken for it.

    Raises:
        ValueError: As `evaluator_curve`.
    """
    curve = evaluator_curve(metrics, evaluator, score_of(evaluator))
    places = curve["sequences_seen"].to_numpy()
    interval = float(np.diff(places).max()) if len(places) > 1 else 0.0
    if moment is None or moment > places[-1] + interval:
        return None
    return float(curve["value"].iloc[int(np.abs(places - moment).argmin())])


def first_reaching(metrics: pd.DataFrame, evaluator: str, level: float) -> float | None:
    """Sequences seen when an evaluator's in-context accuracy reaches a level and stays there.

    Staying is being at the level or above for 3 evaluations in a row; the first of them is given.

    Raises:
        ValueError: As `evaluator_curve`.
    """
    curve = evaluator_curve(metrics, evaluator)
    place = first_to_stay(curve["value"].to_numpy() >= level, EVALUATIONS_TO_STAY)
    return None if place is None else float(curve["sequences_seen"].iloc[place])
