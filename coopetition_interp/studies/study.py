"""A study: the runs of one sweep by name, and the tables made from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.files.regular_file import (
    UnreadableFileError,
    read_csv_table,
    read_json_object,
)
from coopetition_interp.training import Run, RunConfig, load_run
from coopetition_interp.training.run_records import first_problem
from coopetition_interp.training.run_state import look_at

SIGNIFICANT_DIGITS = 6
"""Digits that stored tables and metrics keep."""


class StudyError(RuntimeError):
    """A study's directory cannot give what is asked of it."""


class MissingRunsError(StudyError):
    """Runs that something is made from are not there, or not finished.

    Args:
        path: The study's directory.
        names: The runs.
        needed_for: What needs them.
        command: What makes them.
        problem: What is wrong with one of them that is there but cannot be read.
    """

    def __init__(
        self, path: Path, names: Iterable[str], needed_for: str, command: str, problem: str = ""
    ):
        self.names = list(names)
        super().__init__(
            f"{needed_for} needs runs that are not finished in {path}: {', '.join(self.names)}. "
            + (f"{problem}. " if problem else "")
            + f"Make them by `{command}`"
        )


def _inside(name: str) -> str:
    """A run's name, which is also its place in the study, if it leads nowhere else."""
    if any(part in ("", ".", "..") for part in name.split("/")) or not name.isprintable():
        raise ValueError("should be a path inside the study")
    if "\\" in name or Path(name).drive:
        raise ValueError("should be a path inside the study, with forward slashes")
    return name


@with_config(ConfigDict(strict=True))
class _PackedRun(TypedDict):
    config: dict[str, Any]


@with_config(ConfigDict(strict=True))
class _Index(TypedDict):
    runs: dict[Annotated[str, AfterValidator(_inside)], _PackedRun]


_INDEX = TypeAdapter(_Index)


@dataclass(frozen=True)
class StudyTable:
    """A table that a study keeps.

    Attributes:
        name: Its file, without the suffix.
        runs: Names of the finished runs it is made from; a table of whatever runs there are, such
            as one over seeds, gives those.
        compute: Makes it from them.
    """

    name: str
    runs: Callable[[Study], list[str]]
    compute: Callable[[Study], pd.DataFrame]


class Study:
    """Runs of a sweep, or a packed copy of them, or one run. Reads only, but for `tables/`.

    Args:
        path: A sweep's directory, or what `pack_study` wrote, or the directory of a single run,
            which is then the study's "main".
        sweep: Which sweep makes such a study.
    """

    def __init__(self, path: str | Path, sweep: str = "coopetition"):
        self.path = Path(path)
        self.sweep = sweep

    @property
    def packed(self) -> bool:
        """Whether this is a packed copy, whose tables are read and never computed."""
        return self._index_path.is_file()

    @property
    def runs(self) -> list[str]:
        """Names of the finished runs, sorted."""
        if self.packed:
            return sorted(self._index)
        if self._is_single_run:
            return ["main"] if _finished(self.path) else []
        found = (file.parent for file in self.path.rglob("status.json"))
        return sorted(p.relative_to(self.path).as_posix() for p in found if _finished(p))

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the named runs that are not there, or not finished."""
        if self.packed:
            return [name for name in names if name not in self._index]
        return [name for name in names if not _finished(self._run_path(name))]

    def require(self, names: Iterable[str], needed_for: str) -> None:
        """Refuses to go on without the named runs.

        Raises:
            MissingRunsError: Naming all that are missing.
        """
        missing = self.missing(names)
        if missing:
            raise self._missing_runs(missing, needed_for)

    def run(self, name: str) -> Run:
        """A finished run with its weights; a packed study has those of some runs only.

        Raises:
            MissingRunsError: It is not there.
        """
        path = self._run_path(name)
        if not _finished(path):
            raise self._missing_runs([name], f"reading the weights of {name}")
        return load_run(path)

    def config(self, name: str) -> RunConfig:
        """What a finished run ran.

        Raises:
            MissingRunsError: It is not there.
        """
        if not self.packed:
            return self.run(name).config
        self.require([name], f"reading the config of {name}")
        try:
            return RunConfig.from_dict(self._index[name]["config"])
        except ValueError as error:
            raise StudyError(
                f"{self._index_path} is damaged (runs.{name}.config: {error})"
            ) from error

    def metrics(self, name: str) -> pd.DataFrame:
        """A finished run's metrics, a row per moment and evaluator.

        Raises:
            MissingRunsError: It is not there.
        """
        if not self.packed:
            return self.run(name).metrics
        self.require([name], f"reading the metrics of {name}")
        of_run = self._all_metrics[self._all_metrics["run"] == name]
        if len(of_run) == 0:
            raise StudyError(
                f"{self._metrics_path} has no rows of {name}, which is in {self._index_path}: pack "
                "the study again"
            )
        return of_run.drop(columns="run").reset_index(drop=True)

    def table(self, table: StudyTable) -> pd.DataFrame:
        """A table of the study, computed only if it is not kept or a run it is made from is newer.

        It always comes from the file, so a packed study gives exactly the same.

        Raises:
            MissingRunsError: A run it is made from is missing.
            StudyError: The study is packed and was packed without it.
        """
        file = self.table_path(table)
        if self.packed:
            if not file.is_file():
                raise StudyError(
                    f"{self.path} was packed without {file.relative_to(self.path)}: make the whole "
                    f"sweep by `coopetition-interp sweep {self.sweep} --out DIR --workers 2`, then "
                    "draw from DIR"
                )
        else:
            names = table.runs(self)
            self.require(names, f"the table {table.name}")
            made = file.stat().st_mtime_ns if file.is_file() else 0
            if made <= max(self._status_path(n).stat().st_mtime_ns for n in names):
                write_table(table.compute(self), file)
        return self._read_table(
            file, (), "remove it" if not self.packed else "pack the study again"
        )

    def table_path(self, table: StudyTable) -> Path:
        """Where a table is kept."""
        return self.path / "tables" / f"{table.name}.csv"

    @property
    def _is_single_run(self) -> bool:
        return (self.path / "config.json").is_file()

    def _run_path(self, name: str) -> Path:
        if self._is_single_run and name == "main":
            return self.path
        path = self.path / name
        if self.packed and not path.resolve().is_relative_to(self.path.resolve()):
            raise StudyError(f"{path} leads out of the study: a packed study holds its own runs")
        return path

    def _missing_runs(self, names: list[str], needed_for: str) -> MissingRunsError:
        states = [] if self.packed else [look_at(self._run_path(name)) for name in names]
        problem = next((state.message for state in states if state.state == "damaged"), "")
        return MissingRunsError(self.path, names, needed_for, self._command, problem)

    def _read_table(self, file: Path, columns: Sequence[str], mend: str) -> pd.DataFrame:
        try:
            return read_csv_table(file, columns)
        except FileNotFoundError as error:
            raise StudyError(f"{file} is missing: {mend}") from error
        except UnreadableFileError as error:
            raise StudyError(f"{error}: {mend}") from error

    @property
    def _command(self) -> str:
        out = "DIR" if self.packed or self._is_single_run else self.path
        return f"coopetition-interp sweep {self.sweep} --out {out} --workers 2"

    @property
    def _index_path(self) -> Path:
        return self.path / "study.json"

    @cached_property
    def _index(self) -> dict[str, _PackedRun]:
        path = self._index_path
        try:
            return _INDEX.validate_python(read_json_object(path))["runs"]
        except UnreadableFileError as error:
            raise StudyError(f"{error}: pack the study again") from error
        except ValidationError as error:
            raise StudyError(
                f"{path} is damaged ({first_problem(error)}): pack the study again"
            ) from error

    @property
    def _metrics_path(self) -> Path:
        return self.path / "metrics.csv"

    @cached_property
    def _all_metrics(self) -> pd.DataFrame:
        columns = ("run", "sequences_seen", "evaluator")
        return self._read_table(self._metrics_path, columns, "pack the study again")

    def _status_path(self, name: str) -> Path:
        return self._run_path(name) / "status.json"


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Writes a table with `SIGNIFICANT_DIGITS` of its numbers, whole or not at all."""
    with atomic_file(file) as temporary:
        table.to_csv(temporary, index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g")


def _finished(path: Path) -> bool:
    return look_at(path).state == "finished"
