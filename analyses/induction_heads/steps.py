"""What Figures 4.6b and 4.8 share: looks of the runs with steps of the circuit clamped."""

from __future__ import annotations

import pandas as pd

from analyses.induction_heads.curves import training_curves
from analyses.induction_heads.heads import strongest_heads
from analyses.induction_heads.main_seed import main_heads
from analyses.induction_heads.runs import MAIN_SEED
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.style import CurveStyle

STYLES = {
    "nothing": CurveStyle("nothing", "#000000"),
    "step-1": CurveStyle("1 (attend to the previous token)", "#ff7f0e"),
    "steps-1-2": CurveStyle("1, 2 (layer 0)", "#d62728"),
    "match": CurveStyle("1, 2, 3qk, 4 (match)", "#2ca02c"),
    "copy": CurveStyle("3v, 5 (copy)", "#1f77b4"),
    "steps-1-2-and-copy": CurveStyle("1, 2, 3v, 5 (layer 0 and copy)", "#9467bd"),
}
"""By the clamped steps, coloured as in the thesis."""


def strongest_alone(study: Study) -> int:
    """The main run's strongest head."""
    return strongest_heads(main_heads(study))[0]


def strongest_alone_curve(study: Study, name: str) -> pd.DataFrame:
    """The curve of the run with the strongest head alone in layer 1."""
    head = strongest_alone(study)
    return training_curves(study, name, "single_head", init_seed=MAIN_SEED, head=head)
