"""A run's directory: what is in it, written so that a kill at any moment leaves it whole.

config.json           the run's config
resolved.json         what the config left open: sizes, digests, threads, device, ...
environment.json      versions and machine
metrics.csv           one row per moment and evaluator
checkpoints/*.safetensors   weights, named by sequences seen
resume.safetensors    weights and optimizer state of the latest save
status.json           running, finished, interrupted or failed, and why
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd
import safetensors
from pydantic import TypeAdapter
from torch import Tensor

from coopetition_interp.files.atomic_file import atomic_file, remove_unfinished
from coopetition_interp.files.regular_file import UnreadableFileError, read_json_object
from coopetition_interp.files.tensor_file import not_finite_floats, write_tensor_file
from coopetition_interp.training.directory_lock import DirectoryLock
from coopetition_interp.training.environment import describe_environment
from coopetition_interp.training.going_on import TASK_MODULE, resume_call
from coopetition_interp.training.metrics_table import read_metrics_table
from coopetition_interp.training.run_config import BUILT_IN_TASKS, RunConfig
from coopetition_interp.training.run_records import (
    Resolved,
    RunError,
    RunStatus,
    as_status,
    checked,
)
from coopetition_interp.training.saved_config import config_in
from coopetition_interp.training.saved_tensors import CHECKPOINT_NAME, RESUME_NAME, read_tensors

__all__ = ["MissingFileError", "RunDirectory", "RunError", "read_tensors"]

_MEND_RECORD = "put back a copy of it"


class MissingFileError(RunError):
    """A directory holds no run, or the run lacks a file."""


class RunDirectory:
    """Paths and files of one run.

    Args:
        path: The directory.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = DirectoryLock(self.path)

    @property
    def config_path(self) -> Path:
        """The saved config."""
        return self.path / "config.json"

    @property
    def metrics_path(self) -> Path:
        """The table of metrics."""
        return self.path / "metrics.csv"

    @property
    def resume_path(self) -> Path:
        """The latest weights and optimizer state."""
        return self.path / RESUME_NAME

    def __enter__(self) -> RunDirectory:
        """Takes the directory for this process, and clears away what killed writers left in it.

        Raises:
            RunError: If a living process has it, or it cannot be written to.
        """
        _write_or_explain(self.path, lambda: self.path.mkdir(parents=True, exist_ok=True))
        self._lock.take()
        with contextlib.suppress(OSError):  # only tidying up
            remove_unfinished(self.path)
            remove_unfinished(self.path / "checkpoints")
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def in_use(self) -> bool:
        """Whether a living process has the directory. The lock of one that was killed is gone.

        Nothing is made or changed by asking.

        Raises:
            RunError: It cannot be told, for want of permission or because the lock is no file.
        """
        return self._lock.is_held()

    def require_new(self) -> None:
        """Refuses a directory that holds a run already.

        Raises:
            RunError: If it does, or holds a part of one.
        """
        if self.config_path.exists():
            raise RunError(
                f"{self.path} holds a run already: choose another directory, or go on with that "
                f"run by {resume_call(self.path)}"
            )
        left = [path for path in (self.metrics_path, self.resume_path) if path.exists()]
        left += [self.checkpoint_path(seen) for seen in self.checkpoints()]
        if left:
            raise RunError(
                f"{self.path} holds a run without its config.json ({left[0].name} is there): put "
                "that back, or choose another directory"
            )

    # Reading -------------------------------------------------------------------------------

    def read_config(self) -> RunConfig:
        """The run's config.

        Raises:
            RunError: If there is none, or it cannot be read.
        """
        content = self._read(self.config_path, _MEND_RECORD)
        return config_in(content, self.config_path, _MEND_RECORD)

    def read_resolved(self, config: RunConfig) -> Resolved:
        """What the config left open and the run settled, as `config.resolved_fields` has it.

        Raises:
            RunError: If there is none, or it is damaged; also when a value is taken from it that
                it lacks.
        """
        path = self.path / "resolved.json"
        content = self._read(path, _MEND_RECORD)
        validate = TypeAdapter(config.resolved_fields).validate_python
        return Resolved(checked(validate, content, path, _MEND_RECORD), path)

    def read_status(self) -> RunStatus:
        """State of the run: `state`, `sequences_seen`, `message`.

        Raises:
            MissingFileError: If there is none.
            RunError: If it is damaged.
        """
        path = self.path / "status.json"
        mend = _MEND_RECORD
        if os.path.isfile(self.resume_path):
            mend += f", or remove it and go on by {resume_call(self.path)}"
        return checked(as_status, self._read(path, mend), path, mend)

    def read_metrics(self) -> pd.DataFrame:
        """The metrics so far; empty before the first evaluation.

        Raises:
            RunError: The table is damaged, or gone though the run has been saved.
        """
        try:
            return read_metrics_table(self.metrics_path)
        except FileNotFoundError:
            if not os.path.isfile(self.resume_path):
                return pd.DataFrame()
            problem = f"{self.metrics_path} is missing, though the run has been saved"
        except UnreadableFileError as error:
            problem = str(error)
        raise self.damaged_metrics(problem)

    def damaged_metrics(self, problem: str) -> RunError:
        """The error to raise for a problem of the table of metrics, with the mend."""
        mend = "put back a copy of it"
        if os.path.isfile(self.resume_path):
            mend += (
                f". Or remove it, {RESUME_NAME} and status.json: {resume_call(self.path)} then "
                "makes the run again, to the same weights"
            )
        return RunError(f"{problem}: {mend}")

    def checkpoints(self) -> list[int]:
        """Sequences seen at each checkpoint that is there, in order.

        Raises:
            RunError: The folder cannot be read.
        """
        folder = self.path / "checkpoints"
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"{folder} cannot be read: {error.strerror or error}") from error
        found = (CHECKPOINT_NAME.fullmatch(name) for name in names)
        seen = sorted(int(name[1]) for name in found if name is not None)
        return [moment for moment in seen if self.checkpoint_path(moment).name in names]

    def checkpoint_path(self, sequences_seen: int) -> Path:
        """File of the checkpoint at this many sequences seen."""
        return self.path / "checkpoints" / f"{sequences_seen:012d}.safetensors"

    def _read(self, path: Path, mend: str) -> dict[str, Any]:
        if (run := self.run_around()) is not None:
            raise MissingFileError(f"{self.path} is a part of a run: give its directory, {run}")
        try:
            return read_json_object(path)
        except FileNotFoundError as error:
            raise MissingFileError(
                f"{self.path} holds no run ({path.name} is missing): a run is made by "
                f"`coopetition-interp train PRESET --out {quote(str(self.path))}`"
            ) from error
        except UnreadableFileError as error:
            raise RunError(f"{error}: {mend}") from error

    def run_around(self) -> Path | None:
        """The run that this path is a file or folder in, if it is no directory of a run itself."""
        if (self.path / "config.json").is_file():
            return None
        above = [p for p in list(self.path.parents)[:2] if (p / "config.json").is_file()]
        return above[0] if above and self.path.exists() else None

    # Writing -------------------------------------------------------------------------------

    def write_config(self, config: RunConfig, resolved: Mapping[str, Any]) -> None:
        """Saves the config, what it left open, and the environment; the config last."""
        self._write_json("resolved.json", dict(resolved))
        self._write_json("environment.json", describe_environment())
        content = config.to_dict()
        if content.get("task") not in BUILT_IN_TASKS:
            content[TASK_MODULE] = type(config).__module__
        self._write_json("config.json", content)

    def write_status(self, state: str, sequences_seen: int, message: str = "") -> None:
        """Saves the run's state."""
        self._write_json(
            "status.json",
            {"state": state, "sequences_seen": sequences_seen, "message": message},
        )

    def write_metrics(self, metrics: pd.DataFrame) -> None:
        """Saves the whole table of metrics."""

        def write() -> None:
            with atomic_file(self.metrics_path) as file:
                metrics.to_csv(file, index=False)

        _write_or_explain(self.metrics_path, write)

    def write_tensors(
        self, path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
    ) -> None:
        """Saves named tensors, with some text beside them and a checksum over all of it.

        Raises:
            RunError: A tensor is not of finite floating-point numbers, or the write failed; what
                was there before is kept.
        """
        if problem := not_finite_floats(tensors):
            kept = " The one saved before is kept." if os.path.lexists(path) else ""
            raise RunError(
                f"{path} is not written: {problem}.{kept} A smaller optimizer.learning_rate is the "
                "usual mend"
            )
        _write_or_explain(path, lambda: write_tensor_file(path, tensors, metadata))

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        def write() -> None:
            with atomic_file(self.path / name) as file:
                file.write_text(json.dumps(content, indent=1) + "\n")

        _write_or_explain(self.path / name, write)


def _write_or_explain(path: Path, write: Callable[[], None]) -> None:
    """Runs a write; a full disk is told as such."""
    try:
        write()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RunError(
                f"no space left while writing {path}. All that was saved before is whole: free "
                "some space, then resume the run"
            ) from error
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:  # what save_file makes of a failed write
        raise RunError(
            f"cannot write {path} ({error}); if it is for lack of space, free some and resume the "
            "run. All that was saved before is whole"
        ) from error
