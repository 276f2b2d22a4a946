"""What a run on exemplar-label sequences is, beyond what all runs share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, with_config
from transformer_lens import HookedRootModule
from typing_extensions import NotRequired

from coopetition_interp.config_class import (
    ADDED_LATER,
    Config,
    Count,
    Flag,
    Integer,
    Seed,
    config_class,
)
from coopetition_interp.interventions import Clamps
from coopetition_interp.tasks.exemplar_label.features import (
    FeatureBank,
    FeatureSource,
    FeatureSplit,
    GaussianFeatures,
)
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelModel, ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import (
    EvaluatorConfig,
    SequenceConfig,
    Sequences,
    standard_evaluators,
)
from coopetition_interp.training.run import Run
from coopetition_interp.training.run_config import Evaluate, RunConfig
from coopetition_interp.training.run_records import Digest, ResolvedFields

if TYPE_CHECKING:
    from coopetition_interp.tasks.exemplar_label.task import ExemplarLabelTask

MOST_ACTIVATIONS = 2**31
"""Activations of a training step beyond which it would take over 8 GiB."""


@with_config(ConfigDict(strict=True, extra="allow"))
class ExemplarLabelSizes(ResolvedFields):
    """What `resolved.json` of such a run holds beside what every run's does.

    Attributes:
        d_feature: Length of a feature vector.
        n_labels: Labels that the model tells apart.
        features_sha256: Digest of the features.
    """

    d_feature: Annotated[int, Field(ge=1)]
    n_labels: Annotated[int, Field(ge=1)]
    features_sha256: NotRequired[Digest]


@config_class
class ClassesConfig(Config):
    """Which classes and exemplars of the bank are trained on; the others are held out.

    Attributes:
        n_train: Training classes; null for all. Whole groups (the transforms of one character)
            stay on one side.
        n_train_exemplars: Exemplars per training class; null for all.
        n_held_out: Held-out classes kept; null for all that are left.
        shuffle_seed: Seed of the order in which groups are taken; null for the bank's order.
        groups_as_classes: Make each group one class first: that of a character with its drawings
            in all transforms.
    """

    n_train: Count | None = None
    n_train_exemplars: Count | None = None
    n_held_out: Annotated[Integer, Field(ge=0, le=10**9)] | None = None
    shuffle_seed: Seed | None = None
    groups_as_classes: Flag = field(default=False, kw_only=True, metadata=ADDED_LATER)

    def of(self, bank: FeatureBank) -> FeatureBank:
        """The bank whose classes these are: with `groups_as_classes` that of its groups.

        Raises:
            ValueError: Groups are not all of one size.
        """
        return bank.groups_as_classes() if self.groups_as_classes else bank

    def split(self, bank: FeatureBank) -> FeatureSplit:
        """The training and held-out classes and exemplars of what `of` gave.

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
class ExemplarLabelConfig(RunConfig):
    """A run on exemplar-label sequences (paper section 2).

    Attributes:
        features: Where exemplars come from.
        classes: Split of the bank into training and held-out classes and exemplars.
        sequences: Kind of training sequences.
        model: Kind, shape and initial seed of the model.
        evaluators: What is measured, and on which sequences.
    """

    resolved_fields: ClassVar[Any] = ExemplarLabelSizes
    may_differ_together: ClassVar[tuple[str, ...]] = (
        *RunConfig.may_differ_together,
        "features",
        "classes",
        "sequences",
        "model.init_seed",
        "evaluators",
    )

    task: Literal["exemplar_label"] = "exemplar_label"
    features: FeatureSource = field(default_factory=GaussianFeatures)
    classes: ClassesConfig = field(default_factory=ClassesConfig)
    sequences: SequenceConfig = field(default_factory=SequenceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    evaluators: tuple[EvaluatorConfig, ...] = field(default_factory=standard_evaluators)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_evaluators()
        self._check_optimizer()
        if self.clamps and self.model.kind != "transformer":
            raise ValueError(
                f"clamps hold parts of a transformer, and model.kind is {self.model.kind!r}: leave "
                "clamps out, or take model.kind='transformer'"
            )
        self._check_size()

    @property
    def headline(self) -> Mapping[str, str]:
        """The score of each evaluator."""
        return {evaluator.name: evaluator.score for evaluator in self.evaluators}

    @classmethod
    def run_class(cls) -> type[Run]:
        """`ExemplarLabelRun`."""
        from coopetition_interp.tasks.exemplar_label.run import ExemplarLabelRun

        return ExemplarLabelRun

    def build(self) -> ExemplarLabelTask:
        """Loads the features and makes the sampler, the model and the evaluation sequences."""
        from coopetition_interp.tasks.exemplar_label.task import build_task

        return build_task(self)

    def fresh_model(self, resolved: Mapping[str, Any]) -> ExemplarLabelModel:
        """See `RunConfig.fresh_model`."""
        return self.model.build(resolved["d_feature"], resolved["n_labels"], self.sequences.n_pairs)

    def make_evaluation_sequences(self, run: Run) -> dict[str, Sequences]:
        """See `RunConfig.make_evaluation_sequences`."""
        from coopetition_interp.tasks.exemplar_label.run import ExemplarLabelRun

        assert isinstance(run, ExemplarLabelRun)
        return run.draw_evaluation_sequences()

    def evaluator(
        self, model: HookedRootModule, clamps: Clamps = (), compile: bool = False
    ) -> Evaluate:
        """See `RunConfig.evaluator`; the columns are `METRICS`."""
        from coopetition_interp.tasks.exemplar_label.evaluation import Scorer, evaluate_with

        assert isinstance(model, ExemplarLabelModel)
        scorer = Scorer(
            model,
            clamps,
            compile=compile,
            labels_per_class=self.sequences.n_labels_per_class,
        )
        return partial(evaluate_with, scorer)

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
            n_labels = evaluator.sequences.n_labels_per_class
            own = evaluator.sequences.uses_own_labels
            if own and n_labels != self.sequences.n_labels_per_class:
                raise ValueError(
                    f"evaluator {evaluator.name!r} has {n_labels} labels per class, and training "
                    f"{self.sequences.n_labels_per_class}: its classes would have other labels "
                    "than were trained; give both the same n_labels_per_class"
                )
            if evaluator.score == "class_accuracy" and self.sequences.n_labels_per_class == 1:
                raise ValueError(
                    f"evaluator {evaluator.name!r} is scored by class_accuracy, but classes own "
                    "one label: take accuracy, or raise sequences.n_labels_per_class"
                )

    def _check_optimizer(self) -> None:
        optimizer, model = self.optimizer, self.model
        missing = set() if model.mlps else {"mlp"}
        missing |= set() if model.kind == "transformer" else {"attention"}
        if optimizer.l2 > 0 and (absent := [p for p in optimizer.l2_on if p in missing]):
            why = "model.mlps is false" if model.kind == "transformer" else "it has none"
            raise ValueError(
                f"optimizer.l2_on names {' and '.join(absent)} of the {model.kind}, but {why}: "
                "there is nothing to penalise"
            )

    def _check_size(self) -> None:
        """Refuses a training step that no machine's memory would hold."""
        model, n_tokens = self.model, 2 * self.sequences.n_pairs + 1
        of_a_token = 4 * model.d_model * (3 if model.mlps else 1)
        if model.kind == "transformer":
            of_a_token += model.n_heads * (4 * model.d_head + 2 * n_tokens)
        n_activations = self.batch_size * n_tokens * model.n_layers * of_a_token
        if n_activations > MOST_ACTIVATIONS:
            raise ValueError(
                f"a step of {self.batch_size} sequences with {n_tokens} tokens would hold about "
                f"{n_activations:.2g} activations, more than the {MOST_ACTIVATIONS:.2g} allowed (8 "
                "GiB): lower batch_size, sequences.n_pairs or the model's size"
            )
