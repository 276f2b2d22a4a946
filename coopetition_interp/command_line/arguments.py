"""What words of the command line must be, checked before anything is done."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NoReturn

from coopetition_interp.config_class import ConfigError, shortened

MOST_SEQUENCES = 10**12


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are a `ConfigError`, told in one line like all others."""

    def error(self, message: str) -> NoReturn:
        """Raises the error instead of printing the usage and leaving the process."""
        raise ConfigError(f"{message} (see `{self.prog} --help`)")


def check_words(words: list[str]) -> None:
    """Refuses empty words, which no option or name can be, and words that are not UTF-8.

    Raises:
        ConfigError: Naming the word, or the one before it.
    """
    for index, word in enumerate(words):
        if not word.strip() or (word.startswith("--") and word.endswith("=")):
            place = "the first argument" if index == 0 else f"what follows {words[index - 1]!r}"
            raise ConfigError(f"{place if not word.strip() else word} is empty: give it a value")
        if "\0" in word or (not word.isascii() and not _is_utf8(word)):
            raise ConfigError(f"{shortened(word)} is not text in UTF-8: rename the file")


def _is_utf8(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers in these limits, which may be written as in 1.2e6."""

    def parse(text: str) -> int:
        try:
            number = Decimal(text)
        except InvalidOperation:
            number = Decimal("nan")
        if not (number.is_finite() and least <= number <= most and number == int(number)):
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least:,} to {most:,}; got {shortened(text)}"
            )
        return int(number)

    return parse


def checkpoint(text: str) -> int | str:
    """first, last or all, or a number of sequences seen."""
    if text in ("first", "last", "all"):
        return text
    try:
        return whole_number(0, MOST_SEQUENCES)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            "takes a number of sequences seen (a whole number from 0), first, last or all; got "
            f"{shortened(text)}"
        ) from None


def existing_file(text: str) -> Path:
    """A file that is there."""
    path = _writable(text)
    if not path.is_file():
        problem = "is a directory, not a file" if path.is_dir() else "is not there"
        raise argparse.ArgumentTypeError(f"{shortened(text)} {problem}")
    return path


def directory_to_write(text: str) -> Path:
    """A directory, which need not be there."""
    path = _writable(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{shortened(text)} is a file, not a directory")
    return path


def named_directory(text: str) -> tuple[str, Path]:
    """A name and a directory that is there, as in NAME=DIR."""
    name, equals, directory = text.partition("=")
    if not (name and equals and directory):
        raise argparse.ArgumentTypeError(f"must be NAME=DIR; got {shortened(text)}")
    if not Path(directory).is_dir():
        raise argparse.ArgumentTypeError(f"{shortened(directory)} is not there")
    return name, Path(directory)


def file_to_write(text: str) -> Path:
    """A file, which need not be there."""
    path = _writable(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{shortened(text)} is a directory: name a file")
    return path


def _writable(text: str) -> Path:
    path = Path(text)
    try:
        for parent in path.parents:
            if parent.exists() and not parent.is_dir():
                raise argparse.ArgumentTypeError(f"{shortened(text)}: {parent} is a file")
        path.exists()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{shortened(text)}: {error.strerror}") from None
    return path


@contextmanager
def nothing_left_if_refused(directory: Path) -> Iterator[None]:
    """Removes the directories made for a run, if an error comes before anything is in them."""
    made = [each for each in (directory, *directory.parents) if not each.exists()]
    try:
        yield
    except BaseException:
        if made and directory.is_dir() and set(os.listdir(directory)) <= {"in_use.lock"}:
            (directory / "in_use.lock").unlink(missing_ok=True)
            for each in made:
                each.rmdir()
        raise
