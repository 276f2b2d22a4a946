"""A saved run on exemplar-label sequences, with its features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from torch import Tensor

from coopetition_interp.tasks.exemplar_label.config import ExemplarLabelConfig
from coopetition_interp.tasks.exemplar_label.features import FeatureBank, FeatureSplit
from coopetition_interp.tasks.exemplar_label.sequences import (
    Sequences,
    make_evaluation_sequences,
)
from coopetition_interp.training.run import Run
from coopetition_interp.training.run_directory import RunError


class ExemplarLabelRun(Run):
    """See `Run`; `load_run` makes it of a run on exemplar-label sequences."""

    config: ExemplarLabelConfig

    @cached_property
    def bank(self) -> FeatureBank:
        """The features it was trained on, loaded anew.

        Raises:
            RunError: They have changed since.
        """
        bank = self.config.classes.of(self.config.features.load())
        self.require_resolved(
            "features_sha256", bank.digest(), f"features ({self.config.features})"
        )
        return bank

    @cached_property
    def split(self) -> FeatureSplit:
        """Training and held-out classes and exemplars."""
        return self.config.classes.split(self.bank)

    def draw_evaluation_sequences(self) -> dict[str, Sequences]:
        """The fixed sequences of each of its evaluators, drawn anew."""
        return make_evaluation_sequences(
            self.bank,
            self.split,
            self.config.evaluators,
            seed=self.config.evaluation_seed,
            n_labels=self.resolved["n_labels"],
        )

    def require_resolved_sizes(self, tensors: Mapping[str, Tensor], path: Path) -> None:
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
