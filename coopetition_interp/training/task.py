"""What the training loop needs from a task, and no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_map
from transformer_lens import HookedRootModule

from coopetition_interp.config_class import ConfigError
from coopetition_interp.interventions import (
    BoundClamps,
    PhasedClamps,
    bind_phases,
    clamp_to_dict,
    run_clamped,
)
from coopetition_interp.interventions.fields import shown
from coopetition_interp.interventions.model_weights import running_statistics
from coopetition_interp.one_line import LONGEST_CAUSE, one_line
from coopetition_interp.training.machine import put_on
from coopetition_interp.training.metrics_table import problem_of_scores
from coopetition_interp.training.optimizer_state import trainable_parameters
from coopetition_interp.training.run_config import RunConfig

Batch = Any
"""Any pytree of tensors; the first dimension of each is the batch."""


@runtime_checkable
class RunModel(Protocol):
    """Runs the model, with whatever is held on it, on what the model reads."""

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """What is trained, by name: a loss reads weights (to penalise them) here alone."""

    def __call__(self, input: Any, return_type: str = "logits") -> Tensor:
        """What `return_type` names, as the model's own `forward` has it."""


Loss = Callable[[RunModel, Batch], Tensor]
"""From a way to run the model, and a batch, to the loss: a tensor of one number."""


def models_own_loss(run_model: RunModel, batch: Batch) -> Tensor:
    """The loss that the model's `forward` gives with `return_type="loss"`."""
    return run_model(batch, return_type="loss")


@dataclass
class Task(ABC):
    """What a config describes, made: a fresh model, its batches and its loss.

    Attributes:
        model: The freshly initialised model.
        evaluation_sequences: Fixed sequences by evaluator; each a batch.
        resolved: What the config left open and the data settled, such as sizes and digests, in
            JSON's types (numpy's and torch's numbers become them). Saved with the run; a run is
            resumed only if it is still the same.
        data: The data in words, for the error if it is not the same.
    """

    model: HookedRootModule
    evaluation_sequences: Mapping[str, Batch]
    resolved: Mapping[str, Any] = field(default_factory=dict)
    data: str = "data"

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch of a training step; the same whenever it is asked for. All of one shape."""

    @abstractmethod
    def loss(self, run_model: RunModel, batch: Batch) -> Tensor:
        """The loss of a batch: see `Loss`.

        It is run once and recorded; each step repeats its operations on tensors. So it may not
        draw (draw in `batch`) or take numbers out of tensors (`.item()`, `if`), and it reads
        weights from `run_model.parameters`: otherwise training refuses it. Whatever else in Python
        it looks at, such as `random.random()`, stays as it was when it was recorded, and what it
        only notes of itself is put back as it was.
        """

    @classmethod
    def batches_together(cls, tasks: Sequence[Task]) -> Callable[[int], list[Tensor]]:
        """What gives the batches of several tasks at a step as one, for runs trained together.

        A task that knows a faster way than asking each for its own may go that way.

        Args:
            tasks: Tasks of this class, on one device, whose batches have one shape.

        Returns:
            From a step to the tensors of its batches, stacked: each [task, batch, ...].
        """
        _, structure = tree_flatten(tasks[0].batch(0))

        def at(step: int) -> list[Tensor]:
            each = [tensors_in_order(task.batch(step), structure) for task in tasks]
            device = device_of(tasks[0].model)
            return [torch.stack(tensors).to(device) for tensors in zip(*each, strict=True)]

        return at

    def to(self, device: torch.device) -> None:
        """Moves the model and the evaluation sequences."""
        put_on(self.model, device)
        self.evaluation_sequences = {
            name: moved(batch, device) for name, batch in self.evaluation_sequences.items()
        }


def tensors_in_order(batch: Batch, structure: TreeSpec) -> list[Tensor]:
    """A batch's tensors as an example of this structure has them, however its dictionaries go.

    Raises:
        ValueError: It is of another structure.
    """
    try:
        tensors = structure.flatten_up_to(batch)
    except ValueError as error:
        tensors, told = [], one_line(error, LONGEST_CAUSE)
    else:
        told = "something else is where a tensor was"
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise ValueError(f"a batch is not built as the first one was ({told})")
    return tensors


def moved(batch: Batch, device: torch.device | str) -> Batch:
    """A batch on another device."""
    return tree_map(lambda tensor: tensor.to(device), batch)


def checked_loss(loss: Any) -> Tensor:
    """What a task's loss gave, found to be what training can go down.

    Raises:
        ValueError: It is something else, or depends on nothing that is trained.
    """
    wanted = "a task's loss is a tensor of one number"
    if not isinstance(loss, Tensor):
        raise ValueError(f"{wanted}; this one gave {shown(loss)}")
    if loss.ndim != 0 or not loss.is_floating_point():
        raise ValueError(f"{wanted}; this one is of {loss.dtype}, of shape {list(loss.shape)}")
    if not loss.requires_grad:
        raise ValueError(
            "the task's loss depends on nothing that is trained: it is detached, or a clamp holds "
            "all that it comes from"
        )
    return loss


def by_name(sequences: Any) -> Mapping[str, Batch]:
    """Sequences by evaluator, found to be so: batches of any size.

    Raises:
        ConfigError: They are without names, or one is not tensors.
    """
    if not isinstance(sequences, Mapping):
        raise ConfigError(
            "sequences to evaluate on (a task's evaluation_sequences) are given by name, as "
            f"{{'mine': sequences}}; got {type(sequences).__name__}"
        )
    for name, batch in sequences.items():
        if not hasattr(batch, "to"):  # a class of one's own may stand for tensors
            _require_tensors(batch, f"the sequences {shown(name)} to evaluate on are")
    return sequences


def _require_tensors(batch: Batch, what: str) -> None:
    for leaf in tree_leaves(batch) or [batch]:
        if not isinstance(leaf, Tensor) or leaf.ndim == 0:
            raise ConfigError(
                f"{what} tensors, in tuples, lists or dictionaries, the first dimension of each "
                f"its sequences; got {shown(leaf)} (torch.as_tensor makes a tensor of an array)"
            )


def _checked_batch(batch: Batch, batch_size: int) -> Batch:
    _require_tensors(batch, "a task's batch is")
    for leaf in tree_leaves(batch):
        if len(leaf) != batch_size:
            raise ConfigError(
                f"a task's batch has the {batch_size} sequences of the config's batch_size, by "
                f"which those seen are counted; got {len(leaf)}: give as many, or set batch_size"
            )
    return batch


def bind_clamps(config: RunConfig, task: Task) -> PhasedClamps:
    """The run's clamps, tried on a batch, so that a mistake shows before training.

    Raises:
        TypeError, ValueError, FileNotFoundError: See `bind_phases` and `run_clamped`; also if one
            cannot be saved, the batch or the loss is none, or nothing is left to learn.
    """
    for clamp in config.clamps:
        clamp_to_dict(clamp)
    steps = range(0, config.n_steps * config.batch_size, config.batch_size)
    phased = bind_phases(config.clamps, task.model, moments=steps)
    example = moved(_checked_batch(task.batch(0), config.batch_size), device_of(task.model))
    trained = trainable_parameters(task.model)
    for held in phased.bound:
        if trained.keys() <= held.donated.keys():
            donors = " and ".join(map(shown, held.clamps))
            raise ConfigError(f"clamps: {donors} leave no weight of the model's own to learn")
        running = {name: value.clone() for name, value in running_statistics(task.model).items()}
        with torch.enable_grad():  # the trial is no training: what it gathers is dropped
            checked_loss(task.loss(ClampedModel(task.model, held, trained, running), example))
    return phased


@dataclass(frozen=True, eq=False)
class ClampedModel:
    """A model with clamps as a `RunModel`.

    Attributes:
        model: The model.
        clamps: What is held.
        parameters: What is trained, by name; it runs in place of the model's own.
        running: Statistics that the model gathers in training, likewise.
    """

    model: HookedRootModule
    clamps: BoundClamps
    parameters: Mapping[str, Tensor]
    running: Mapping[str, Tensor] = field(default_factory=dict)

    def __call__(self, input: Any, return_type: str = "logits") -> Tensor:
        """See `RunModel`."""
        weights = {**self.parameters, **self.running}
        return run_clamped(self.model, input, self.clamps, return_type, weights)


def check_evaluators(config: RunConfig, task: Task, clamps: BoundClamps) -> None:
    """Scores one sequence of each evaluator, so that one that does not fit shows before training.

    Raises:
        ConfigError: There is no evaluator, the model cannot be run on the sequences of one, or
            the scores are no table that a run can keep.
    """
    if not task.evaluation_sequences:
        raise ConfigError("evaluators is empty: a run needs one to be measured by")
    evaluate = config.evaluator(task.model, clamps)
    firsts = {
        name: tree_map(lambda tensor: tensor[:1], sequences)
        for name, sequences in task.evaluation_sequences.items()
    }
    for name, first in firsts.items():
        try:
            evaluate({name: first})
        except (ValueError, RuntimeError, IndexError) as error:
            raise ConfigError(
                f"evaluators: the run's model and clamps do not fit the sequences of {name!r}: "
                f"{one_line(error, LONGEST_CAUSE)}"
            ) from error
    if problem := problem_of_scores(evaluate(firsts), pd.DataFrame()):
        raise ConfigError(f"evaluators: {problem}")


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a model is."""
    return next(model.parameters()).device
