"""What a packed copy of a study keeps of its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic

from coopetition_interp.files.regular_file import UnreadableFileError, read_json_object

INDEX = "study.json"
METRICS = "metrics.csv"


class StudyError(RuntimeError):
    """A study's directory cannot give what is asked of it."""


class PackedRun(pydantic.BaseModel):
    """A run's config, and what tells it from others.

    Attributes:
        about: See `PlannedRun`.
        config: As JSON.
        digest: See `run_digest`.
    """

    about: dict[str, Any]
    config: dict[str, Any]
    digest: str


class Index(pydantic.BaseModel):
    """A packed copy's `study.json`.

    Attributes:
        at_published_scale: See `Study`.
        runs: By name, in the plan's order.
    """

    at_published_scale: bool
    runs: dict[str, PackedRun]


def read_index(folder: Path) -> Index:
    """The index of a packed copy.

    Raises:
        StudyError: It is damaged, or of an older version.
    """
    try:
        return Index.model_validate(read_json_object(folder / INDEX))
    except (pydantic.ValidationError, UnreadableFileError) as error:
        raise StudyError(
            f"{folder / INDEX} is damaged, or of an older version: pack the study again"
        ) from error
