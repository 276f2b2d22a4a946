"""Which runs can be trained together: those that are one computation on other numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_flatten, tree_unflatten
from transformer_lens import HookedTransformerConfig

from coopetition_interp.config_class import ConfigError
from coopetition_interp.interventions import bind, form_of
from coopetition_interp.interventions.model_weights import running_statistics
from coopetition_interp.training.grouped_step import MemberStep
from coopetition_interp.training.machine import should_compile
from coopetition_interp.training.optimizer_state import trainable_parameters
from coopetition_interp.training.overrides import dotted_fields
from coopetition_interp.training.recorded_training import (
    arguments_of,
    constants,
    record_training,
)
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.task import ClampedModel, Task
from coopetition_interp.training.training_mode import in_training_mode

_OF_THE_MODELS_MAKING = ("seed", "init_weights", "initializer_range", "device")
"""Fields of a model's config that do not act once it is made."""


class LossesDifferError(ConfigError):
    """Runs of one form have losses that are another computation, so each trains by itself."""


def form_of_config(config: RunConfig) -> dict[str, Hashable]:
    """What configs must share for their runs to be trained together, by name.

    Beyond it the data must have one shape: see `form_of_task`.

    Raises:
        ValueError: The config cannot be saved; see `RunConfig.to_dict`.
    """
    free = config.may_differ_together
    form: dict[str, Hashable] = {
        name: text
        for name, text in dotted_fields(config.to_dict())
        if not any(name == field or name.startswith(f"{field}.") for field in free)
        and name.partition(".")[0] not in ("clamps", "compile")
    }
    return {**form, "clamps": form_of(config.clamps), "compile": should_compile(config)}


def form_of_task(task: Task) -> dict[str, Hashable]:
    """What the tasks of runs must share too, by what it is called in an error.

    Raises:
        ConfigError: The model cannot be trained together with any other.
    """
    if running_statistics(task.model):
        raise ConfigError(
            "a model that gathers statistics in training, as batch normalisation does, cannot be "
            "trained together with others: train it alone"
        )
    leaves, structure = tree_flatten(task.batch(0))
    cfg = getattr(task.model, "cfg", None)
    fields = cfg.to_dict() if isinstance(cfg, HookedTransformerConfig) else {}
    acting = {name: value for name, value in fields.items() if name not in _OF_THE_MODELS_MAKING}
    trained = trainable_parameters(task.model)
    return {
        "batches' shapes": (*((tuple(leaf.shape), leaf.dtype) for leaf in leaves), str(structure)),
        "models' configs": repr((type(task.model), acting)),
        "parameters' shapes": tuple((name, tuple(p.shape)) for name, p in trained.items()),
    }


def require_one_form(names: Sequence[Any], forms: Sequence[dict[str, Hashable]]) -> None:
    """Refuses runs that are not one computation.

    Args:
        names: What to call each in the error.
        forms: Of each, from `form_of_config` or `form_of_task`.

    Raises:
        ConfigError: Naming two of them, and what they differ in.
    """
    for name, form in zip(names[1:], forms[1:], strict=True):
        differ = [what for what in forms[0] | form if forms[0].get(what) != form.get(what)]
        if differ:
            raise ConfigError(
                f"{names[0]} and {name} cannot be trained together, since they differ in "
                f"{', '.join(differ)}: train them one after the other"
            )


def require_equal_constants(names: Sequence[Any], tasks: Sequence[Task]) -> None:
    """Refuses models that differ in what training never moves, such as sinusoids.

    Raises:
        ConfigError: Naming two of them, and the tensor.
    """
    trained = trainable_parameters(tasks[0].model)
    first = tasks[0].model.state_dict()
    for name, task in zip(names[1:], tasks[1:], strict=True):
        for tensor, value in task.model.state_dict().items():
            if tensor not in trained and not torch.equal(first[tensor], value):
                raise ConfigError(
                    f"{names[0]} and {name} cannot be trained together, since their models differ "
                    f"in {tensor}, which is not trained: train them one after the other"
                )


def require_one_loss(names: Sequence[Any], steps: Sequence[MemberStep]) -> None:
    """Refuses runs whose losses hold tensors or numbers of their own: the first's is used for all.

    Raises:
        LossesDifferError: Naming two of them; or a padding row of an embedding would be trained.
        ValueError: A loss cannot be recorded: see `record_training`.
    """
    first = _recorded_loss(steps[0])
    if any(_pads(node) for node in first.graph.nodes):  # vmap forgets it for all runs but one
        raise LossesDifferError(
            "runs with an embedding that has a padding_idx cannot be trained together: train them "
            "one after the other"
        )
    for name, step in zip(names[1:], steps[1:], strict=True):
        other = _recorded_loss(step)
        held = zip(constants(first), constants(other), strict=True)
        if first.code != other.code or not all(torch.equal(a, b) for a, b in held):
            raise LossesDifferError(
                f"{names[0]} and {name} cannot be trained together, since their losses use other "
                "tensors or numbers, beside the batch and the weights: give these as part of the "
                "batch, or train them one after the other"
            )


def _pads(node: Node) -> bool:
    """Whether a node looks up an embedding, one row of which gets no gradient."""
    if node.target is not torch.ops.aten.embedding.default:
        return False
    padding = arguments_of(node)["padding_idx"]
    return isinstance(padding, int) and padding >= 0


def _recorded_loss(step: MemberStep) -> GraphModule:
    """The loss of a run as tensor operations, without clamps."""
    trained = trainable_parameters(step.model)
    leaves, structure = tree_flatten(step.example)
    unclamped = bind((), step.model)

    def loss(*inputs: Tensor) -> tuple[Tensor]:
        named = dict(zip(trained, inputs, strict=False))
        run_model = ClampedModel(step.model, unclamped, named)
        return (step.loss(run_model, tree_unflatten(list(inputs[len(named) :]), structure)),)

    inputs = [*trained.values(), *leaves]
    with torch.no_grad(), in_training_mode(step.model):
        written = list(step.state.buffers().values())
        return record_training(loss, inputs, step.model, written, step.loss)
