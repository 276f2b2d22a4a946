"""A sweep as jobs of submitit: a Slurm cluster's, or processes of this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from coopetition_interp.sweeps.sweep import PlannedRun, run_sweep
from coopetition_interp.training import ConfigError

MINUTES = 24 * 60


def run_sweep_with_submitit(
    plan: Sequence[PlannedRun],
    out: str | Path,
    cluster: Literal["local", "slurm"],
    at_once: int,
    options: Sequence[str] = (),
    progress: bool = True,
) -> pd.DataFrame:
    """`run_sweep` with each run a job; this process stays to watch over them.

    It may be stopped: jobs go on, and started again it leaves alone what is finished, resumes what
    was interrupted, and reports as failed what is still in use by a job.

    Args:
        plan: The runs, each after those it needs.
        out: The sweep's directory; logs of jobs go into its `jobs`. All nodes must see it.
        cluster: "slurm", or "local" for jobs on this machine.
        at_once: How many jobs may be under way at a time.
        options: `name=value` handed to submitit's `update_parameters`, values in JSON or plain
            text, such as "slurm_partition=gpu". `timeout_min` is a day unless given.
        progress: Show a progress bar over runs.

    Returns:
        `sweep_status(plan, out)` at the end.

    Raises:
        ConfigError: The plan or an option is wrong, or there is no Slurm here.
    """
    import submitit  # slow to import, and of no use to who trains a single run

    if at_once < 1:
        raise ConfigError(f"workers must be at least 1; got {at_once}")
    try:
        executor = submitit.AutoExecutor(folder=Path(out) / "jobs", cluster=cluster)
        executor.update_parameters(**{"timeout_min": MINUTES, **_parsed(options)})
    except (RuntimeError, NameError, ValueError, TypeError) as error:
        raise ConfigError(f"submitit refuses cluster {cluster!r} with these options: {error}") from error
    return run_sweep(plan, out, executor, at_once, progress)


def _parsed(options: Sequence[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name:
            raise ConfigError(f"an executor option is NAME=VALUE; got {option!r}")
        try:
            parsed[name] = json.loads(text)
        except json.JSONDecodeError:
            parsed[name] = text
    return parsed
