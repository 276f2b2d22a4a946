"""One run on Gaussian classes.

coopetition-interp sweep analyses/gaussian_bank/runs.py --out runs/gaussian-bank
"""

from __future__ import annotations

from coopetition_interp.sweeps import PlannedRun
from coopetition_interp.tasks.exemplar_label import preset


def plan() -> list[PlannedRun]:
    """The run."""
    about = {"role": "main", "init_seed": 5, "data_seed": 2}
    return [PlannedRun("main", preset("gaussian").replace(n_threads=1), about=about)]
