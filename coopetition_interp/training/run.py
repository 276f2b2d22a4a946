"""A saved run, read back: its config, metrics, and any checkpoint as a ready model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor

from coopetition_interp.tasks.exemplar_label.features import FeatureBank, FeatureSplit
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, make_evaluation_sequences
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.run_directory import RunDirectory, RunError, read_tensors
from coopetition_interp.training.run_records import RunStatus
from coopetition_interp.training.run_state import status_of


@dataclass(frozen=True, eq=False)
class Run:
    """A run on disk. Reads only; made by `load_run`.

    Attributes:
        path: The run's directory.
        config: What was run.
        resolved: What the config left open: `d_feature`, `n_labels`, `device`, `n_threads`, ...
    """

    path: Path
    config: RunConfig
    resolved: dict[str, Any]

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
        if isinstance(sequences_seen, str):
            sequences_seen = kept[0] if sequences_seen == "first" else kept[-1]
        if sequences_seen not in kept:
            nearest = min(kept, key=lambda seen: abs(seen - sequences_seen))
            raise RunError(
                f"{self.path} has no checkpoint at {sequences_seen} sequences; the nearest is at "
                f"{nearest}"
            )
        return RunDirectory(self.path).checkpoint_path(sequences_seen)

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
        self._require_resolved_sizes(tensors, path)
        _require_same_shapes(tensors, self._shapes, path)
        return {name: tensor.float() for name, tensor in tensors.items()}

    def model(
        self,
        sequences_seen: int | Literal["first", "last"] = "last",
        device: torch.device | str = "cpu",
    ) -> ExemplarLabelTransformer:
        """A checkpoint as a ready model.

        Args:
            sequences_seen: Exactly one of `checkpoints`, or "first" or "last".
            device: Where to put it.

        Raises:
            RunError: No such checkpoint, a damaged file, or one of another model.
        """
        path = self.checkpoint_path(sequences_seen)
        tensors, _ = read_tensors(path)
        self._require_resolved_sizes(tensors, path)
        model = self._fresh_model()
        _copy_weights(model, tensors, path)
        return model.to(device, print_details=False)

    def _fresh_model(self) -> ExemplarLabelTransformer:
        return self.config.model.build(
            self.resolved["d_feature"], self.resolved["n_labels"], self.config.sequences.n_pairs
        )

    @cached_property
    def _shapes(self) -> dict[str, torch.Size]:
        parameters = self._fresh_model().named_parameters()
        return {name: parameter.shape for name, parameter in parameters}

    def _require_resolved_sizes(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Compares two sizes first, since a wrong one may be too large for a model to be built."""
        for size, name, axis in (
            ("d_feature", "exemplar_embed.W", 0),
            ("n_labels", "unembed.W_U", -1),
        ):
            shape = list(tensors[name].shape) if name in tensors else []
            if shape and shape[axis] != self.resolved[size]:
                raise RunError(
                    f"{name} is {shape} in {path}, but {self.path / 'resolved.json'} has {size} "
                    f"{self.resolved[size]}: one of them belongs to another run"
                )

    @cached_property
    def bank(self) -> FeatureBank:
        """The features it was trained on, loaded anew."""
        return self.config.features.load()

    @cached_property
    def split(self) -> FeatureSplit:
        """Training and held-out classes and exemplars."""
        return self.config.classes.split(self.bank)

    @cached_property
    def evaluation_sequences(self) -> dict[str, Sequences]:
        """The fixed sequences of each of its evaluators."""
        return make_evaluation_sequences(
            self.bank,
            self.split,
            self.config.evaluators,
            seed=self.config.evaluation_seed,
            n_labels=self.resolved["n_labels"],
        )


def load_run(path: str | Path) -> Run:
    """Opens a run's directory.

    Args:
        path: The directory, as given to `train`; the run may still be going on.

    Raises:
        RunError: If it holds no run, or its config cannot be read.
    """
    directory = RunDirectory(path)
    return Run(directory.path, directory.read_config(), directory.read_resolved())


def load_weights(model: ExemplarLabelTransformer, path: str | Path) -> None:
    """Copies a checkpoint's weights into a model.

    Raises:
        RunError: Missing or damaged file, or weights of another shape, naming the first.
    """
    tensors, _ = read_tensors(path)
    _copy_weights(model, tensors, path)


def _copy_weights(
    model: ExemplarLabelTransformer, tensors: Mapping[str, Tensor], path: str | Path
) -> None:
    parameters = dict(model.named_parameters())
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
