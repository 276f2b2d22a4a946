"""A sweep as data: named runs, what each waits for, and an engine that gets them all done.

A sweep lives in one directory with a run directory for each name, so its state is simply what is
there: finished runs are skipped, interrupted ones resumed, failed ones tried again when the sweep
is started again, and those that another process is at are waited for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from coopetition_interp.interruption import raise_if_asked
from coopetition_interp.one_line import one_line
from coopetition_interp.sweeps.executor import Executor, Job
from coopetition_interp.sweeps.grouping import Grouping, Together, do_together
from coopetition_interp.sweeps.one_run import do_run
from coopetition_interp.sweeps.other_config import difference, other_config
from coopetition_interp.sweeps.plan import PlannedRun, check_plan, listed
from coopetition_interp.sweeps.processes import Processes
from coopetition_interp.sweeps.sendable import require_sendable_plan
from coopetition_interp.training import (
    ConfigError,
    Run,
    RunConfig,
    RunError,
    load_run,
)
from coopetition_interp.training.run_directory import RunDirectory
from coopetition_interp.training.run_state import look_at, state_of

SECONDS_BETWEEN_LOOKS = 0.5


def run_sweep(
    plan: Iterable[PlannedRun],
    out: str | Path,
    executor: Executor,
    at_once: int,
    progress: bool = True,
    grouping: bool = True,
) -> pd.DataFrame:
    """Gets every run of a plan done that is not done yet.

    A run that fails is reported and does not stop the others, except those that need it.

    Args:
        plan: The runs, each after those it needs.
        out: The sweep's directory.
        executor: Where runs go.
        at_once: How many jobs may be under way at a time.
        progress: Show a progress bar over runs.
        grouping: Train runs of one shape together, as one job, where that is faster (see
            `train_together`); what is grouped is told.

    Returns:
        `sweep_status(plan, out)` at the end, with what went wrong in its `message`.

    Raises:
        ConfigError: The plan is none or inconsistent, or `at_once` is not positive.
    """
    plan = listed(plan)
    check_plan(plan)
    if at_once < 1:
        raise ConfigError(f"workers must be at least 1; got {at_once}")
    with tqdm(total=len(plan), unit="run", disable=not progress) as bar:
        sweep = _Sweep(plan, Path(out), bar, Grouping(at_once, bar.write) if grouping else None)
        while sweep.waiting or sweep.jobs:
            raise_if_asked()
            sweep.start(executor, at_once)
            if not sweep.collect() and (sweep.jobs or sweep.waiting):
                time.sleep(SECONDS_BETWEEN_LOOKS)
    table = sweep_status(plan, out)
    problems = {name: problem.strip().splitlines()[-1] for name, problem in sweep.problems.items()}
    messages = zip(table["run"], table["message"], strict=True)
    return table.assign(message=[problems.get(name, message) for name, message in messages])


class _Sweep:
    """A sweep under way: what is waiting, under way, finished, and what went wrong."""

    def __init__(self, plan: Sequence[PlannedRun], out: Path, bar: tqdm, grouping: Grouping | None):
        self.out = out
        self.grouping = grouping
        self._groups: dict[frozenset[str], list[dict[str, RunConfig]]] = {}
        self.bar = bar
        self.plan = {planned.name: planned for planned in plan}
        self.waiting: list[PlannedRun] = []
        self.jobs: dict[tuple[str, ...], Job] = {}
        self.finished: set[str] = set()
        self.problems: dict[str, str] = {}
        self._left_to_others: set[str] = set()
        for planned in plan:
            if state_of(out / planned.name) != "finished":
                self.waiting.append(planned)
            elif other := other_config(planned, out / planned.name):
                self._fail(planned.name, other)
            else:
                self._finish(planned.name)

    def start(self, executor: Executor, at_once: int) -> None:
        """Submits the runs whose needs are there, as many as may be under way."""
        for planned in list(self.waiting):
            if planned.name not in self._names_waiting:  # taken along with an earlier one
                continue
            lost = [need for need in planned.needs if need in self.problems]
            if lost:
                self.waiting.remove(planned)
                self._fail(planned.name, f"not run, since {', '.join(lost)} failed", "")
            elif len(self.jobs) < at_once and self.finished >= set(planned.needs):
                try:
                    self._start(planned, executor)
                except (ValueError, RuntimeError, OSError) as error:
                    self.waiting.remove(planned)
                    self._fail(planned.name, one_line(error))

    def _start(self, planned: PlannedRun, executor: Executor) -> None:
        path = self.out / planned.name
        if self._is_held(planned.name):
            return
        if state_of(path) == "finished":  # by then
            self.waiting.remove(planned)
            self._finish(planned.name)
            return
        needed = {name: load_run(self.out / name) for name in planned.needs}
        config = planned.resolve(needed)
        config.to_dict()  # one that cannot be saved is told here
        others = self._others_with(planned, needed)
        if any(self._is_held(name) for name in others):  # so that the group is always the same
            return
        together = {planned.name: config, **others}
        paths = [str(self.out / name) for name in together]
        if others:
            job = executor.submit(do_together, Together([*together.values()], paths))
        else:
            job = executor.submit(do_run, config, *paths)
        self.jobs[tuple(together)] = job
        self.waiting = [other for other in self.waiting if other.name not in together]

    def _is_held(self, name: str) -> bool:
        """Whether another sweep has a run, or a job that outlived its own; told once."""
        held = RunDirectory(self.out / name).in_use()
        if held and name not in self._left_to_others:
            self._left_to_others.add(name)
            self.bar.write(f"{name}: another process is at it: waiting for that")
        return held

    @property
    def _names_waiting(self) -> set[str]:
        return {planned.name for planned in self.waiting}

    def _others_with(self, planned: PlannedRun, needed: Mapping[str, Run]) -> dict[str, RunConfig]:
        """The runs that are trained together with one, as far as they are not done."""
        if self.grouping is None:
            return {}
        needs = frozenset(planned.needs)
        if needs not in self._groups:
            configs = {}
            for other in self.plan.values():
                with suppress(ValueError, RuntimeError, OSError):  # told when it is its turn
                    if frozenset(other.needs) == needs:
                        configs[other.name] = other.resolve(needed)
            groups = self.grouping.groups(configs)
            self._groups[needs] = [{name: configs[name] for name in names} for names in groups]
        group = next((group for group in self._groups[needs] if planned.name in group), {})
        return {
            name: config
            for name, config in group.items()
            if name != planned.name and name in self._names_waiting and self._fits(name, config)
        }

    def _fits(self, name: str, config: RunConfig) -> bool:
        """Whether a run that is there, if any, can be gone on with; if not, its turn will tell."""
        directory = RunDirectory(self.out / name)
        try:
            directory.in_use()
            begun = directory.config_path.exists()
            return not (begun and difference(directory.read_config(), config))
        except (ValueError, RunError):
            return False

    def collect(self) -> bool:
        """Takes note of the jobs that have ended; whether there were any."""
        ended = [names for names, job in self.jobs.items() if job.done()]
        for names in ended:
            problems = _problems(self.jobs.pop(names), len(names))
            for name, problem in zip(names, problems, strict=True):
                self._collect(name, problem)
        return bool(ended)

    def _collect(self, name: str, problem: str) -> None:
        if not problem:
            self._finish(name)
            self.bar.write(f"{name}: finished")
        elif name not in self._left_to_others and state_of(self.out / name) == "running":
            self.waiting.append(self.plan[name])  # another process was there first
        else:
            self._fail(name, problem)

    def _finish(self, name: str) -> None:
        self.finished.add(name)
        self.bar.update(1)

    def _fail(self, name: str, problem: str, how: str = "failed: ") -> None:
        self.problems[name] = problem
        self.bar.update(1)
        self.bar.write(f"{name}: {how}{problem}")


def run_sweep_locally(
    plan: Iterable[PlannedRun],
    out: str | Path,
    workers: int = 1,
    progress: bool = True,
    grouping: bool = True,
) -> pd.DataFrame:
    """`run_sweep` on this machine, `workers` jobs side by side, each in a process of its own.

    When this process is interrupted, so are they, and it waits until they have saved; when it is
    killed, they save and end by themselves.

    Raises:
        ConfigError: The plan is none or inconsistent, `workers` is not positive, a config is of a
            class that no process can import (a notebook's, or one in the plan's own file), or the
            script that calls this does so outside of `if __name__ == "__main__":`.
        KeyboardInterrupt: A signal ended it.
    """
    plan = listed(plan)
    require_sendable_plan(plan)
    with Processes() as processes:
        return run_sweep(plan, out, processes, workers, progress, grouping)


def _problems(job: Job, n_runs: int) -> list[str]:
    """What went wrong with each of a job's runs."""
    try:
        result = job.result()
        return result if isinstance(result, list) else [result]
    except RunError as error:
        problem = str(error)
    except ConfigError:  # the script that started the sweep, which no other run would survive
        raise
    except Exception as error:  # a worker that died, whatever killed it
        problem = f"{type(error).__name__}: {error}"
    return [problem] * n_runs


def sweep_status(plan: Sequence[PlannedRun], out: str | Path) -> pd.DataFrame:
    """A row per planned run: name, state, sequences seen, what it waits for, message.

    The state is that of `look_at`, but "differs" for a run that was finished with another config
    than planned, or one that cannot be read. The message says why a run failed, in what it differs,
    or what is wrong with its files.

    Raises:
        ConfigError: The plan is none.
    """
    rows = []
    for planned in listed(plan):
        path = Path(out) / planned.name
        state, seen, message = look_at(path)
        other = (
            other_config(planned, path) if os.path.lexists(RunDirectory(path).config_path) else ""
        )
        rows.append(
            {
                "run": planned.name,
                "state": "differs" if other and state == "finished" else state,
                "sequences_seen": seen,
                "needs": ", ".join(planned.needs),
                "message": message if state == "damaged" else other or message,
            }
        )
    return pd.DataFrame(rows)
