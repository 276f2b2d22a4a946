"""A saved run, read back: its config, metrics, and any checkpoint as a ready model."""

from __future__ import annotations

import numbers
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from transformer_lens import HookedRootModule

from coopetition_interp.config_class import shortened
from coopetition_interp.interventions.model_weights import weights_of
from coopetition_interp.training.machine import put_on, require_default_device
from coopetition_interp.training.run_directory import RunDirectory, RunError, read_tensors
from coopetition_interp.training.run_records import RunStatus
from coopetition_interp.training.run_state import status_of
from coopetition_interp.training.task import by_name


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A run on disk. Reads only; made by `load_run`.

    Attributes:
        path: The run's directory.
        config: What was run: the `RunConfig` of its task.
        resolved: What the config left open: sizes, digests, `device`, `n_threads`, ...
    """

    path: Path
    config: Any
    resolved: dict[str, Any]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {self._how_far()})"

    def _repr_html_(self) -> str:
        """As a notebook shows it: how far it is, and its last scores."""
        try:
            metrics = self.metrics
        except RunError:
            metrics = pd.DataFrame()
        if metrics.empty:
            return f"<p>{escape(repr(self))}</p>"
        last = metrics[metrics["sequences_seen"] == metrics["sequences_seen"].max()]
        scores = last.dropna(axis="columns", how="all").to_html(index=False, float_format="%.3f")
        return f"<p>{escape(repr(self))}</p>{scores}"

    def _how_far(self) -> str:
        try:
            status = self.status
        except RunError:
            return "its status.json cannot be read"
        length = f"{status['sequences_seen']:,} of {self.config.n_sequences:,} sequences seen"
        return f"{type(self.config).__name__}, {length}, {status['state']}"

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per moment and evaluator, as it stands now."""
        return RunDirectory(self.path).read_metrics()

    @property
    def status(self) -> RunStatus:
        """`state` (running, finished, interrupted, failed), `sequences_seen`, `message`."""
        return status_of(self.path)

    @property
    def checkpoints(self) -> list[int]:
        """Sequences seen at each kept checkpoint, in order."""
        return RunDirectory(self.path).checkpoints()

    def checkpoint_path(self, sequences_seen: int | Literal["first", "last"] = "last") -> Path:
        """File of a checkpoint.

        Args:
            sequences_seen: Exactly one of `checkpoints`, or "first" or "last".

        Raises:
            RunError: If there is no such checkpoint, naming the nearest.
        """
        kept = self.checkpoints
        if not kept:
            raise RunError(f"{self.path} holds no checkpoints")
        if isinstance(sequences_seen, str) and sequences_seen in ("first", "last"):
            sequences_seen = kept[0] if sequences_seen == "first" else kept[-1]
        if not isinstance(sequences_seen, numbers.Real | Tensor) or isinstance(
            sequences_seen, bool
        ):
            raise RunError(
                f"{shortened(sequences_seen)} is no checkpoint of {self.path}: give a number of "
                'sequences seen, "first" or "last"'
            )
        if sequences_seen not in kept:
            nearest = min(kept, key=lambda seen: abs(seen - sequences_seen))
            raise RunError(
                f"{self.path} has no checkpoint at {sequences_seen} sequences; the nearest is at "
                f"{nearest}"
            )
        return RunDirectory(self.path).checkpoint_path(int(sequences_seen))

    def nearest_checkpoint(self, sequences_seen: float) -> int:
        """The kept checkpoint closest to this many sequences seen."""
        if not self.checkpoints:
            raise RunError(f"{self.path} holds no checkpoints")
        return min(self.checkpoints, key=lambda seen: abs(seen - sequences_seen))

    def weights(self, sequences_seen: int | Literal["first", "last"] = "last") -> dict[str, Tensor]:
        """Parameters of a checkpoint by name, float32.

        Raises:
            RunError: No such checkpoint, a damaged file, or one of another model.
        """
        path = self.checkpoint_path(sequences_seen)
        tensors, _ = read_tensors(path)
        self.require_resolved_sizes(tensors, path)
        _require_same_shapes(tensors, self._shapes, path)
        return {name: tensor.float() for name, tensor in tensors.items()}

    def model(
        self,
        sequences_seen: int | Literal["first", "last"] = "last",
        device: torch.device | str = "cpu",
    ) -> Any:
        """A checkpoint as a ready model, of the kind that the task trains.

        Args:
            sequences_seen: Exactly one of `checkpoints`, or "first" or "last".
            device: Where to put it.

        Raises:
            RunError: No such checkpoint, a damaged file, or one of another model.
        """
        path = self.checkpoint_path(sequences_seen)
        tensors, _ = read_tensors(path)
        self.require_resolved_sizes(tensors, path)
        model = self._fresh_model()
        _copy_weights(model, tensors, path)
        put_on(model, device)
        return model

    def _fresh_model(self) -> HookedRootModule:
        require_default_device()
        with _draws_put_back():
            return self.config.fresh_model(self.resolved)

    @cached_property
    def _shapes(self) -> dict[str, torch.Size]:
        return {name: weight.shape for name, weight in weights_of(self._fresh_model()).items()}

    def require_resolved_sizes(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Refuses a checkpoint that does not go with `resolved`, before any model is built.

        Raises:
            RunError: It does not.
        """

    def require_resolved(self, name: str, found: Any, data: str) -> None:
        """Refuses data that are not those the run was begun with.

        Args:
            name: What tells them in `resolved`, such as a digest; a run without it is let pass.
            found: The same of the data as they are now.
            data: The data in words.

        Raises:
            RunError: They differ.
        """
        if self.resolved.get(name, found) != found:
            raise RunError(
                f"{data} have changed since {self.path} was begun with them: put back the original "
                "ones"
            )

    @cached_property
    def evaluation_sequences(self) -> Mapping[str, Any]:
        """The fixed sequences of each of its evaluators, made anew.

        Raises:
            RunError: The data are not those that it was begun with.
        """
        return by_name(self.config.make_evaluation_sequences(self))


@contextmanager
def _draws_put_back() -> Iterator[None]:
    """What a block draws, or seeds as TransformerLens does, changes nobody's later draws."""
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002  others' draws
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)


def load_run(path: str | Path) -> Run:
    """Opens a run's directory.

    Args:
        path: The directory, as given to `train`; the run may still be going on.

    Raises:
        RunError: If it holds no run, or its config cannot be read.
    """
    directory = RunDirectory(path)
    config = directory.read_config()
    return config.run_class()(directory.path, config, directory.read_resolved(config))


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Copies a checkpoint's weights into a model.

    Raises:
        RunError: Missing or damaged file, or weights of another shape, naming the first.
    """
    tensors, _ = read_tensors(path)
    _copy_weights(model, tensors, path)


def _copy_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    parameters = weights_of(model)
    _require_same_shapes(tensors, {name: p.shape for name, p in parameters.items()}, path)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def _require_same_shapes(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], path: str | Path
) -> None:
    for name in sorted(shapes.keys() | tensors.keys()):
        if name not in tensors or name not in shapes:
            where = "the model" if name in shapes else str(path)
            raise RunError(f"{name} is in {where} only: {path} belongs to another kind of model")
        if tensors[name].shape != shapes[name]:
            raise RunError(
                f"{name} is {list(tensors[name].shape)} in {path} but {list(shapes[name])} in the "
                "model"
            )
