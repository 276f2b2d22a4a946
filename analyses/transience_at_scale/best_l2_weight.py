"""Which L2 penalty is the best, for Figure 3.8 and for the runs of Figure 3.10."""

from __future__ import annotations

import pandas as pd


def best_weight(icl: pd.DataFrame) -> float | None:
    """The penalty's weight at which in-context learning falls least, of those where it emerges.

    One at which it still rises in some seed has not had time to fall, and is passed over.

    Args:
        icl: ICL's shape in the run of each seed: `weight`, `emerged`, `rising` and `fall`.

    Returns:
        The weight; None where ICL emerges, and has stopped rising, in every seed at none.
    """
    has_fallen = (icl["emerged"] & ~icl["rising"]).groupby(icl["weight"]).all()
    falls = icl.groupby("weight")["fall"].mean()[has_fallen]
    return None if falls.empty else float(falls.idxmin())
