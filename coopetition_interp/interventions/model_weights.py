"""What training changes of a model: its parameters, and statistics that it gathers."""

from __future__ import annotations

from torch import Tensor, nn

BATCH_NORM = "batch_norm"
"""In the names of whatever belongs to a batch normalisation."""


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that training changes, by name: means and variances of batch normalisations."""
    return {name: each for name, each in model.named_buffers() if BATCH_NORM in name}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """All that a checkpoint keeps, by name: the parameters, then `running_statistics`."""
    return {**dict(model.named_parameters()), **running_statistics(model)}
