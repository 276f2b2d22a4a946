"""State that a model or a loss changes while a step is recorded, which no later step would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from numbers import Number
from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_leaves

from coopetition_interp.training.recorded_graph import RUNS_ONCE


@contextmanager
def changes_refused(model: nn.Module, loss: Any) -> Iterator[None]:
    """Puts back what is changed within, and refuses it.

    What is made from no input, for the first time or of a new shape, is left: caches are.

    Args:
        model: Its modules are looked at.
        loss: If it is a method, what it belongs to is looked at too.

    Raises:
        ValueError: Naming an attribute that came to hold another tensor or number.
    """
    owners: dict[str, Any] = {"the model": model}
    owners |= {f"the model's {name}": module for name, module in model.named_modules() if name}
    if (owner := getattr(loss, "__self__", None)) is not None:
        owners[f"the loss's {type(owner).__name__}"] = owner
    before = {what: _attributes(owner) for what, owner in owners.items()}
    changed: list[str] = []
    try:
        yield
    finally:
        for what, owner in owners.items():
            for name, value in _attributes(owner).items():
                if _is_state(before[what].get(name), value):
                    changed.append(f"{what}.{name}")
                    _put_back(owner, name, before[what])
    if changed:
        raise ValueError(
            f"a training step changes {changed[0]}, which no checkpoint keeps, and which would "
            f"stand still: {RUNS_ONCE}; of what changes, only parameters and the running means of "
            "torch's batch normalisations are kept"
        )


def _attributes(owner: Any) -> dict[str, Any]:
    """All that it holds, by name; lists and dictionaries as they are now."""
    held = dict(getattr(owner, "__dict__", {}))
    for group in ("_buffers", "_parameters") if isinstance(owner, nn.Module) else ():
        held |= held.pop(group)
    return {
        name: copy(value) if isinstance(value, list | dict) else value
        for name, value in held.items()
    }


def _is_state(old: Any, new: Any) -> bool:
    if any(isinstance(leaf, FakeTensor) for leaf in tree_leaves(new)):
        return True  # it comes from the inputs
    if isinstance(old, Tensor) and isinstance(new, Tensor):
        return old is not new and old.shape == new.shape
    return isinstance(old, Number) and isinstance(new, Number) and old is not new and old != new


def _put_back(owner: Any, name: str, before: dict[str, Any]) -> None:
    now = getattr(owner, name)
    if name not in before:
        delattr(owner, name)
    elif isinstance(now, list) and isinstance(before[name], list):
        now[:] = before[name]
    elif isinstance(now, dict) and isinstance(before[name], dict):
        now.clear()
        now.update(before[name])
    else:
        setattr(owner, name, before[name])
