"""Whether the tensors that a recorded step reads, beside its inputs, are as they were then."""

from __future__ import annotations

import torch
from torch import nn
from torch.fx import GraphModule

from coopetition_interp.training.recorded_training import (
    changed_in_place,
    constants,
    name_in,
)


class UnchangedTensors:
    """What a record reads beside its inputs; cheap to ask of at every step.

    A recorded step would follow a change of them, a compiled one would not, and a run that is
    resumed would not know of it.

    Args:
        recorded: From `record_training`.
        model: What they are looked up in, to be named in an error.
    """

    def __init__(self, recorded: GraphModule, model: nn.Module):
        by_step = {id(tensor) for tensor in changed_in_place(recorded)}  # counts of batches
        held = {id(t): t for t in constants(recorded) if not t.is_inference()}
        watched = [tensor for key, tensor in held.items() if key not in by_step]
        self._as_recorded = [(tensor, tensor.clone()) for tensor in watched]
        self._versions = [tensor._version for tensor in watched]
        self._model = model

    def require(self) -> None:
        """Does nothing, if their numbers are the same.

        Raises:
            RuntimeError: Naming one whose are not.
        """
        versions = [tensor._version for tensor, _ in self._as_recorded]
        if versions == self._versions:
            return  # none was written into
        for tensor, before in self._as_recorded:
            if not torch.equal(tensor, before):
                name = name_in(self._model, tensor)
                what = f"the model's {name}" if name else "a tensor that the loss or a clamp reads"
                raise RuntimeError(
                    f"{what} was changed between training steps, which a step need not see and no "
                    "checkpoint keeps: give what changes as part of the batch, from the task's "
                    "batch(step)"
                )
        self._versions = versions
