"""What Figures 3.8, B.3 and B.4 share: runs by the weight of an L2 penalty."""

from __future__ import annotations

import pandas as pd

from analyses.chapters_2_and_3.curves import shapes
from analyses.transience_at_scale.beside_default import beside_default
from coopetition_interp.reporting.study import Study

TOO_HIGH = 1e-4
"""Weights above it are those of Figure B.3."""

NO_IWL = 0.01
"""In-weights learning under it has not come."""


def by_weight(study: Study) -> dict[str, pd.DataFrame]:
    """Metrics by weight, and the shapes of ICL and IWL."""
    curves = beside_default(study, "l2", {"weight": 0.0})
    return {"": curves, "icl": shapes(curves, "weight"), "iwl": shapes(curves, "weight", "iwl")}


def weight_name(weight: float) -> str:
    """A weight in words."""
    return f"weight {weight:g}" if weight else "no penalty"
