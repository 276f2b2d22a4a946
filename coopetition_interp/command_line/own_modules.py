"""`--import MODULE`: tasks and clamps of the user's own, made known to a command."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterable

from coopetition_interp.config_class import ConfigError, shortened
from coopetition_interp.one_line import LONGEST_CAUSE, one_line


def add_import(parser: argparse.ArgumentParser) -> None:
    """The option, which may be given again."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        type=module_name,
        default=[],
        metavar="MODULE",
        help="a module of your own with a run's task or clamps, as Python's `import` would name "
        "it; may be given again",
    )


def module_name(text: str) -> str:
    """A module's dotted name."""
    if text.endswith(".py") or not all(part.isidentifier() for part in text.split(".")):
        raise argparse.ArgumentTypeError(
            f"takes a module's name as in `import my_task`, no file; got {shortened(text)}"
        )
    return text


def import_own(modules: Iterable[str]) -> None:
    """Imports modules that the user names; the current folder is looked into, as by `python -m`.

    Raises:
        ConfigError: One is not there, or cannot be imported.
    """
    for module in modules:
        here = os.getcwd()
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name
            if missing and f"{module}.".startswith(f"{missing}."):
                raise ConfigError(
                    f"--import {module}: there is no module {missing} in {here}, nor installed: "
                    "call the command in the folder that it is in"
                ) from error
            told = one_line(error, LONGEST_CAUSE)
            raise ConfigError(
                f"--import {module}: it cannot be imported: {type(error).__name__}: {told}"
            ) from error
