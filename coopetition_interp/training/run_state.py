"""How a run stands, told from its directory and from whether a living process is at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.run_directory import RunDirectory, RunError


def is_finished(directory: RunDirectory, config: RunConfig) -> bool:
    """Whether a run says that it is finished, and has seen all that its config asks for.

    A run that was being made longer when it was killed may say so with too few.
    """
    try:
        status = directory.read_status()
    except RunError:
        return False
    return status["state"] == "finished" and status["sequences_seen"] >= sequences_asked(config)


def sequences_asked(config: RunConfig) -> int:
    """Sequences that a run has seen once it is finished: whole batches."""
    return config.n_steps * config.batch_size


def state_of(path: str | Path) -> str:
    """State of a run directory: "missing", "running", "finished", "interrupted" or "failed".

    "running" means that a living process is at it; a run whose process was killed is
    "interrupted", whatever it had written of itself, and so is one that was made longer and has
    not got there.
    """
    directory = RunDirectory(path)
    try:
        noted = directory.read_status()["state"]
    except RunError:
        noted = "missing"
    if noted == "finished":
        try:
            if is_finished(directory, directory.read_config()):
                return noted
        except (RunError, ValueError):  # whoever reads that config is told what is wrong with it
            return noted
        noted = "interrupted"
    try:
        if directory.in_use():
            return "running"
    except RunError:  # somebody else's: believe what it says
        return noted
    if not directory.config_path.exists():
        return "missing"
    return noted if noted == "failed" else "interrupted"


def status_of(path: str | Path) -> dict[str, Any]:
    """`state` (see `state_of`), `sequences_seen` at the latest save, and a `message`.

    Raises:
        RunError: There is no run, or its status cannot be read.
    """
    state, noted = state_of(path), RunDirectory(path).read_status()
    if state == noted["state"]:
        return noted
    told = {
        "interrupted": f"it is not at its end and no process is at it: {how_to_go_on(path)}",
        "running": "",
    }
    return {**noted, "state": state, "message": told.get(state, noted["message"])}


def how_to_go_on(path: str | Path) -> str:
    """What to type to go on with a run."""
    return f"go on by `coopetition-interp train --resume {path}`"
