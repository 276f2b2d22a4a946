"""Reading files of unknown origin: regular ones only, and JSON and CSV of the shape that is due."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from coopetition_interp.one_line import LONGEST_CAUSE, clipped, one_line

MOST_JSON_BYTES = 16 * 2**20
"""Our own JSON files are a thousand times smaller."""

# Before 3.1, pandas read floats exactly only when told to; since then it deprecates being told.
_PANDAS_VERSION = tuple(int(part) for part in pd.__version__.split(".")[:2])
_EXACT_FLOATS: Any = {} if _PANDAS_VERSION >= (3, 1) else {"float_precision": "round_trip"}

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISLNK, "a symbolic link"),
)


class UnreadableFileError(RuntimeError):
    """A file is there but cannot be read as what it should be; the message names it."""


def kind_of_file(mode: int) -> str:
    """What a file is, in words, from its `st_mode`."""
    if stat.S_ISREG(mode):
        return "a regular file"
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "a device")


def not_there(what: str, path: str | os.PathLike[str]) -> str:
    """What to say of a file that is not there; of a relative path also where it was looked for.

    Args:
        what: The file in words.
        path: Its path.
    """
    told = f"there is no {what} {clipped(os.fspath(path), LONGEST_CAUSE)}"
    if os.path.isabs(path):
        return told
    return f"{told} in {clipped(os.getcwd(), LONGEST_CAUSE)}, where its path is taken from"


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file, or a link to one, to read its bytes; never waits for a writer.

    Raises:
        FileNotFoundError: There is nothing.
        UnreadableFileError: It is something else, or may not be read.
    """
    try:
        mode = os.stat(path).st_mode  # first: to open a device can do something
        if stat.S_ISREG(mode):
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            file = os.fdopen(descriptor, "rb")
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode):
                return file
            file.close()
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise UnreadableFileError(
            f"{path} cannot be read: permission denied. Ask its owner for the right to read it"
        ) from error
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror or error}") from error
    raise UnreadableFileError(f"{path} is {kind_of_file(mode)}: it should be a regular file")


def read_regular(path: str | Path, most_bytes: int | None = None) -> bytes:
    """The bytes of a regular file.

    Args:
        path: The file.
        most_bytes: What it may hold.

    Raises:
        FileNotFoundError: There is nothing.
        UnreadableFileError: It is something else, may not be read, or is larger.
    """
    with open_regular(path) as file:
        try:
            content = file.read() if most_bytes is None else file.read(most_bytes + 1)
        except OSError as error:
            raise UnreadableFileError(
                f"{path} cannot be read: {error.strerror or error}"
            ) from error
    if most_bytes is not None and len(content) > most_bytes:
        raise UnreadableFileError(
            f"{path} is larger than {most_bytes} bytes ({most_bytes // 2**20} MiB), the most that "
            "is read of such a file"
        )
    return content


def read_json_object(path: str | Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        FileNotFoundError: There is nothing.
        UnreadableFileError: It cannot be read, or holds something else.
    """
    try:
        content = json.loads(read_regular(path, MOST_JSON_BYTES).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableFileError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableFileError(
            f"{path} holds {type(content).__name__} in JSON: it should hold an object with names"
        )
    return content


def read_csv_table(path: str | Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """The table of a CSV file as pandas wrote it: a header, and as many values in every row.

    Args:
        path: The file.
        columns: Those it must have.

    Raises:
        FileNotFoundError: There is nothing.
        UnreadableFileError: It cannot be read, is not whole, or lacks a column.
    """
    content = read_regular(path)
    try:
        text = content.decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (ValueError, csv.Error) as error:
        raise UnreadableFileError(f"{path} is damaged ({error})") from error
    if not rows or not text.endswith("\n"):
        what = "its last line is cut off" if rows else "it is empty"
        raise UnreadableFileError(f"{path} is damaged ({what})")
    header = rows[0]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise UnreadableFileError(
                f"{path} is damaged (row {number} has {len(row)} values, the header {len(header)})"
            )
    for column in columns:
        if column not in header:
            raise UnreadableFileError(f"{path} is damaged (it has no column {column})")
    if len(set(header)) < len(header):
        raise UnreadableFileError(f"{path} is damaged (two columns have the same name)")
    try:
        return pd.read_csv(io.BytesIO(content), **_EXACT_FLOATS)
    except (ValueError, OverflowError) as error:
        raise UnreadableFileError(f"{path} is damaged ({one_line(error)})") from error
