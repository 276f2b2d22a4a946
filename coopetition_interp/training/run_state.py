"""How a run stands, told from its directory and from whether a living process is at it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, cast

from coopetition_interp.training.going_on import resume_call
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.run_directory import MissingFileError, RunDirectory, RunError
from coopetition_interp.training.run_records import RunStatus


class RunState(NamedTuple):
    """How a run directory stands, seen from outside.

    Attributes:
        state: "missing", "running", "finished", "interrupted", "failed" or "damaged".
        sequences_seen: How far the run has come, by what it noted last.
        message: Why it failed, how to go on with it, or what is wrong with its files.
    """

    state: str
    sequences_seen: int
    message: str


def is_finished(directory: RunDirectory, config: RunConfig) -> bool:
    """Whether a run says that it is finished, and has seen all that its config asks for.

    A run that was being made longer when it was killed may say so with too few.

    Raises:
        RunError: What it says of itself is damaged.
    """
    try:
        status = directory.read_status()
    except MissingFileError:
        return False
    return status["state"] == "finished" and status["sequences_seen"] >= sequences_asked(config)


def sequences_asked(config: RunConfig) -> int:
    """Sequences that a run has seen once it is finished: whole batches."""
    return config.n_steps * config.batch_size


def look_at(path: str | Path) -> RunState:
    """How a run directory stands; never raises for what is in it.

    "running" means that a living process is at it; a run whose process was killed is
    "interrupted", whatever it had written of itself, and so is one that was made longer and has
    not got there. "damaged" means that nobody can tell how far it has come.
    """
    directory = RunDirectory(path)
    try:
        noted = RunState(**directory.read_status())
    except MissingFileError:
        noted = RunState("missing", 0, "")
    except RunError as error:
        noted = RunState("damaged", 0, str(error))
    return _as_it_stands(directory, noted)


def _as_it_stands(directory: RunDirectory, noted: RunState) -> RunState:
    """How a run that has noted this of itself stands."""
    if noted.state == "finished":
        try:
            if noted.sequences_seen >= sequences_asked(directory.read_config()):
                return noted
        except (RunError, ValueError):  # whoever reads that config is told what is wrong with it
            return noted
    try:
        if directory.in_use():
            return noted._replace(state="running")
    except RunError as error:  # somebody else's: believe what it says
        return noted._replace(message=noted.message or str(error))
    if noted.state in ("damaged", "failed"):
        return noted
    if not os.path.lexists(directory.config_path):
        return noted._replace(state="missing")
    if noted.state == "interrupted":
        return noted
    go_on = resume_call(directory.path)
    message = f"it is not at its end and no process is at it: go on by {go_on}"
    return noted._replace(state="interrupted", message=message)


def state_of(path: str | Path) -> str:
    """State of a run directory, as `look_at` has it."""
    return look_at(path).state


def status_of(path: str | Path) -> RunStatus:
    """`state`, `sequences_seen` and `message` of a run, as `look_at` has them.

    Raises:
        RunError: There is no run, or its status cannot be read.
    """
    directory = RunDirectory(path)
    noted = directory.read_status()
    found = _as_it_stands(directory, RunState(**noted))
    return noted if found.state == "missing" else cast(RunStatus, found._asdict())
