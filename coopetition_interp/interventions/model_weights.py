"""What training changes of a model: its parameters, and statistics that it gathers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

BATCH_NORM = "batch_norm"
"""In the names of whatever belongs to a batch normalisation of the toolkit's own."""

_OF_TORCHS_OWN = ("running_mean", "running_var")
"""The count of batches is left out: with a momentum, which a step requires, it changes nothing."""


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that training changes, by name: means and variances of batch normalisations."""
    found = {}
    for path, module in model.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            whole = f"{path}.{name}" if path else name
            kept = name in _OF_TORCHS_OWN if isinstance(module, _NormBase) else BATCH_NORM in whole
            if kept:
                found[whole] = buffer
    return found


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """All that a checkpoint keeps, by name: the parameters, then `running_statistics`."""
    return {**dict(model.named_parameters()), **running_statistics(model)}
