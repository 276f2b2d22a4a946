"""Tables that a study keeps, as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.files.regular_file import UnreadableFileError, read_csv_table
from coopetition_interp.reporting.packed_index import MEND, StudyError

SIGNIFICANT_DIGITS = 6
"""Digits that kept tables have."""


def read_table(file: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A kept table with these columns at least.

    Raises:
        StudyError: It is missing or damaged.
    """
    try:
        return read_csv_table(file, columns)
    except (FileNotFoundError, UnreadableFileError) as error:
        raise StudyError(f"{error}: {MEND}, or, in a sweep's directory, remove it") from error


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Writes a table with `SIGNIFICANT_DIGITS` of its numbers, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as temporary:
        table.to_csv(temporary, index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g")
