"""What to type to go on with a run: by the command line, or where that cannot, in Python."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from coopetition_interp.files.regular_file import UnreadableFileError, read_json_object
from coopetition_interp.interventions.serialise import is_of_this_package, was_run_as_script

TASK_MODULE = "task_module"
"""Name in `config.json` of the module that defines a task of the user's own."""


def resume_call(path: str | Path) -> str:
    """The command, or for a task or a clamp that no command imports, the call."""
    content: Mapping[str, Any] = {}
    with suppress(OSError, UnreadableFileError):
        content = read_json_object(Path(path) / "config.json")
    modules = _modules_in(content)
    if not modules:
        return f"`coopetition-interp train --resume {path}`"
    call = f"`resume({str(path)!r})` in Python"
    if any(map(was_run_as_script, modules)):
        return f"{call}, where the run's own task or clamps are defined"
    return f"{call}, after `import {', '.join(modules)}`"


def _modules_in(value: Any) -> list[str]:
    """Modules outside of this package that a config names, of its task and its clamps."""
    if isinstance(value, list):
        return sorted({module for each in value for module in _modules_in(each)})
    if not isinstance(value, Mapping):
        return []
    named = [value[TASK_MODULE]] if TASK_MODULE in value else []
    named += [value["module"]] if "kind" in value and "module" in value else []
    own = {m for m in named if isinstance(m, str) and not is_of_this_package(m)}
    return sorted(own.union(*map(_modules_in, value.values())))
