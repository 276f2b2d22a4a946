"""Landmarks of a run beside those of the coopetition paper's main run (Figure 1b)."""

from __future__ import annotations

import pandas as pd

from coopetition_interp.analysis.landmarks import Landmarks, Peak
from coopetition_interp.reporting.style import sequence_count


def transience_numbers(found: Landmarks) -> pd.DataFrame:
    """Figure 1b in numbers: the paper's, read off its figure, and this run's.

    Places are in sequences seen. The paper's run is of 20M sequences at a learning rate of 1e-5, so
    a shorter run at a higher rate is to be compared in its order of events and its values.

    Args:
        found: Of the run.

    Returns:
        Columns ``quantity``, ``paper``, ``ours``, all text.
    """
    end = sequence_count(found.sequences_seen)
    return pd.DataFrame(
        [
            ("plateau ends", "~3M", _place(found.plateau_end, otherwise="not seen")),
            ("Flip peaks", "~0.71 at ~4.3M", _peak(found.flip_peak)),
            ("Flip falls through 0.5", "~6.4M", _place(found.crossing)),
            ("ICL peaks", "~0.89 at ~8M", _peak(found.icl_peak)),
            ("Flip, end", "<0.05 at 15M", _final(found, "flip", end)),
            ("ICL, end", "~0.6 at 15-20M", _final(found, "icl", end)),
            ("CIWL, end", "0.97 at 20M", _final(found, "ciwl", end)),
        ],
        columns=["quantity", "paper", "ours"],
    )


def _place(place: float | None, otherwise: str = "never") -> str:
    return otherwise if place is None else sequence_count(place)


def _peak(peak: Peak | None) -> str:
    if peak is None:
        return "stays at or below chance"
    rising = " (its end)" if peak.at_end else ""
    return f"{peak.value:.3f} at {sequence_count(peak.sequences_seen)}{rising}"


def _final(found: Landmarks, evaluator: str, end: str) -> str:
    if evaluator not in found.final:
        return "not measured"
    return f"{found.final[evaluator]:.3f} at {end}"
