"""Claims that rest on the main initialisation alone.

The thesis, and this study, train most networks from one initialisation. So most rules here have the
number of one seed: the verdict is "agrees" or "disagrees (one run)" where the runs are at the
published scale, as those of the packed copy are, and "undecided" elsewhere.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from analyses.induction_heads.heads import heads_at_end
from analyses.induction_heads.runs import MAIN_SEED
from coopetition_interp.reporting.measure import Measure
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule, YesNoRule


def of_main(study: Study, measure: Measure) -> pd.DataFrame:
    """A measure's table of the main run."""
    return study.measured(measure, "main", init_seed=MAIN_SEED)


def main_heads(study: Study) -> pd.DataFrame:
    """Strengths of the main run's heads at its end."""
    return of_main(study, heads_at_end)


def number(
    statement: str, value: float, side: Literal["over", "under"], threshold: float
) -> NumberRule:
    """A rule on a number of the main initialisation."""
    return NumberRule(statement, {MAIN_SEED: float(value)}, side, threshold)


def holds(statement: str, value: bool | np.bool_) -> YesNoRule:
    """A rule on something that has to hold in the main initialisation."""
    return YesNoRule(statement, {MAIN_SEED: bool(value)})
