"""Recording what a run takes gradients through, and refusing what a record would keep as it is.

A loss and clamps run once, when the step is recorded: every later step repeats the operations on
tensors that were noted then. What they did besides (a draw, a look at a number, a weight read past
`run_model`) would silently stand still, or be lost when a run is resumed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from coopetition_interp.training.changed_attributes import changes_undone
from coopetition_interp.training.recorded_graph import RUNS_ONCE, record
from coopetition_interp.training.task import Loss

_DRAWS_UNDER_VMAP = "called random operation"

_NO_DRAWS = (
    f"the loss, a clamp or the model draws random numbers; {RUNS_ONCE}, so the draws would come "
    "from a generator that no seed of the config sets: draw them in the task's batch(step), which "
    "gives them as tensors of the batch (and train without dropout)"
)

_KEPT = (
    "of what changes, only parameters and the running means of torch's batch normalisations are "
    "kept"
)


def record_training(
    function: Callable[..., Any],
    inputs: Sequence[Tensor],
    model: nn.Module,
    trained: Sequence[Tensor],
    loss: Loss,
) -> GraphModule:
    """`record`, of what is trained.

    Args:
        function: As for `record`.
        inputs: As for `record`.
        model: What the weights that an error names are looked up in.
        trained: The tensors that training moves; reached by `inputs` alone.
        loss: What gives the loss, in `function`.

    Raises:
        ValueError: As for `record`; or it draws random numbers, reads what is trained otherwise
            than by `inputs`, or changes anything else that it, the model or the loss's own
            object holds.
    """
    try:
        with changes_undone(model, loss) as changed:
            recorded = record(function, inputs)
    except RuntimeError as error:
        if _DRAWS_UNDER_VMAP in str(error):
            raise ValueError(_NO_DRAWS) from error
        raise
    if any(_draws(node) for node in recorded.graph.nodes):
        raise ValueError(_NO_DRAWS)
    storages = {tensor.untyped_storage().data_ptr() for tensor in trained}
    held = constants(recorded)
    for tensor in held:
        if tensor.untyped_storage().data_ptr() in storages:
            name = name_in(model, tensor) or "weights"
            raise ValueError(
                f"the loss or a clamp reads the model's {name} past run_model, where no gradient "
                f"reaches it: take run_model.parameters[{name!r}] in the loss (and run_model in "
                "place of the model), or for an L2 penalty the config's optimizer.l2"
            )
    read = {tensor.untyped_storage().data_ptr() for tensor in held}
    for attribute in changed:
        before = (tensor.untyped_storage().data_ptr() for tensor in attribute.before)
        if attribute.counts or not read.isdisjoint(before):
            raise ValueError(
                f"a training step changes {attribute.name}, which no checkpoint keeps, and which "
                f"would stand still: {RUNS_ONCE}; {_KEPT}"
            )
    for tensor in changed_in_place(recorded):
        buffer = name_in(model, tensor)
        if buffer is not None and buffer.endswith("num_batches_tracked"):
            continue  # it changes nothing: a normalisation that went by it takes a number out
        what = f"the model's {buffer}" if buffer else "a tensor of the loss's or a clamp's own"
        raise ValueError(
            f"a training step changes {what} in place, which no checkpoint keeps: {_KEPT}"
        )
    return recorded


def constants(recorded: GraphModule) -> list[Tensor]:
    """The tensors that a record uses besides its inputs, in order."""
    nodes = [node for node in recorded.graph.nodes if node.op == "get_attr"]
    held = (_constant(recorded, node) for node in nodes)
    return [tensor for tensor in held if isinstance(tensor, Tensor)]


def _constant(recorded: GraphModule, node: Node) -> Any:
    return operator.attrgetter(str(node.target))(recorded)


def _draws(node: Node) -> bool:
    if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return False
    given = arguments_of(node)
    return bool(given.get("dropout_p", True))  # attention is only said to draw, without dropout


def arguments_of(node: Node) -> dict[str, Any]:
    """What an operation is given, by the names that its schema has for it."""
    schema: Any = getattr(node.target, "_schema")  # noqa: B009  no attribute to mypy
    given = {each.name: each.default_value for each in schema.arguments if each.has_default_value()}
    given |= dict(zip((each.name for each in schema.arguments), node.args, strict=False))
    return {**given, **node.kwargs}


def changed_in_place(recorded: GraphModule) -> Iterator[Tensor]:
    """The constants that a record writes into."""
    for node in recorded.graph.nodes:
        schema: Any = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable:
            continue
        given = arguments_of(node)
        for argument in schema.arguments:
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            written = given.get(argument.name)
            for base in written if isinstance(written, list | tuple) else [written]:
                while isinstance(base, Node) and _gives_a_view(base):
                    base = base.args[0]
                if isinstance(base, Node) and base.op == "get_attr":
                    yield _constant(recorded, base)


def _gives_a_view(node: Node) -> bool:
    """Whether a node's result lies in the memory of its first argument."""
    if node.target is operator.getitem:
        return True
    schema: Any = getattr(node.target, "_schema", None)
    return schema is not None and any(each.alias_info is not None for each in schema.returns)


def name_in(model: nn.Module, tensor: Tensor) -> str | None:
    """What the model calls a tensor."""
    for name, own in (*model.named_parameters(), *model.named_buffers()):
        if own.data_ptr() == tensor.data_ptr() and own.shape == tensor.shape:
            return name
    return None
