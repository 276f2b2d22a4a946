"""Modules of a model that behave otherwise in training, such as batch normalisations, do so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_training_mode(model: nn.Module) -> Iterator[None]:
    """Has batch normalisations use, and note, the batch's statistics.

    A model that is in training mode is left as it is, so that a part of it may stay in evaluation
    mode; afterwards each module is in the mode it was in.
    """
    was = {module: module.training for module in model.modules()}
    if not model.training:
        model.train()
    try:
        yield
    finally:
        for module, training in was.items():
            module.training = training
