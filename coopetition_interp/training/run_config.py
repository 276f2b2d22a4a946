"""What a run is: one frozen config, which is saved with it and which the command line changes."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

import pandas as pd
from pydantic import Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticSerializationError
from transformer_lens import HookedRootModule

from coopetition_interp.config_class import (
    ADDED_LATER,
    Config,
    ConfigError,
    Integer,
    PathText,
    Seed,
    Text,
    config_class,
    shortened,
)
from coopetition_interp.interventions import Clamp, Clamps, clamp_from_dict, clamp_to_dict
from coopetition_interp.interventions.serialise import was_run_as_script
from coopetition_interp.training.overrides import override
from coopetition_interp.training.run_records import ResolvedFields
from coopetition_interp.training.schedules import OptimizerConfig, Schedule

if TYPE_CHECKING:
    from coopetition_interp.training.run import Run
    from coopetition_interp.training.task import Task

R = TypeVar("R", bound="RunConfig")

Evaluate = Callable[[Mapping[str, Any]], pd.DataFrame]
"""From sequences by evaluator to metrics of the model as it is now: a row per evaluator, with
columns "evaluator", the metrics and "n_sequences"."""

Precision = Literal["float32", "tf32"]

NOT_TRAINED_BY = ("name", "device", "n_threads", "compile")
"""Fields of a config that do not decide what is trained."""

FIRST_TASK = "exemplar_label"
"""The task of configs that were saved before there were others."""

BUILT_IN_TASKS = {
    "exemplar_label": "coopetition_interp.tasks.exemplar_label",
    "tokens": "coopetition_interp.tasks.tokens",
}
"""Module that defines each task of the toolkit's own."""


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
class RunConfig(Config):
    """Everything that decides a run's weights, and when they are looked at.

    Each task has a subclass, a `config_class` with a field `task: Literal["its_name"] =
    "its_name"` and with `fresh_model`, `build`, `make_evaluation_sequences` and `evaluator`. It
    registers itself when its module is imported; a run of an unknown task cannot be opened before.

    Lengths and moments are in sequences seen: optimizer steps x `batch_size`.

    Attributes:
        name: The preset it came from, or what the user calls it.
        optimizer: Adam and its learning rate.
        clamps: What is held throughout training (and in the run's own evaluations).
        start_from: A weights file (safetensors) to start from, with a fresh optimizer; null to
            start from the initialisation.
        n_sequences: Length of the run.
        batch_size: Sequences per optimizer step.
        data_seed: Seed of the training sequences.
        evaluation_seed: Seed of the evaluation sequences.
        evaluate_at: When it is measured.
        checkpoint_at: When weights are kept.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        n_threads: CPU threads; 0 for what a trial at the start finds best, up to torch's own
            choice (which a run of up to 3000 steps has without a trial). The number used is saved
            with the run and kept on resuming, for the same bits.
        compile: Compile the training step; "auto" does so for runs of over 3000 steps.
        precision: What a GPU multiplies matrices in, during training and the run's evaluations:
            "float32"; or "tf32", with factors rounded to 10 bits of mantissa, which a CPU refuses.
    """

    classes_of_tasks: ClassVar[dict[str, type[RunConfig]]] = {}
    """The config class of every task whose module has been imported."""
    may_differ_together: ClassVar[tuple[str, ...]] = (
        "name",
        "optimizer",
        "start_from",
        "n_sequences",
        "data_seed",
        "evaluation_seed",
        "evaluate_at",
        "checkpoint_at",
    )
    """Fields, dotted, in which runs that are trained together may differ (besides clamps). A task
    adds its own: those that change the batches, the first weights or the evaluation, but neither
    the loss nor anything else that the model does."""
    resolved_fields: ClassVar[Any] = ResolvedFields
    """What `resolved.json` of its runs holds: a `TypedDict`."""

    name: Text = "custom"
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    clamps: tuple[SavedClamp, ...] = ()
    start_from: PathText | None = None
    n_sequences: Annotated[Integer, Field(ge=1, le=10**12)] = 1_000_000
    batch_size: Annotated[Integer, Field(ge=1, le=10**6)] = 32
    data_seed: Seed = 2
    evaluation_seed: Seed = 0
    evaluate_at: Schedule = field(default_factory=lambda: Schedule(every=50_000))
    checkpoint_at: Schedule = field(default_factory=lambda: Schedule(every=50_000))
    device: Literal["auto", "cpu", "cuda"] = "auto"
    n_threads: Annotated[Integer, Field(ge=0, le=1024)] = 0
    compile: Literal["auto", "yes", "no"] = "auto"
    precision: Precision = field(default="float32", kw_only=True, metadata=ADDED_LATER)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if name := cls.__dict__.get("task"):
            there = RunConfig.classes_of_tasks.get(name, cls)
            # The same class defined anew, as by a notebook's cell run again, takes its own place.
            is_same = there.__qualname__ == cls.__qualname__ and (
                there.__module__ == cls.__module__
                or any(was_run_as_script(each.__module__) for each in (there, cls))
            )
            if not is_same:
                raise ConfigError(
                    f"{cls.__qualname__}: the task {shortened(name)} is that of "
                    f"{there.__module__}.{there.__qualname__}: give yours another name"
                )
            RunConfig.classes_of_tasks[name] = cls

    def __post_init__(self) -> None:
        if type(self) is RunConfig:
            raise ValueError(
                "RunConfig is what the configs of all tasks share: take that of a task, such as "
                "ExemplarLabelConfig or TokenConfig"
            )
        if self.n_sequences < self.batch_size:
            raise ValueError(
                f"n_sequences ({self.n_sequences}) is less than one batch ({self.batch_size})"
            )
        if self.optimizer.warmup_steps > self.n_steps:
            raise ValueError(
                f"optimizer.warmup_steps ({self.optimizer.warmup_steps}) is more than the run's "
                f"{self.n_steps} steps (n_sequences / batch_size): shorten the warm-up or lengthen "
                "the run"
            )

    # What a task writes -----------------------------------------------------------------------

    @abstractmethod
    def build(self) -> Task:
        """Makes what a run needs, so that bad input shows before training.

        Raises:
            ValueError: The config contradicts its data or itself.
            FileNotFoundError: A file it names is not there.
        """

    @abstractmethod
    def fresh_model(self, resolved: Mapping[str, Any]) -> HookedRootModule:
        """The model as it is before training.

        Args:
            resolved: What `Task.resolved` gave.
        """

    @abstractmethod
    def make_evaluation_sequences(self, run: Run) -> Mapping[str, Any]:
        """The fixed sequences of each evaluator, made anew for a run that is on disk."""

    @abstractmethod
    def evaluator(
        self, model: HookedRootModule, clamps: Clamps = (), compile: bool = False
    ) -> Evaluate:
        """What scores a model of the task, as it is whenever that is called.

        Args:
            model: The model; hooks attached to it act.
            clamps: Held while it is scored.
            compile: Compile the forward pass, where the task can: worth it for many evaluations.
        """

    @property
    def headline(self) -> Mapping[str, str]:
        """The metric of each evaluator that the progress bar shows; by default none."""
        return {}

    @classmethod
    def run_class(cls) -> type[Run]:
        """What `load_run` gives: `Run`, or a subclass with the task's data."""
        from coopetition_interp.training.run import Run

        return Run

    # What all share ---------------------------------------------------------------------------

    @property
    def n_steps(self) -> int:
        """Optimizer steps of the whole run; a last part-batch is left out."""
        return self.n_sequences // self.batch_size

    def to_dict(self, whole: bool = False) -> dict[str, Any]:
        """See `Config.to_dict`.

        Raises:
            ValueError: A clamp holds a model in memory, which JSON cannot.
        """
        try:
            return super().to_dict(whole)
        except PydanticSerializationError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def from_dict(cls: type[R], data: Mapping[str, Any]) -> R:
        """The config that `to_dict` wrote, of whatever task it is; left out fields take defaults.

        Raises:
            ConfigError: Unknown or missing field, a value it cannot have, or a task whose module
                has not been imported.
        """
        if cls is not RunConfig or not isinstance(data, Mapping):
            return super().from_dict(data)
        task = data.get("task", FIRST_TASK)
        return config_class_of(task).from_dict(data)  # type: ignore[return-value]

    def with_overrides(self: R, assignments: Iterable[str]) -> R:
        """A copy with `dotted.field=value` assignments applied, values in JSON or plain text.

        Raises:
            ConfigError: An unknown field, or a value it cannot have.
        """
        return type(self).from_dict(override(self.to_dict(whole=True), assignments))


def named_preset(name: str, presets: Mapping[str, Callable[[], R]]) -> R:
    """The preset of this name.

    Raises:
        ConfigError: There is none; the message lists them.
    """
    if name not in presets:
        raise ConfigError(f"unknown preset {shortened(name)}: choose from {', '.join(presets)}")
    return presets[name]()


class UnknownTaskError(ConfigError):
    """A config is of a task that no imported module defines."""


def config_class_of(task: Any) -> type[RunConfig]:
    """The config class of a task, by its name.

    Raises:
        UnknownTaskError: No module that has been imported defines such a task.
    """
    known = RunConfig.classes_of_tasks
    if not isinstance(task, str):
        raise ConfigError(f"task must be text; got {shortened(task)}")
    if task in BUILT_IN_TASKS and task not in known:
        importlib.import_module(BUILT_IN_TASKS[task])
    if task not in known:
        raise UnknownTaskError(
            f"no module imported so far defines the task {shortened(task)}: import the one that "
            f"does first (known: {', '.join(sorted({*known, *BUILT_IN_TASKS}))})"
        )
    return known[task]
