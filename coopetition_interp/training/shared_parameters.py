"""Whether a model still holds the very tensors that a training step updates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn


class SharedParameters:
    """Parameters of a model, as they were when this was made; cheap to ask of at every step.

    `model.to`, `.double()`, `load_state_dict(assign=True)` or a processing of the weights puts
    other tensors in their place, which a step that writes to the old ones no longer reaches.

    Args:
        model: The model.
        names: The parameters to keep an eye on.
    """

    def __init__(self, model: nn.Module, names: Iterable[str]):
        links: dict[str, tuple[dict[str, Any], str, nn.Module]] = {}
        self._parameters: list[tuple[dict[str, Any], str, int, str]] = []
        for name in names:
            *path, leaf = name.split(".")
            module = model
            for depth, part in enumerate(path, 1):
                child = module.get_submodule(part)
                links[".".join(path[:depth])] = (module._modules, part, child)
                module = child
            address = module.get_parameter(leaf).data_ptr()
            self._parameters.append((module._parameters, leaf, address, name))
        self._modules = list(links.items())

    def require(self) -> None:
        """Does nothing, if the model still holds them.

        Raises:
            RuntimeError: Naming a parameter that was replaced.
        """
        for name, (children, part, child) in self._modules:
            if children.get(part) is not child:
                raise RuntimeError(_message(name))
        for held, leaf, address, name in self._parameters:
            parameter = held.get(leaf)
            if parameter is None or parameter.data_ptr() != address:
                raise RuntimeError(_message(name))


def _message(what: str) -> str:
    return (
        f"the model's {what} was replaced after this training step was made (by .to(), .double(), "
        "load_state_dict(assign=True), process_weights_() or another TrainingStep), so steps "
        "no longer reach the model: do that first, then make a new TrainingStep over the model"
    )
