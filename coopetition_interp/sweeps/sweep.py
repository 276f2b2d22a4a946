"""A sweep as data: named runs, what each waits for, and an engine that gets them all done.

A sweep lives in one directory with a run directory for each name, so its state is simply what is
there: finished runs are skipped, interrupted ones resumed, failed ones tried again when the sweep
is started again.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
from tqdm.auto import tqdm

from coopetition_interp.training import (
    ConfigError,
    Run,
    RunConfig,
    RunError,
    load_run,
    resume,
    train,
)
from coopetition_interp.training.run_directory import RunDirectory

SECONDS_BETWEEN_LOOKS = 0.5

MakeConfig = Callable[[Mapping[str, Run]], RunConfig]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        name: Its directory in the sweep's; may hold slashes.
        config: The run's config, or a function that makes it from the runs it waits for (by name,
            finished), such as one that grafts from the checkpoint at a landmark.
        needs: Names of the runs it waits for.
    """

    name: str
    config: RunConfig | MakeConfig
    needs: tuple[str, ...] = ()

    def resolve(self, runs: Mapping[str, Run]) -> RunConfig:
        """The config, given the runs it waits for."""
        config = self.config if isinstance(self.config, RunConfig) else self.config(runs)
        return config.replace(name=self.name)


@runtime_checkable
class Job(Protocol):
    """A submitted piece of work, as `concurrent.futures` and submitit have it."""

    def done(self) -> bool:
        """Whether it has ended."""

    def result(self) -> Any:
        """What it returned; raises what it raised."""


@runtime_checkable
class Executor(Protocol):
    """Anything that jobs can be submitted to."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Starts `function(*arguments)` somewhere; returns a `Job`."""


def check_plan(plan: Sequence[PlannedRun]) -> None:
    """Refuses a plan whose names clash or whose needs cannot be met in order.

    Raises:
        ConfigError: Naming the run at fault.
    """
    known: set[str] = set()
    for planned in plan:
        if planned.name in known:
            raise ConfigError(f"the sweep plans two runs named {planned.name}")
        for need in planned.needs:
            if need not in known:
                raise ConfigError(f"{planned.name} needs {need}, which is not planned before it")
        known.add(planned.name)


def only_named(plan: Sequence[PlannedRun], prefixes: Sequence[str]) -> list[PlannedRun]:
    """The runs whose names begin with one of `prefixes`, and those they need, in the plan's order.

    Raises:
        ConfigError: No name begins with one of them.
    """
    for prefix in prefixes:
        if not any(planned.name.startswith(prefix) for planned in plan):
            raise ConfigError(f"no run's name begins with {prefix!r}: see --status for the names")
    wanted: set[str] = set()
    for planned in reversed(plan):
        if planned.name.startswith(tuple(prefixes)) or planned.name in wanted:
            wanted |= {planned.name, *planned.needs}
    return [planned for planned in plan if planned.name in wanted]


def run_sweep(
    plan: Sequence[PlannedRun],
    out: str | Path,
    executor: Executor,
    at_once: int,
    progress: bool = True,
) -> pd.DataFrame:
    """Gets every run of a plan done that is not done yet.

    A run that fails is reported and does not stop the others, except those that need it.

    Args:
        plan: The runs, each after those it needs.
        out: The sweep's directory.
        executor: Where runs go.
        at_once: How many may be under way at a time.
        progress: Show a progress bar over runs.

    Returns:
        `sweep_status(plan, out)` at the end.

    Raises:
        ConfigError: The plan is inconsistent.
    """
    check_plan(plan)
    out = Path(out)
    finished = {p.name for p in plan if state_of(out / p.name) == "finished"}
    failed: set[str] = set()
    waiting = [planned for planned in plan if planned.name not in finished]
    jobs: dict[str, Job] = {}
    with tqdm(total=len(plan), initial=len(finished), unit="run", disable=not progress) as bar:
        while waiting or jobs:
            for planned in list(waiting):
                if failed & set(planned.needs):
                    waiting.remove(planned)
                    failed.add(planned.name)
                    bar.write(f"{planned.name}: not run, since what it needs failed")
                elif finished >= set(planned.needs) and len(jobs) < at_once:
                    waiting.remove(planned)
                    try:
                        needed = {name: load_run(out / name) for name in planned.needs}
                        config = planned.resolve(needed).to_dict()
                    except (ValueError, RuntimeError, OSError) as error:
                        failed.add(planned.name)
                        bar.write(f"{planned.name}: failed: {error}")
                        continue
                    jobs[planned.name] = executor.submit(_do_run, config, str(out / planned.name))
            for name, job in list(jobs.items()):
                if job.done():
                    del jobs[name]
                    problem = _problem(job)
                    (failed if problem else finished).add(name)
                    bar.update(1)
                    bar.write(f"{name}: {'failed: ' + problem if problem else 'finished'}")
            time.sleep(SECONDS_BETWEEN_LOOKS if jobs else 0)
    return sweep_status(plan, out)


def run_sweep_locally(
    plan: Sequence[PlannedRun], out: str | Path, workers: int = 1, progress: bool = True
) -> pd.DataFrame:
    """`run_sweep` on this machine, `workers` runs side by side, each in a process of its own.

    Raises:
        ConfigError: The plan is inconsistent, or `workers` is not positive.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1; got {workers}")
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return run_sweep(plan, out, pool, workers, progress)


def _do_run(config: dict[str, Any], out: str) -> str:
    """One run, in whatever process it is sent to; returns what went wrong, or nothing."""
    try:
        if (Path(out) / "config.json").exists():
            _require_same(RunDirectory(out).read_config(), RunConfig.from_dict(config), out)
            resume(out, progress=False)
        else:
            train(RunConfig.from_dict(config), out, progress=False)
    except (ValueError, RuntimeError, OSError) as error:
        return str(error) or traceback.format_exc()
    return ""


def _require_same(there: RunConfig, wanted: RunConfig, out: str) -> None:
    if there != wanted:
        raise RunError(
            f"{out} was begun with another config than the sweep now plans: choose another "
            "directory for the sweep, or remove that run"
        )


def _problem(job: Job) -> str:
    try:
        return job.result()
    except Exception as error:  # a worker that died, whatever killed it
        return f"{type(error).__name__}: {error}"


def state_of(path: Path) -> str:
    """State of a run directory: "missing", "running", "finished", "interrupted" or "failed"."""
    try:
        return RunDirectory(path).read_status()["state"]
    except RunError:
        return "missing"


def sweep_status(plan: Sequence[PlannedRun], out: str | Path) -> pd.DataFrame:
    """A row per planned run: name, state, sequences seen, what it waits for, message.

    "running" also stands for a run whose process was killed; starting the sweep again resumes it.
    """
    rows = []
    for planned in plan:
        path = Path(out) / planned.name
        state = state_of(path)
        status = RunDirectory(path).read_status() if state != "missing" else {}
        rows.append(
            {
                "run": planned.name,
                "state": state,
                "sequences_seen": status.get("sequences_seen", 0),
                "needs": ", ".join(planned.needs),
                "message": status.get("message", ""),
            }
        )
    return pd.DataFrame(rows)
