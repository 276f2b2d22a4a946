"""Several steps in a row as one launch on a GPU, where a small model's step is all launching."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from coopetition_interp.training.subnormals import subnormals_as_zero

OneStep = Callable[[Tensor, Sequence[Tensor]], Tensor]
"""From Adam's numbers and the tensors of a batch to the losses; moves the state in place."""


def steps_of_a_launch(device: torch.device) -> int:
    """How many steps are best one launch: a CPU gains nothing by it."""
    return 25 if device.type == "cuda" else 1


class StepsAtOnce:
    """Takes steps in order, `n` of them as one launch where the device is a GPU (a CUDA graph).

    The steps are the same computation either way, so they have the same bits.

    Args:
        one_step: The step. It may read no number and copy nothing from the processor.
        state: The tensors that it writes into. They are as before when this has been made.
        scales: Adam's numbers of a step, as an example.
        batch: The tensors of a batch, likewise.
        n: How many steps are one launch; by default what pays on the device.

    Attributes:
        n: As given; 1 where several at once gain nothing, or a GPU refused them.
    """

    def __init__(
        self,
        one_step: OneStep,
        state: Sequence[Tensor],
        scales: Tensor,
        batch: Sequence[Tensor],
        n: int | None = None,
    ):
        self.n = n or steps_of_a_launch(scales.device)
        self._one_step = subnormals_as_zero()(one_step)
        # Each tensor by itself: a row of a table need not lie where a kernel expects it.
        self._scales = [scales.clone() for _ in range(self.n)]
        self._graph: torch.cuda.CUDAGraph | None = None
        if self.n > 1:
            self._batches = [[tensor.clone() for tensor in batch] for _ in range(self.n)]
            if scales.device.type == "cuda":
                self._capture(state)

    def __call__(
        self, scales: Sequence[Tensor], batches: Sequence[Sequence[Tensor]]
    ) -> list[Tensor]:
        """Takes a step for each batch; only `n` at a time are one launch.

        Args:
            scales: Adam's numbers of each step.
            batches: The tensors of each batch.

        Returns:
            The losses of each step, before it.
        """
        if self.n == 1 or len(batches) != self.n:
            return [self._alone(*given) for given in zip(scales, batches, strict=True)]
        held = [*self._scales, *(tensor for batch in self._batches for tensor in batch)]
        given = [*scales, *(tensor for batch in batches for tensor in batch)]
        for own, new in zip(held, given, strict=True):
            own.copy_(new)
        if self._graph is None:
            return self._take_all()
        self._graph.replay()
        return [losses.clone() for losses in self._losses]

    def _alone(self, scales: Tensor, batch: Sequence[Tensor]) -> Tensor:
        self._scales[0].copy_(scales)
        return self._one_step(self._scales[0], batch)

    def _take_all(self) -> list[Tensor]:
        return [
            self._one_step(scales, batch)
            for scales, batch in zip(self._scales, self._batches, strict=True)
        ]

    def _capture(self, state: Sequence[Tensor]) -> None:
        """Notes the launches, after a warm-up whose traces in the state are undone."""
        before = [tensor.clone() for tensor in state]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(aside):
                self._one_step(self._scales[0], self._batches[0])
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._losses = self._take_all()
            self._graph = graph
        except RuntimeError as error:
            self.n = 1
            warnings.warn(
                "this GPU does not take several steps in one launch, so small models train slower; "
                f"it said: {str(error).strip().splitlines()[0]}",
                RuntimeWarning,
                stacklevel=3,
            )
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)
