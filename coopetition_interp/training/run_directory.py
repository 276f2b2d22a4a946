"""A run's directory: what is in it, written so that a kill at any moment leaves it whole.

config.json           the run's config
resolved.json         what the config left open: d_feature, n_labels, threads, device, ...
environment.json      versions and machine
metrics.csv           one row per moment and evaluator
checkpoints/*.safetensors   weights, named by sequences seen
resume.safetensors    weights and optimizer state of the latest save
status.json           running, finished, interrupted or failed, and why
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
import pandas as pd
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from coopetition_interp.data.atomic_file import atomic_file
from coopetition_interp.training.run_config import RunConfig

# Before 3.1, pandas read floats exactly only when told to; since then it deprecates being told.
_PANDAS_VERSION = tuple(int(part) for part in pd.__version__.split(".")[:2])
EXACT_FLOATS: Any = {} if _PANDAS_VERSION >= (3, 1) else {"float_precision": "round_trip"}


SECONDS_TO_TAKE = 2.0
SECONDS_TO_PROBE = 0.1


class RunError(RuntimeError):
    """A run directory cannot be used, read or written as asked."""


class RunDirectory:
    """Paths and files of one run.

    Args:
        path: The directory.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = filelock.FileLock(self._lock_path)

    @property
    def _lock_path(self) -> Path:
        return self.path / "in_use.lock"

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
        return self.path / "resume.safetensors"

    def __enter__(self) -> RunDirectory:
        """Takes the directory for this process.

        Raises:
            RunError: If a living process has it.
        """
        _write_or_explain(self.path, lambda: self.path.mkdir(parents=True, exist_ok=True))
        try:
            self._lock.acquire(timeout=SECONDS_TO_TAKE)  # `in_use` may hold it for an instant
        except filelock.Timeout as error:
            raise RunError(
                f"{self.path} is in use by another process: wait for it, stop it, or choose "
                "another directory"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def in_use(self) -> bool:
        """Whether a living process has the directory. The lock of one that was killed is gone.

        Raises:
            RunError: It cannot be told, for want of permission.
        """
        if not self._lock_path.exists():
            return False
        probe = filelock.FileLock(self._lock_path)
        try:
            probe.acquire(timeout=SECONDS_TO_PROBE, poll_interval=SECONDS_TO_PROBE / 5)
        except filelock.Timeout:
            return True
        except OSError as error:
            raise RunError(f"cannot tell whether {self.path} is in use: {error}") from error
        probe.release()
        return False

    def require_new(self) -> None:
        """Refuses a directory that holds a run already.

        Raises:
            RunError: If it does.
        """
        if self.config_path.exists():
            raise RunError(
                f"{self.path} holds another run: choose another directory, or go on with that run "
                f"by `coopetition-interp train --resume {self.path}`"
            )

    # Reading -------------------------------------------------------------------------------

    def read_config(self) -> RunConfig:
        """The run's config.

        Raises:
            RunError: If there is none, or it cannot be read.
        """
        return RunConfig.from_dict(self._read_json(self.config_path))

    def read_resolved(self) -> dict[str, Any]:
        """What the config left open and the run settled."""
        return self._read_json(self.path / "resolved.json")

    def read_status(self) -> dict[str, Any]:
        """State of the run: `state`, `sequences_seen`, `message`."""
        return self._read_json(self.path / "status.json")

    def read_metrics(self) -> pd.DataFrame:
        """The metrics so far; empty before the first evaluation."""
        if not self.metrics_path.exists():
            return pd.DataFrame()
        return pd.read_csv(self.metrics_path, **EXACT_FLOATS)

    def checkpoints(self) -> list[int]:
        """Sequences seen at each checkpoint that is there, in order."""
        folder = self.path / "checkpoints"
        return sorted(
            int(file.stem) for file in folder.glob("*.safetensors") if file.stem.isdigit()
        )

    def checkpoint_path(self, sequences_seen: int) -> Path:
        """File of the checkpoint at this many sequences seen."""
        return self.path / "checkpoints" / f"{sequences_seen:012d}.safetensors"

    def _read_json(self, path: Path) -> dict[str, Any]:
        try:
            return json.loads(path.read_text())
        except FileNotFoundError as error:
            raise RunError(
                f"{self.path} holds no run ({path.name} is missing): a run is made by "
                f"`coopetition-interp train PRESET --out {self.path}`"
            ) from error
        except json.JSONDecodeError as error:
            raise RunError(f"{path} cannot be read as JSON: {error}") from error

    # Writing -------------------------------------------------------------------------------

    def write_config(self, config: RunConfig, resolved: Mapping[str, Any]) -> None:
        """Saves the config, what it left open, and the environment; the config last."""
        self._write_json("resolved.json", dict(resolved))
        self._write_json("environment.json", describe_environment())
        self._write_json("config.json", config.to_dict())

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
        """Saves named tensors with some text beside them."""
        contiguous = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}

        def write() -> None:
            with atomic_file(path) as file:
                safetensors.torch.save_file(contiguous, file, dict(metadata))

        _write_or_explain(path, write)

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        def write() -> None:
            with atomic_file(self.path / name) as file:
                file.write_text(json.dumps(content, indent=1) + "\n")

        _write_or_explain(self.path / name, write)


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Named tensors of a safetensors file, and the text beside them.

    Raises:
        RunError: If the file is missing, truncated or not safetensors.
    """
    path = Path(path)
    if not path.is_file():
        raise RunError(f"there is no checkpoint {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except safetensors.SafetensorError as error:
        raise RunError(
            f"{path} is truncated or not a safetensors file ({error}): remove it and resume the "
            "run, or copy it again"
        ) from error


def describe_environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    packages = ("coopetition-interp", "torch", "transformer-lens", "numpy", "safetensors")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        **{package: importlib.metadata.version(package) for package in packages},
    }


def _write_or_explain(path: Path, write: Any) -> None:
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
