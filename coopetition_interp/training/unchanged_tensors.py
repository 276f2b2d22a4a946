"""Whether the tensors that a recorded step reads, beside its inputs, are as they were then."""

from __future__ import annotations

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
        self._versions = [(t, t._version) for key, t in held.items() if key not in by_step]
        self._model = model

    def require(self) -> None:
        """Does nothing, if none was written into.

        Raises:
            RuntimeError: Naming one that was.
        """
        for tensor, version in self._versions:
            if tensor._version != version:
                name = name_in(self._model, tensor)
                what = f"the model's {name}" if name else "a tensor that the loss or a clamp reads"
                raise RuntimeError(
                    f"{what} was changed between training steps, which a step need not see and no "
                    "checkpoint keeps: give what changes as part of the batch, from the task's "
                    "batch(step)"
                )
