"""A study's tables of measures: read from where they are kept, or computed and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.files.regular_file import UnreadableFileError, read_regular
from coopetition_interp.reporting.kept_table import read_table, write_table
from coopetition_interp.reporting.measure import Measure
from coopetition_interp.reporting.packed_index import StudyError

if TYPE_CHECKING:
    from coopetition_interp.reporting.study_run import StudyRun

FUNCTION = "function.txt"
"""File beside a sweep's tables of a measure: which function they are of."""


class StudyTables:
    """The tables of a study, by everything that decides them, in `tables/` of its folders.

    A measure's name stands for its function, so two functions of one name are refused. One that
    has been changed is the same function as long as it is in a file of the same name: whoever
    changes what it gives raises its version.

    Args:
        folders: Where they may lie. New ones go into the first.

    Attributes:
        used: Files of the tables given so far, by their places in a folder.
    """

    def __init__(self, folders: Sequence[Path]):
        self.used: dict[Path, Path] = {}
        self._folders = folders
        self._functions: dict[str, str] = {}

    def find(self, measure: Measure, runs: Sequence[StudyRun]) -> Path | None:
        """The file of a table, if it is kept."""
        place = _place(measure, runs)
        return next((f / place for f in self._folders if (f / place).is_file()), None)

    def table(self, measure: Measure, runs: Sequence[StudyRun]) -> pd.DataFrame:
        """Read from where it is kept, so that a packed copy gives exactly the same.

        Raises:
            StudyError: A packed copy lacks it, or tables of that name are of another function.
        """
        self._require_one_function(measure)
        place, file = _place(measure, runs), self.find(measure, runs)
        if file is None:
            file = self._folders[0] / place
            write_table(_computed(measure, runs), file)
            with atomic_file(file.parent / FUNCTION) as temporary:
                temporary.write_text(measure.function_in_words + "\n", encoding="utf-8")
        self.used[place] = file
        return read_table(file)

    def _require_one_function(self, measure: Measure) -> None:
        folder = self._folders[0] / "tables" / measure.name
        known = self._functions.get(measure.name) or _kept_function(folder)
        if known not in ("", measure.function_in_words):
            raise StudyError(
                f"{folder} has tables of {known}, and {measure.function_in_words} would be taken "
                "for the same: rename one of the two functions, or, if it was moved, remove that "
                "folder"
            )
        self._functions[measure.name] = measure.function_in_words


def _kept_function(folder: Path) -> str:
    """Which function a folder's tables are of; nothing where that was not noted."""
    try:
        return read_regular(folder / FUNCTION).decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
    except UnreadableFileError as error:
        raise StudyError(f"{error}: remove it") from error


def _computed(measure: Measure, runs: Sequence[StudyRun]) -> pd.DataFrame:
    packed = next((run for run in runs if run.study.packed), None)
    if packed is not None:
        raise StudyError(
            f"{packed.study.path} was packed without {measure.name} of {runs[0].name}, or "
            "with that of another version: draw from the sweep's directory and pack again"
        )
    return measure(*(run.run for run in runs))


def _place(measure: Measure, runs: Sequence[StudyRun]) -> Path:
    key = measure.key([run.digest for run in runs])
    return Path("tables", measure.name, f"{key}.csv")
