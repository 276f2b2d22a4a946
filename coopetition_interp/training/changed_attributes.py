"""What a model or a loss changes of itself while a step is recorded; no later step would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from numbers import Number
from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class ChangedAttribute:
    """An attribute that came to hold something else.

    Attributes:
        name: What an error calls it.
        counts: Whether it is a number that moved, or a list that grew: it is kept for later calls.
        before: The tensors that it held. A record that reads one of them goes by what is old.
    """

    name: str
    counts: bool
    before: list[Tensor]


@contextmanager
def changes_undone(model: nn.Module, loss: Any) -> Iterator[list[ChangedAttribute]]:
    """Puts back what is changed within, and tells of it in the list that it gives.

    What is made from no input, for the first time or of a new shape, is left: caches are.

    Args:
        model: Its modules are looked at.
        loss: It is looked at too, or if it is a method, what it belongs to.
    """
    owners: dict[str, Any] = {"the model": model}
    owners |= {f"the model's {name}": module for name, module in model.named_modules() if name}
    owner = getattr(loss, "__self__", loss)
    owners[f"the loss's {type(owner).__name__}"] = owner
    before = {what: _attributes(owner) for what, owner in owners.items()}
    changed: list[ChangedAttribute] = []
    try:
        yield changed
    finally:
        for what, owner in owners.items():
            for name, new in _attributes(owner).items():
                old = before[what].get(name, getattr(type(owner), name, None))
                counts = _counts(old, new)
                if counts or _comes_from_inputs(new) or _is_replaced(old, new):
                    tensors = [leaf for leaf in tree_leaves(old) if isinstance(leaf, Tensor)]
                    changed.append(ChangedAttribute(f"{what}.{name}", counts, tensors))
                    _put_back(owner, name, before[what])


def _attributes(owner: Any) -> dict[str, Any]:
    """All that it holds, by name; lists and dictionaries as they are now."""
    held = dict(getattr(owner, "__dict__", {}))
    for group in ("_buffers", "_parameters") if isinstance(owner, nn.Module) else ():
        held |= held.pop(group)
    return {
        name: copy(value) if isinstance(value, list | dict) else value
        for name, value in held.items()
    }


def _counts(old: Any, new: Any) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return len(old) != len(new) and _comes_from_inputs(new)
    return isinstance(old, Number) and isinstance(new, Number) and old is not new and old != new


def _comes_from_inputs(value: Any) -> bool:
    return any(isinstance(leaf, FakeTensor) for leaf in tree_leaves(value))


def _is_replaced(old: Any, new: Any) -> bool:
    both = isinstance(old, Tensor) and isinstance(new, Tensor)
    return both and old is not new and old.shape == new.shape


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
