"""How a run directory stands, for whoever looks at many of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from coopetition_interp.training.run_directory import MissingFileError, RunDirectory, RunError


class RunState(NamedTuple):
    """How a run directory stands, seen from outside.

    Attributes:
        state: "missing", "running", "finished", "interrupted", "failed" or "damaged".
        sequences_seen: How far the run has come, by what it noted last.
        message: Why it failed, or what is wrong with its files.
    """

    state: str
    sequences_seen: int
    message: str


def look_at(path: Path) -> RunState:
    """How a run directory stands; never raises for what is in it.

    "running" means that a living process is at it; a run whose process was killed is
    "interrupted", whatever it had written of itself. "damaged" means that nobody can tell how far
    it has come.
    """
    directory = RunDirectory(path)
    noted, seen, message = "missing", 0, ""
    try:
        status = directory.read_status()
    except MissingFileError:
        pass
    except RunError as error:
        noted, message = "damaged", str(error)
    else:
        noted, seen, message = status["state"], status["sequences_seen"], status["message"]
    if noted == "finished":
        return RunState(noted, seen, message)
    try:
        if directory.in_use():
            return RunState("running", seen, message)
    except RunError as error:  # somebody else's: believe what it says
        return RunState(noted, seen, message or str(error))
    if noted == "damaged":
        return RunState(noted, seen, message)
    if not os.path.lexists(directory.config_path):
        return RunState("missing", seen, message)
    return RunState("failed" if noted == "failed" else "interrupted", seen, message)


def state_of(path: Path) -> str:
    """State of a run directory, as `look_at` has it."""
    return look_at(path).state
