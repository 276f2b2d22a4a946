"""The batches of several samplers at once, out of one bank: for runs that are trained together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coopetition_interp.tasks.exemplar_label.sequences.sampler import SequenceSampler


def have_one_bank(samplers: Sequence[SequenceSampler]) -> bool:
    """Whether the samplers' batches can be made at once: features in one place, without noise."""
    places = {sampler.features.data_ptr() for sampler in samplers}
    return len(places) == 1 and not any(sampler.config.input_noise_sd for sampler in samplers)


class BatchesTogether:
    """From a step to the samplers' batches, stacked: one lookup for all of them.

    The numbers are those that each sampler gives.

    Args:
        samplers: Of one batch size and number of pairs; see `have_one_bank`.
    """

    def __init__(self, samplers: Sequence[SequenceSampler]):
        self._samplers = samplers
        self._chunk_index = -1
        self._chunk: list[Tensor] = []

    def __call__(self, step: int) -> list[Tensor]:
        """Exemplars, labels and roles, each [sampler, batch, n_exemplars, ...]."""
        first = self._samplers[0]
        index, place = first.place_of(step)
        if index != self._chunk_index:
            chunks = [sampler.draw_chunk(index) for sampler in self._samplers]
            self._chunk = [
                torch.stack([getattr(chunk, name) for chunk in chunks], dim=1)
                for name in ("rows", "labels", "roles")
            ]
            self._chunk_index = index
        rows, labels, roles = (drawn[place] for drawn in self._chunk)
        exemplars = first.features.index_select(0, rows.flatten()).float()
        return [exemplars.view(*labels.shape, -1), labels, roles]
