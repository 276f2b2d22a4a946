"""What to type to go on with a run: by the command line, or where that cannot, in Python."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from coopetition_interp.files.regular_file import UnreadableFileError, read_json_object
from coopetition_interp.interventions.serialise import is_of_this_package, was_run_as_script

TASK_MODULE = "task_module"
"""Name in `config.json` of the module that defines a task of the user's own."""


def resume_call(path: str | Path) -> str:
    """The command, or for a task or a clamp that no command can import, the call."""
    content: Mapping[str, Any] = {}
    with suppress(OSError, UnreadableFileError):
        content = read_json_object(Path(path) / "config.json")
    modules = own_modules_in(content)
    if any(map(was_run_as_script, modules)):
        return f"`resume({str(path)!r})` in Python, where the run's own task or clamps are defined"
    return f"`coopetition-interp train --resume {run_words(path, modules)}`"


def run_words(path: str | Path, modules: Iterable[str]) -> str:
    """A run's directory, and modules to import first, as words of a command line."""
    imports = [word for module in modules for word in ("--import", module)]
    return shlex.join([str(path), *imports])


def own_modules_in(value: Any) -> list[str]:
    """Modules outside of this package that a config names, of its task and its clamps."""
    if isinstance(value, list):
        return sorted({module for each in value for module in own_modules_in(each)})
    if not isinstance(value, Mapping):
        return []
    named = [value[TASK_MODULE]] if TASK_MODULE in value else []
    named += [value["module"]] if "kind" in value and "module" in value else []
    own = {m for m in named if isinstance(m, str) and not is_of_this_package(m)}
    return sorted(own.union(*map(own_modules_in, value.values())))
