"""What training changes of a model: its parameters, and statistics that it gathers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

BATCH_NORM = "batch_norm"
"""A part of the names of whatever belongs to a batch normalisation of the toolkit's own."""

_OF_TORCHS_OWN = ("running_mean", "running_var")
"""The count of batches is left out: with a momentum, which a step requires, it changes nothing."""


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that training changes, by name: means and variances of batch normalisations."""
    found = {}
    for path, module in model.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            whole = f"{path}.{name}" if path else name
            ours = BATCH_NORM in whole.split(".")
            if name in _OF_TORCHS_OWN if isinstance(module, _NormBase) else ours:
                found[whole] = buffer
    return found


def of_batch_normalisations(model: nn.Module) -> set[str]:
    """Names of the parameters that belong to batch normalisations, torch's or the toolkit's."""
    of_torch = {id(p) for m in model.modules() if isinstance(m, _NormBase) for p in m.parameters()}
    named = model.named_parameters()
    return {name for name, p in named if id(p) in of_torch or BATCH_NORM in name.split(".")}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """All that a checkpoint keeps, by name: the parameters, then `running_statistics`."""
    return {**dict(model.named_parameters()), **running_statistics(model)}
