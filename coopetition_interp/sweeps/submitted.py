"""A sweep as jobs of submitit: a Slurm cluster's, or processes of this machine."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import psutil

from coopetition_interp.interruption import Interrupted, interruptible
from coopetition_interp.one_line import one_line
from coopetition_interp.sweeps.executor import Job
from coopetition_interp.sweeps.plan import PlannedRun, listed
from coopetition_interp.sweeps.sendable import require_sendable_plan
from coopetition_interp.sweeps.sent_call import SentCall
from coopetition_interp.sweeps.sweep import SECONDS_BETWEEN_LOOKS, run_sweep
from coopetition_interp.training import ConfigError, RunError

MINUTES = 24 * 60
MAX_TIMEOUTS = 100
"""How often a run that is not finished when its time is up goes back into the queue."""

LOGS = "jobs"
"""Folder of submitit's logs in a sweep's directory."""


def run_sweep_with_submitit(
    plan: Iterable[PlannedRun],
    out: str | Path,
    cluster: Literal["local", "slurm"],
    at_once: int,
    options: Sequence[str] = (),
    progress: bool = True,
    grouping: bool = True,
) -> pd.DataFrame:
    """`run_sweep` with each run a job, named after it; this process stays to watch over them.

    A job that is preempted, or whose time is up, saves its run, goes back into the queue and is
    resumed there. This process may be stopped: jobs of a cluster go on, and started again it leaves
    alone what is finished, waits for what is running, and resumes what was interrupted. Jobs on
    this machine are interrupted with it, and waited for until they have saved.

    Args:
        plan: The runs, each after those it needs.
        out: The sweep's directory; logs of jobs go into its `jobs`. All nodes must see it, and its
            file system must know locks (NFS and Lustre do if mounted so).
        cluster: "slurm", or "local" for jobs on this machine.
        at_once: How many jobs may be submitted and not ended at a time.
        options: `name=value` handed to submitit's `update_parameters`, values in JSON or plain
            text, such as "slurm_partition=gpu" or "gpus_per_node=1". `timeout_min` is a day unless
            given.
        progress: Show a progress bar over runs.
        grouping: As for `run_sweep`.

    Returns:
        `sweep_status(plan, out)` at the end, with what went wrong in its `message`.

    Raises:
        ConfigError: The plan or an option is wrong, a config is of a class that no process can
            import (see `run_sweep_locally`), or there is no Slurm here.
        KeyboardInterrupt: A signal ended it.
    """
    try:
        import submitit  # slow to import, and of no use to who trains a single run
    except ImportError as error:
        raise ConfigError(
            "jobs are submitted by submitit: pip install 'coopetition-interp[cluster]'"
        ) from error

    plan = listed(plan)
    require_sendable_plan(plan)
    parameters = {"timeout_min": MINUTES, **_parsed(options)}
    try:
        executor = submitit.AutoExecutor(
            folder=Path(out) / LOGS,
            cluster=cluster,
            **{f"{cluster}_max_num_timeout": MAX_TIMEOUTS},
        )
        executor.update_parameters(**parameters)
    except (RuntimeError, NameError, ValueError, TypeError, AssertionError) as error:
        raise ConfigError(
            f"submitit refuses the executor {cluster} with {_listed(parameters)}: {one_line(error)}"
        ) from error
    named = {"name", "slurm_job_name"} & parameters.keys()
    jobs = _SubmititJobs(executor, name_jobs=not named)
    try:
        return run_sweep(plan, out, jobs, at_once, progress, grouping)
    except KeyboardInterrupt:
        if cluster == "local":
            jobs.interrupt()
        raise


class _SubmititJobs:
    """submitit's executor as `run_sweep` wants it: jobs named after their runs, and resumable."""

    def __init__(self, executor: Any, name_jobs: bool):
        self._executor = executor
        self._name_jobs = name_jobs
        self._job_ids: list[str] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Job:
        config = arguments[0]
        if self._name_jobs:
            self._executor.update_parameters(name=config.name.replace("/", "."))
        job = self._executor.submit(ResumableCall(), SentCall.of(function, *arguments))
        self._job_ids.append(job.job_id)
        return _SubmititJob(job)

    def interrupt(self) -> None:
        """Asks the jobs on this machine to save and end, and waits until they have.

        Each is two processes: submitit's controller, whose id is the job's, ends by itself after
        the one that does the work; told to end, it would give that one a second.
        """
        asked: set[int] = set()
        while controllers := [c for c in psutil.Process().children() if self._is_job(c)]:
            for controller in controllers:
                with suppress(psutil.NoSuchProcess):
                    for worker in controller.children():
                        if worker.pid not in asked:
                            asked.add(worker.pid)
                            worker.terminate()
            psutil.wait_procs(controllers, timeout=SECONDS_BETWEEN_LOOKS)

    def _is_job(self, process: psutil.Process) -> bool:
        """Whether a child of this process is the controller of a job that has not ended."""
        with suppress(psutil.NoSuchProcess):
            running = process.status() != psutil.STATUS_ZOMBIE
            return running and str(process.pid) in self._job_ids
        return False


class ResumableCall:
    """Calls a function that goes on where it was when called again.

    submitit asks for its `checkpoint` when a job is preempted or its time is up, and puts that in
    the queue; what is trained is saved before.
    """

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls it."""
        from submitit import JobEnvironment

        time_is_up = JobEnvironment._usr_sig()
        puts_back = signal.getsignal(time_is_up)
        of_submitit = signal.getsignal(signal.SIGTERM)
        try:
            with interruptible(also=[time_is_up] if callable(puts_back) else []):
                if os.environ.get("SUBMITIT_EXECUTOR") != "local":
                    # A cluster's SIGTERM may come with the other signal, and must not go before it.
                    signal.signal(signal.SIGTERM, of_submitit)
                return function(*arguments)
        except Interrupted as error:
            if error.signum == time_is_up and callable(puts_back):
                puts_back(time_is_up, None)
            raise

    def checkpoint(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The same call once more, as submitit's `DelayedSubmission`."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, function, *arguments)


class _SubmititJob:
    """A job whose end without a result is told in one line."""

    def __init__(self, job: Any):
        self._job = job

    def done(self) -> bool:
        return self._job.done()

    def result(self) -> Any:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            return self._job.result()
        except (FailedJobError, UncompletedJobError) as error:
            raise RunError(
                f"job {self._job.job_id} ended before the run was finished: see "
                f"{self._job.paths.stderr}"
            ) from error


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


def _listed(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())
