"""What a run is: one frozen config, which is saved with it and which the command line changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticSerializationError

from coopetition_interp.config_class import (
    Config,
    Count,
    Integer,
    Seed,
    Text,
    config_class,
    shortened,
)
from coopetition_interp.interventions import Clamp, clamp_from_dict, clamp_to_dict
from coopetition_interp.tasks.exemplar_label.features import (
    FeatureBank,
    FeatureSource,
    FeatureSplit,
    GaussianFeatures,
)
from coopetition_interp.tasks.exemplar_label.model import ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import (
    EvaluatorConfig,
    SequenceConfig,
    standard_evaluators,
)
from coopetition_interp.training.overrides import override
from coopetition_interp.training.schedules import OptimizerConfig, Schedule

MOST_ACTIVATIONS = 2**31
"""Activations of a training step beyond which it would take over 8 GiB."""


def _clamp(value: Any) -> Clamp:
    if isinstance(value, Clamp):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f'a clamp is a group of fields with a "kind"; got {shortened(value)}')
    try:
        return clamp_from_dict(value)
    except TypeError as error:
        raise ValueError(str(error)) from error


SavedClamp = Annotated[Clamp, PlainValidator(_clamp), PlainSerializer(clamp_to_dict)]


@config_class
class ClassesConfig(Config):
    """Which classes and exemplars of the bank are trained on; the others are held out.

    Attributes:
        n_train: Training classes; null for all. Whole groups (the transforms of one character)
            stay on one side.
        n_train_exemplars: Exemplars per training class; null for all.
        n_held_out: Held-out classes kept; null for all that are left.
        shuffle_seed: Seed of the order in which groups are taken; null for the bank's order.
    """

    n_train: Count | None = None
    n_train_exemplars: Count | None = None
    n_held_out: Annotated[Integer, Field(ge=0, le=10**9)] | None = None
    shuffle_seed: Seed | None = None

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


@config_class
class RunConfig(Config):
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

    name: Text = "custom"
    features: FeatureSource = field(default_factory=GaussianFeatures)
    classes: ClassesConfig = field(default_factory=ClassesConfig)
    sequences: SequenceConfig = field(default_factory=SequenceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    clamps: tuple[SavedClamp, ...] = ()
    start_from: Text | None = None
    n_sequences: Annotated[Integer, Field(ge=1, le=10**12)] = 1_000_000
    batch_size: Annotated[Integer, Field(ge=1, le=10**6)] = 32
    data_seed: Seed = 2
    evaluators: tuple[EvaluatorConfig, ...] = field(default_factory=standard_evaluators)
    evaluation_seed: Seed = 0
    evaluate_at: Schedule = field(default_factory=lambda: Schedule(every=50_000))
    checkpoint_at: Schedule = field(default_factory=lambda: Schedule(every=50_000))
    device: Literal["auto", "cpu", "cuda"] = "auto"
    n_threads: Annotated[Integer, Field(ge=0, le=1024)] = 0
    compile: Literal["auto", "yes", "no"] = "auto"

    def __post_init__(self) -> None:
        if self.n_sequences < self.batch_size:
            raise ValueError(
                f"n_sequences ({self.n_sequences}) is less than one batch ({self.batch_size})"
            )
        self._check_evaluators()
        self._check_optimizer()
        self._check_size()

    @property
    def n_steps(self) -> int:
        """Optimizer steps of the whole run; a last part-batch is left out."""
        return self.n_sequences // self.batch_size

    def to_dict(self) -> dict[str, Any]:
        """The config in JSON's types.

        Raises:
            ValueError: A clamp holds a model in memory, which JSON cannot.
        """
        try:
            return super().to_dict()
        except PydanticSerializationError as error:
            raise ValueError(str(error)) from error

    def with_overrides(self, assignments: Iterable[str]) -> RunConfig:
        """A copy with `dotted.field=value` assignments applied, values in JSON or plain text.

        Raises:
            ConfigError: An unknown field, or a value it cannot have.
        """
        return RunConfig.from_dict(override(self.to_dict(), assignments))

    def _check_evaluators(self) -> None:
        if not self.evaluators:
            raise ValueError("evaluators is empty: a run needs at least one to be measured by")
        names = [evaluator.name for evaluator in self.evaluators]
        if len(set(names)) < len(names):
            raise ValueError(f"evaluators need different names; got {', '.join(names)}")
        for evaluator in self.evaluators:
            if evaluator.sequences.n_pairs > self.sequences.n_pairs:
                raise ValueError(
                    f"evaluator {evaluator.name!r} has sequences of {evaluator.sequences.n_pairs} "
                    f"pairs, but the model's context holds the {self.sequences.n_pairs} of "
                    "training: lower its n_pairs or raise sequences.n_pairs"
                )

    def _check_optimizer(self) -> None:
        optimizer = self.optimizer
        if optimizer.warmup_steps > self.n_steps:
            raise ValueError(
                f"optimizer.warmup_steps ({optimizer.warmup_steps}) is more than the run's "
                f"{self.n_steps} steps (n_sequences / batch_size): shorten the warm-up or lengthen "
                "the run"
            )
        if optimizer.l2 > 0 and set(optimizer.l2_on) == {"mlp"} and not self.model.mlps:
            raise ValueError(
                "optimizer.l2_on names the MLPs alone, but model.mlps is false: there is nothing "
                "to penalise"
            )

    def _check_size(self) -> None:
        """Refuses a training step that no machine's memory would hold."""
        model, n_tokens = self.model, 2 * self.sequences.n_pairs + 1
        of_a_token = 4 * model.d_model * (3 if model.mlps else 1)
        of_a_token += model.n_heads * (4 * model.d_head + 2 * n_tokens)
        n_activations = self.batch_size * n_tokens * model.n_layers * of_a_token
        if n_activations > MOST_ACTIVATIONS:
            raise ValueError(
                f"a step of {self.batch_size} sequences with {n_tokens} tokens would hold about "
                f"{n_activations:.2g} activations, more than the {MOST_ACTIVATIONS:.2g} allowed (8 "
                "GiB): lower batch_size, sequences.n_pairs or the model's size"
            )
