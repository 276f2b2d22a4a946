"""How a run stands, told from its directory and from whether a living process is at it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple

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
        try:
            if is_finished(directory, directory.read_config()):
                return RunState(noted, seen, message)
        except (RunError, ValueError):  # whoever reads that config is told what is wrong with it
            return RunState(noted, seen, message)
    try:
        if directory.in_use():
            return RunState("running", seen, message)
    except RunError as error:  # somebody else's: believe what it says
        return RunState(noted, seen, message or str(error))
    if noted in ("damaged", "failed"):
        return RunState(noted, seen, message)
    if not os.path.lexists(directory.config_path):
        return RunState("missing", seen, message)
    if noted != "interrupted":
        message = f"it is not at its end and no process is at it: {how_to_go_on(path)}"
    return RunState("interrupted", seen, message)


def state_of(path: str | Path) -> str:
    """State of a run directory, as `look_at` has it."""
    return look_at(path).state


def status_of(path: str | Path) -> RunStatus:
    """`state`, `sequences_seen` and `message` of a run, as `look_at` has them.

    Raises:
        RunError: There is no run, or its status cannot be read.
    """
    noted = RunDirectory(path).read_status()
    found = look_at(path)
    states: tuple[Literal["running", "finished", "interrupted", "failed"], ...]
    states = ("running", "finished", "interrupted", "failed")
    for state in states:
        if state == found.state:
            return {
                "state": state,
                "sequences_seen": found.sequences_seen,
                "message": found.message,
            }
    return noted


def how_to_go_on(path: str | Path) -> str:
    """What to type to go on with a run."""
    return f"go on by `coopetition-interp train --resume {path}`"


def require_config_of_save(directory: RunDirectory) -> None:
    """Refuses a directory that holds a save without the config it belongs to.

    Raises:
        RunError: If it does.
    """
    if directory.resume_path.exists() and not directory.config_path.exists():
        raise RunError(
            f"{directory.path} holds a run without its config.json: put that back, or choose "
            "another directory"
        )
