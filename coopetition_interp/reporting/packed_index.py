"""What a packed copy of a study keeps of its runs, checked before anything is read by it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pydantic

from coopetition_interp.files.regular_file import (
    UnreadableFileError,
    read_json_object,
)
from coopetition_interp.sweeps.plan import problem_of_about, problem_of_name
from coopetition_interp.training import RunConfig
from coopetition_interp.training.run_records import first_problem

INDEX = "study.json"
METRICS = "metrics.csv"
MEND = "pack the study again"


class StudyError(RuntimeError):
    """A study's directory cannot give what is asked of it."""


def _inside(name: str) -> str:
    """A run's name, if it leads nowhere else."""
    if problem := problem_of_name(name):
        raise ValueError(f"{problem} the study")
    return name


def _selectable(about: dict[str, Any]) -> dict[str, Any]:
    """What a run is, if figures can select it by that."""
    if problem := problem_of_about(about):
        raise ValueError(problem)
    return about


RunName = Annotated[str, pydantic.AfterValidator(_inside)]
About = Annotated[dict[str, Any], pydantic.AfterValidator(_selectable)]


class PackedRun(pydantic.BaseModel):
    """A run's config, and what tells it from others.

    Attributes:
        about: See `PlannedRun`.
        config: As JSON.
        digest: See `run_digest`.
    """

    about: About
    config: dict[str, Any]
    digest: str


class Index(pydantic.BaseModel):
    """A packed copy's `study.json`.

    Attributes:
        at_published_scale: See `Study`.
        runs: By name, in the plan's order.
        unfinished: What the runs are that the plan has and the copy lacks, by name.
        preset: Of the sweep, if it was not the plan's default.
    """

    at_published_scale: pydantic.StrictBool
    preset: str | None = None
    runs: dict[RunName, PackedRun]
    unfinished: dict[RunName, About] = pydantic.Field(default_factory=dict)

    @property
    def about(self) -> dict[str, dict[str, Any]]:
        """What each run of the plan is, by name; those that the copy lacks are last."""
        return {**{name: run.about for name, run in self.runs.items()}, **self.unfinished}

    def config_of(self, name: str, folder: Path) -> RunConfig:
        """A run's config.

        Args:
            name: The run's.
            folder: The packed copy's, for messages.

        Raises:
            StudyError: It is none.
        """
        try:
            return RunConfig.from_dict(self.runs[name].config)
        except ValueError as error:
            where = f"{folder / INDEX} is damaged (runs.{name}.config: {error})"
            raise StudyError(f"{where}: {MEND}") from error


def weights_of(folder: Path, name: str) -> Path:
    """Directory of a run of a packed copy, with its weights.

    Raises:
        StudyError: The copy lacks it, or has a link to another place instead.
    """
    path = folder / name
    if not (path / "config.json").is_file():
        raise StudyError(f"{folder} was packed without the weights of {name}")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise StudyError(f"{path} leads out of the study: a packed copy holds its own runs")
    return path


def read_index(folder: Path) -> Index:
    """The index of a packed copy.

    Raises:
        StudyError: It is damaged, or of an older version; the message names the field.
    """
    path = folder / INDEX
    try:
        return Index.model_validate(read_json_object(path))
    except UnreadableFileError as error:
        raise StudyError(f"{error}: {MEND}") from error
    except pydantic.ValidationError as error:
        raise StudyError(
            f"{path} is damaged, or of an older version ({first_problem(error)}): {MEND}"
        ) from error
