"""Whether the divot of one curve comes with the rise of another, over seeds.

Coopetition paper, section 6: CIWL worsens while ICL forms. One seed can coincide by chance, and a
long rise coincides with anything, so the table also says how far apart the two are, and the summary
how often the divot would coincide with the rise of ANOTHER seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from coopetition_interp.analysis.divot import Divot, divot_coincides_with
from coopetition_interp.analysis.rises import Rise


def divot_table(
    divots: Mapping[int, Divot | None], rises: Mapping[int, Rise | None]
) -> pd.DataFrame:
    """One row per seed: its divot, the other curve's rise, and whether they coincide.

    Args:
        divots: The divot of each seed, ``None`` where there is none.
        rises: The other curve's rise in each of the same seeds.

    Returns:
        Columns ``seed``, ``found``, ``depth``, ``start``, ``peak``, ``end``, ``rise_start``,
        ``rise_middle``, ``rise_end``, ``lag`` (divot's peak minus the middle of the rise; all NaN
        where missing) and ``coincides`` (missing unless the seed has both).

    Raises:
        ValueError: The two name different seeds.
    """
    if set(divots) != set(rises):
        raise ValueError(f"divots of seeds {list(divots)}, but rises of seeds {list(rises)}")
    missing = float("nan")
    rows = []
    for seed, divot in divots.items():
        rise = rises[seed]
        rows.append(
            {
                "seed": seed,
                "found": divot is not None,
                "depth": divot.depth if divot else missing,
                "start": divot.start if divot else missing,
                "peak": divot.peak if divot else missing,
                "end": divot.end if divot else missing,
                "rise_start": rise.start if rise else missing,
                "rise_middle": rise.middle if rise else missing,
                "rise_end": rise.end if rise else missing,
                "lag": divot.peak - rise.middle if divot and rise else missing,
                "coincides": divot_coincides_with(divot, rise) if divot and rise else None,
            }
        )
    return pd.DataFrame(rows).astype({"coincides": "boolean"})


@dataclass(frozen=True)
class Coincidence:
    """How divots and rises go together over the seeds that have both.

    Attributes:
        with_other_seeds: Fraction of pairs of different seeds in which one's divot coincides with
            the other's rise: what to expect of curves that have nothing to do with each other. NaN
            below two seeds.
        median_lag: Median of the divot's peak minus the middle of the rise, in the units of x.
    """

    with_other_seeds: float
    median_lag: float


def coincidence_across_seeds(table: pd.DataFrame) -> Coincidence:
    """Sum up a ``divot_table``."""
    both = table[table["coincides"].notna()]
    climb, rise = both[["start", "peak"]].to_numpy(), both[["rise_start", "rise_end"]].to_numpy()
    meets = (climb[:, None, 0] <= rise[None, :, 1]) & (rise[None, :, 0] <= climb[:, None, 1])
    others = meets[~np.eye(len(both), dtype=bool)]
    return Coincidence(
        with_other_seeds=float(others.mean()) if len(others) else float("nan"),
        median_lag=float(both["lag"].median()),
    )
