"""A run's config as it is read back: of which task it is, and why it may not be readable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from coopetition_interp.config_class import shortened
from coopetition_interp.interventions.serialise import NOT_KNOWN_HERE, was_run_as_script
from coopetition_interp.one_line import LONGEST_CAUSE, clipped, one_line
from coopetition_interp.training.going_on import TASK_MODULE, own_modules_in
from coopetition_interp.training.run_config import RunConfig, UnknownTaskError
from coopetition_interp.training.run_records import RunError


def config_in(content: Mapping[str, Any], path: Path, mend: str) -> RunConfig:
    """The config that a run's `config.json` holds.

    Args:
        content: What it holds.
        path: The file, for errors.
        mend: What to do about a damaged one, for errors.

    Raises:
        RunError: It is of a task or a clamp that is not known here, or is no config of its class.
    """
    fields = {name: value for name, value in content.items() if name != TASK_MODULE}
    try:
        return RunConfig.from_dict(fields)
    except UnknownTaskError as error:
        raise RunError(f"{path}: {error}{_where_it_was(content.get(TASK_MODULE))}") from error
    except ValueError as error:
        told = one_line(error, LONGEST_CAUSE)
        if NOT_KNOWN_HERE in told:
            raise RunError(f"{path}: {told}") from error
        if modules := own_modules_in(content):
            named = shortened(", ".join(modules))
            raise RunError(
                f"{path} does not fit the task and clamps as they are now ({told}): if those of "
                f"{named} changed since the run was begun, give them back the fields they had (a "
                f"new one needs a default); otherwise {mend}"
            ) from error
        raise RunError(f"{path} is no config of a run ({told}): {mend}") from error


def _where_it_was(module: Any) -> str:
    if not isinstance(module, str):
        return ""
    if was_run_as_script(module):
        return " (it was in a script or notebook: run its definition first)"
    word = quote(clipped(module))
    return f" (it was in {shortened(module)}: on the command line, add `--import {word}`)"
