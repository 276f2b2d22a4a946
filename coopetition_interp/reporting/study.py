"""A study: the runs of a plan in a directory, selected by what they are, and tables of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from coopetition_interp.reporting.kept_table import read_table
from coopetition_interp.reporting.measure import Measure, run_digest
from coopetition_interp.reporting.packed_index import (
    INDEX,
    MEND,
    METRICS,
    Index,
    StudyError,
    read_index,
    weights_of,
)
from coopetition_interp.reporting.study_run import StudyRun
from coopetition_interp.reporting.study_tables import StudyTables
from coopetition_interp.sweeps.other_config import other_config
from coopetition_interp.sweeps.plan import PlannedRun, problem_of_about
from coopetition_interp.training import Run, RunConfig, load_run
from coopetition_interp.training.run_state import state_of


class Study:
    """Finished runs of a plan, or a packed copy of them. Reads only, but for `tables/`.

    Args:
        path: A sweep's directory, or what `pack_study` wrote.
        plan: The sweep's plan; a packed copy knows its own.
        at_published_scale: Whether a single run, at the scale of the published one, may agree or
            disagree with it; a packed copy knows.
        earlier: A packed copy of the same plan. Its runs stand in for those that are not finished
            here.
        plan_file: The plan's file, for what is told of runs that are not there.
        preset: Of the sweep, for the same; a packed copy knows.

    Raises:
        StudyError: There is no such directory, its index is damaged, `earlier` is no packed copy
            of this plan, or the plan does not say what its runs are.
    """

    def __init__(
        self,
        path: str | Path,
        plan: Sequence[PlannedRun] = (),
        at_published_scale: bool = False,
        earlier: Study | None = None,
        plan_file: str | Path = "analyses/NAME/runs.py",
        preset: str | None = None,
    ):
        self.path = Path(path)
        self.plan = list(plan)
        self.earlier = earlier
        self.tables = StudyTables([self.path, *([earlier.path] if earlier else [])])
        self._digests: dict[str, str] = {}
        self._differences: dict[str, str] = {}
        if not self.path.is_dir():
            raise StudyError(f"{self.path} is not there: give the directory of a sweep")
        self.at_published_scale, self.preset = at_published_scale, preset
        if self.packed:
            self.at_published_scale = self.index.at_published_scale
            self.preset = self.index.preset
        at_preset = f" --preset {shlex.quote(self.preset)}" if self.preset else ""
        self._sweep = f"coopetition-interp sweep {shlex.quote(str(plan_file))}{at_preset} --out"
        for planned in self.plan:
            if problem := problem_of_about(planned.about):
                raise StudyError(f"{planned.name} of {plan_file}: its about {problem}")
        if earlier is not None:
            _require_same_plan(self, earlier)

    @property
    def packed(self) -> bool:
        """Whether this is a packed copy, whose tables are read and never computed."""
        return (self.path / INDEX).is_file()

    def runs(self, role: str, **about: Any) -> list[StudyRun]:
        """The finished runs of a role, in the plan's order.

        Args:
            role: Of the plan.
            **about: What else must be so of them.

        Raises:
            StudyError: The plan has no such role; the message says which command makes one. Or one
                of the runs is another than the plan has now, see `difference`.
        """
        planned = [run for run in self.planned() if run.about["role"] == role]
        if not planned:
            roles = ", ".join(sorted({run.about["role"] for run in self.planned()}))
            raise StudyError(
                f"no run of {self.path} has the role {role!r}, only {roles}: make it by "
                f"`{self._sweep} DIR`"
            )
        found = [run for run in planned if about.items() <= run.about.items() and run.is_finished]
        for run in found:
            if different := run.study.difference(run.name):
                raise StudyError(
                    f"{different}. If the sweep was of another preset, name that by --preset"
                )
        return found

    def require(self, role: str, **about: Any) -> list[StudyRun]:
        """As `runs`, but at least one.

        Raises:
            StudyError: None is finished; the message says which command makes them.
        """
        found = self.runs(role, **about)
        if not found:
            what = " ".join([role, *(f"{name}={value}" for name, value in about.items())])
            where = "DIR" if self.packed else shlex.quote(str(self.path))
            raise StudyError(
                f"no finished run of {self.path} is {what}: make it by `{self._sweep} {where}`"
            )
        return found

    def measured(
        self,
        measure: Measure,
        role: str,
        beside: Callable[[StudyRun], StudyRun | None] | None = None,
        **about: Any,
    ) -> pd.DataFrame:
        """A measure's tables of all runs of a role, one under the other.

        Each is computed once and kept in `tables/` by everything that decides it: the run, the
        parameters, the measure's version.

        Args:
            measure: What is measured.
            role: See `runs`.
            beside: Another run that the measure takes too; None leaves the run out.
            **about: See `runs`.

        Returns:
            The measure's columns, after those of what the runs are.

        Raises:
            StudyError: No such run is finished, or none has the other beside it, a packed copy
                lacks a table, or tables of the measure's name are of another function.
        """
        tables = []
        for found in self.require(role, **about):
            other = None if beside is None else beside(found)
            if beside is not None and other is None:
                continue
            table = self.tables.table(measure, [found] if other is None else [found, other])
            for place, (name, value) in enumerate(found.about.items()):
                table.insert(place, name, value)
            tables.append(table)
        if not tables:
            raise StudyError(
                f"no finished run of {self.path} is {role} with the one beside it that "
                f"{measure.name} takes"
            )
        return pd.concat(tables, ignore_index=True)

    def is_measurable(self, measure: Measure, *runs: StudyRun) -> bool:
        """Whether a measure of these runs is kept, or can be computed: none of them is packed."""
        kept = self.tables.find(measure, runs)
        return kept is not None or not any(run.study.packed for run in runs)

    def curves(self, role: str, **about: Any) -> pd.DataFrame:
        """The metrics of all runs of a role, one under the other.

        Returns:
            Columns of what the runs are, then those of the metrics.

        Raises:
            StudyError: No such run is finished.
        """
        tables = [
            pd.concat(
                [pd.DataFrame(dict(found.about), index=found.metrics.index), found.metrics], axis=1
            )
            for found in self.require(role, **about)
        ]
        return pd.concat(tables, ignore_index=True)

    def load(self, name: str) -> Run:
        """A run with its weights.

        Raises:
            StudyError: A packed copy lacks them, or has a link to another place instead.
        """
        return load_run(weights_of(self.path, name) if self.packed else self.path / name)

    def config(self, name: str) -> RunConfig:
        """A run's config.

        Raises:
            StudyError: That in a packed copy's index is none.
        """
        return self.index.config_of(name, self.path) if self.packed else self.load(name).config

    def metrics(self, name: str) -> pd.DataFrame:
        """A run's metrics.

        Raises:
            StudyError: Those of a packed copy are damaged, or lack the run.
        """
        if not self.packed:
            return self.load(name).metrics
        of_run = self._all_metrics[self._all_metrics["run"] == name]
        if of_run.empty:
            raise StudyError(f"{self.path / METRICS} has no rows of {name}: {MEND}")
        return of_run.drop(columns="run").reset_index(drop=True)

    def digest(self, name: str) -> str:
        """See `run_digest`."""
        if self.packed:
            return self.index.runs[name].digest
        if name not in self._digests:
            self._digests[name] = run_digest(self.load(name))
        return self._digests[name]

    def difference(self, name: str) -> str:
        """In what a finished run is not the planned one, as `sweep` tells it; nothing if it is.

        A run whose config is made from other runs is told by those alone, since making it can take
        measuring them. Features are left out: a sweep may be given a file of them, and `setting`
        says which they are.
        """
        if name not in self._differences:
            planned = next((run for run in self.plan if run.name == name), None)
            if self.packed or planned is None or not self.is_finished(name):
                return ""
            others = (self.difference(need) for need in planned.needs)
            told = [other_config(planned, self.path / name, ("features",)), *others]
            self._differences[name] = next(filter(None, told), "")
        return self._differences[name]

    @property
    def setting(self) -> str:
        """That of the first finished run, see `StudyRun`; empty if there is none.

        Verdicts are counted by it: studies on other features are not pooled.
        """
        return next((run.setting for run in self.planned() if run.is_finished), "")

    @cached_property
    def index(self) -> Index:
        """What a packed copy knows of its runs."""
        return read_index(self.path)

    @cached_property
    def _all_metrics(self) -> pd.DataFrame:
        return read_table(self.path / METRICS, ("run", "sequences_seen", "evaluator"))

    def planned(self) -> Iterator[StudyRun]:
        """Every run of the plan, finished or not."""
        if self.packed:
            for name, about in self.index.about.items():
                yield StudyRun(self, name, about)
        else:
            kept = {} if self.earlier is None else self.earlier.index.runs
            for run in self.plan:
                stands_in = run.name in kept and not self.is_finished(run.name)
                study = self.earlier if self.earlier and stands_in else self
                yield StudyRun(study, run.name, run.about)

    def is_finished(self, name: str) -> bool:
        """Whether a run is finished here."""
        return name in self.index.runs if self.packed else state_of(self.path / name) == "finished"


def _require_same_plan(study: Study, earlier: Study) -> None:
    """What an earlier copy's runs are is what the plan says they are."""
    if study.packed or not earlier.packed:
        raise StudyError(
            f"only a packed copy can complete a sweep's directory, and {earlier.path} should be "
            f"the first and {study.path} the second"
        )
    if study.at_published_scale != earlier.at_published_scale:
        raise StudyError(f"{earlier.path} was packed at another preset than this: name that preset")
    planned = {run.name: dict(run.about) for run in study.plan}
    for run in earlier.planned():
        if run.is_finished and dict(run.about) != planned.get(run.name):
            raise StudyError(
                f"{earlier.path} has a run {run.name} which the plan has not, or which is another "
                "there: pack it at the same preset of the same plan"
            )
