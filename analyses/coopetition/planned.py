"""One run of the study: from a config alone, or from a checkpoint of another run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coopetition_interp.interventions import GraftOut
from coopetition_interp.sweeps.plan import MakeConfig, PlannedRun
from coopetition_interp.tasks.exemplar_label import ExemplarLabelConfig
from coopetition_interp.training import ConfigError, Run

MAIN_DATA_SEED = 2
AT_THE_END = -1
"""Moment that stands for a run's last checkpoint."""


def run_of(role: str, config: ExemplarLabelConfig, seed: int, **about: Any) -> PlannedRun:
    """A run that needs no other."""
    return PlannedRun(
        run_name(role, seed, config.data_seed, **about),
        of_seed(config, seed),
        about={"role": role, "init_seed": seed, "data_seed": config.data_seed, **about},
    )


def grafted(
    role: str, config: ExemplarLabelConfig, donor: str, moment: int, seed: int
) -> PlannedRun:
    """Block 1 and the unembedding fixed to a checkpoint's (paper, section 5.1)."""

    def make(runs: Mapping[str, Run]) -> ExemplarLabelConfig:
        graft = GraftOut(_checkpoint(runs[donor], moment), layer=0)
        return of_seed(config.replace(clamps=(graft,)), seed)

    return _from_donor(role, make, donor, moment, seed, config.data_seed)


def resumed_from(config: ExemplarLabelConfig, donor: str, moment: int, seed: int) -> PlannedRun:
    """From a checkpoint's weights, with a fresh optimizer (paper, section 5.2)."""

    def make(runs: Mapping[str, Run]) -> ExemplarLabelConfig:
        return of_seed(config.replace(start_from=_checkpoint(runs[donor], moment)), seed)

    return _from_donor("resumed", make, donor, moment, seed, config.data_seed)


def _from_donor(
    role: str, make: MakeConfig, donor: str, moment: int, seed: int, data_seed: int
) -> PlannedRun:
    about = {} if moment == AT_THE_END else {"moment": moment}
    return PlannedRun(
        run_name(role, seed, data_seed, **about),
        make,
        (donor,),
        about={"role": role, "init_seed": seed, "data_seed": data_seed, **about},
    )


def of_seed(config: ExemplarLabelConfig, seed: int) -> ExemplarLabelConfig:
    """The config with this initial seed."""
    return config.replace(model={"init_seed": seed})


def run_name(role: str, seed: int, data_seed: int = MAIN_DATA_SEED, **about: Any) -> str:
    """A directory for the run, such as "init-5/graft/moment-100000"."""
    seeds = f"init-{seed}" if data_seed == MAIN_DATA_SEED else f"init-{seed}-data-{data_seed}"
    details = [f"{name}-{value}".lower().replace("_", "-") for name, value in about.items()]
    return "/".join([seeds, role.replace("_", "-"), *(["-".join(details)] if details else [])])


def _checkpoint(run: Run, moment: int) -> str:
    """File of the checkpoint at a moment, which falls on the end of a step.

    Raises:
        ConfigError: The run kept none there, so that another moment's would be taken for it.
    """
    if moment == AT_THE_END:
        return str(run.checkpoint_path("last").resolve())
    nearest = run.nearest_checkpoint(float(moment))
    if not 0 <= nearest - moment < run.config.batch_size:
        raise ConfigError(
            f"{run.path} has no checkpoint at {moment} sequences seen, the nearest is at {nearest}"
        )
    return str(run.checkpoint_path(nearest).resolve())
