"""What a run is: one frozen dataclass, from which the saved config and the command line follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from coopetition_interp.data import (
    FeatureBank,
    FeatureSource,
    FeatureSplit,
    GaussianFeatures,
    feature_source_from_dict,
    feature_source_to_dict,
)
from coopetition_interp.interventions import Clamp, clamp_from_dict, clamp_to_dict
from coopetition_interp.model import ModelConfig
from coopetition_interp.sequences import EvaluatorConfig, SequenceConfig, standard_evaluators
from coopetition_interp.training.schedules import OptimizerConfig, Schedule
from coopetition_interp.training.typed_fields import ConfigError, from_plain, override, to_plain


@dataclass(frozen=True)
class ClassesConfig:
    """Which classes and exemplars of the bank are trained on; the others are held out.

    Attributes:
        n_train: Training classes; null for all. Whole groups (the transforms of one character)
            stay on one side.
        n_train_exemplars: Exemplars per training class; null for all.
        n_held_out: Held-out classes kept; null for all that are left.
        shuffle_seed: Seed of the order in which groups are taken; null for the bank's order.
    """

    n_train: int | None = None
    n_train_exemplars: int | None = None
    n_held_out: int | None = None
    shuffle_seed: int | None = None

    def split(self, bank: FeatureBank) -> FeatureSplit:
        """The training and held-out classes and exemplars of a bank.

        Raises:
            ValueError: More is asked for than the bank holds.
        """
        return bank.split(
            n_train_classes=self.n_train,
            n_train_exemplars=self.n_train_exemplars,
            n_held_out_classes=self.n_held_out,
            shuffle_seed=self.shuffle_seed,
        )


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's weights, and when they are looked at.

    Lengths and moments are in sequences seen: optimizer steps x `batch_size`.

    Attributes:
        name: The preset it came from, or what the user calls it.
        features: Where exemplars come from.
        classes: Split of the bank into training and held-out classes and exemplars.
        sequences: Kind of training sequences.
        model: Shape and initial seed of the transformer.
        optimizer: Adam and its learning rate.
        clamps: What is held throughout training (and in the run's own evaluations).
        start_from: A weights file (safetensors) to start from, with a fresh optimizer; null to
            start from the initialisation.
        n_sequences: Length of the run.
        batch_size: Sequences per optimizer step.
        data_seed: Seed of the training sequences.
        evaluators: What is measured, and on which sequences.
        evaluation_seed: Seed of the evaluation sequences.
        evaluate_at: When it is measured.
        checkpoint_at: When weights are kept.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        n_threads: CPU threads; 0 for torch's own choice. The number used is saved with the run
            and kept on resuming, for the same bits.
        compile: Compile the training step; "auto" does so for runs of over 3000 steps.
    """

    name: str = "custom"
    features: FeatureSource = field(default_factory=GaussianFeatures)
    classes: ClassesConfig = field(default_factory=ClassesConfig)
    sequences: SequenceConfig = field(default_factory=SequenceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    clamps: tuple[Clamp, ...] = ()
    start_from: str | None = None
    n_sequences: int = 1_000_000
    batch_size: int = 32
    data_seed: int = 2
    evaluators: tuple[EvaluatorConfig, ...] = field(default_factory=standard_evaluators)
    evaluation_seed: int = 0
    evaluate_at: Schedule = field(default_factory=lambda: Schedule(every=50_000))
    checkpoint_at: Schedule = field(default_factory=lambda: Schedule(every=50_000))
    device: Literal["auto", "cpu", "cuda"] = "auto"
    n_threads: int = 0
    compile: Literal["auto", "yes", "no"] = "auto"

    def __post_init__(self) -> None:
        for name in ("n_sequences", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.n_sequences > 10**12:
            raise ConfigError(f"n_sequences must be at most 1e12; got {self.n_sequences:g}")
        if self.n_sequences < self.batch_size:
            raise ConfigError(
                f"n_sequences ({self.n_sequences}) is less than one batch ({self.batch_size})"
            )
        if self.n_threads < 0:
            raise ConfigError(f"n_threads cannot be negative; got {self.n_threads}")
        for name in ("data_seed", "evaluation_seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} cannot be negative; got {getattr(self, name)}")
        names = [evaluator.name for evaluator in self.evaluators]
        if len(set(names)) < len(names):
            raise ConfigError(f"evaluators need different names; got {', '.join(names)}")

    @property
    def n_steps(self) -> int:
        """Optimizer steps of the whole run; a last part-batch is left out."""
        return self.n_sequences // self.batch_size

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with these fields changed, a nested one given as a dictionary of its changes."""
        nested = {
            name: dataclasses.replace(getattr(self, name), **change)
            if isinstance(change, Mapping)
            else change
            for name, change in changes.items()
        }
        return dataclasses.replace(self, **nested)

    def to_dict(self) -> dict[str, Any]:
        """The config in JSON's types."""
        return to_plain(
            self,
            {**dict.fromkeys(_source_types(), feature_source_to_dict), Clamp: clamp_to_dict},
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunConfig:
        """The config that `to_dict` wrote; fields left out take their defaults.

        Raises:
            ConfigError: Unknown or missing field, or a value it cannot have.
        """
        decoders = {FeatureSource: feature_source_from_dict, Clamp: clamp_from_dict}
        return from_plain(cls, data, decoders)

    def with_overrides(self, assignments: Iterable[str]) -> RunConfig:
        """A copy with `dotted.field=value` assignments applied, values in JSON or plain text.

        Raises:
            ConfigError: An unknown field, or a value it cannot have.
        """
        return RunConfig.from_dict(override(self.to_dict(), assignments))


def _source_types() -> tuple[type, ...]:
    from coopetition_interp.data.sources import FEATURE_SOURCES

    return tuple(FEATURE_SOURCES.values())
