"""Sweeps: many runs planned as data, done on this machine or a cluster."""

from coopetition_interp.sweeps.plan import PlannedRun, only_named
from coopetition_interp.sweeps.submitted import run_sweep_with_submitit
from coopetition_interp.sweeps.sweep import run_sweep, run_sweep_locally, sweep_status

__all__ = [
    "PlannedRun",
    "only_named",
    "run_sweep",
    "run_sweep_locally",
    "run_sweep_with_submitit",
    "sweep_status",
]
