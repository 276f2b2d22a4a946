"""Whether a loss rises for a moment while another strategy forms, paired sequence by sequence.

The same sequences are scored at every moment, so that a rise is measured by the differences of each
sequence with itself, whose spread is far smaller than that of the losses. The rise of a curve is
its largest one: of all pairs of moments, the later above the earlier by most. It is told in
standard errors of the mean paired difference. (Having been chosen as the largest it is a little
larger than one chosen blindly.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64

from coopetition_interp.analysis.checkpoints import checkpoint_models
from coopetition_interp.tasks.exemplar_label.evaluation import Scorer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences
from coopetition_interp.training import Run

PARTS = ("loss", "context_loss", "loss_in_context")
"""Total loss, -log p(labels in context), -log p(right label, given the labels in context)."""


@dataclass(frozen=True)
class PairedRise:
    """The largest rise of a curve.

    Attributes:
        low: Sequences seen at its start.
        high: Sequences seen at its end.
        rise: Mean loss at `high` less that at `low`; 0 if the curve never rises.
        standard_errors: The rise in standard errors of the mean paired difference.
    """

    low: float
    high: float
    rise: float
    standard_errors: float


def losses_over_checkpoints(
    run: Run, sequences: Sequences, checkpoints: Iterable[int]
) -> tuple[list[int], dict[str, Float64[np.ndarray, "n_moments n_sequences"]]]:
    """The loss of each sequence at each checkpoint, whole and in its two parts.

    Args:
        run: The run.
        sequences: Whose right label is in context.
        checkpoints: Sequences seen at the checkpoints.

    Returns:
        Sequences seen, and by name of `PARTS` the losses in nats; the parts add up to the whole.
    """
    moments: list[int] = []
    rows: dict[str, list[np.ndarray]] = {name: [] for name in PARTS}
    for seen, model in checkpoint_models(run, checkpoints):
        scores = Scorer(model)(sequences)
        loss = scores["loss"].double()
        context_loss = -torch.log(scores["p_context"].double())
        moments.append(seen)
        for name, values in zip(PARTS, (loss, context_loss, loss - context_loss), strict=True):
            rows[name].append(values.numpy())
    return moments, {name: np.stack(values) for name, values in rows.items()}


def largest_rise(
    moments: Sequence[int], losses: Float64[np.ndarray, "n_moments n_sequences"]
) -> PairedRise:
    """The largest rise of the mean loss, in standard errors of the paired difference.

    Args:
        moments: Sequences seen, increasing.
        losses: Of the same sequences at each moment.

    Raises:
        ValueError: Fewer than 2 moments or sequences, or not as many moments as rows.
    """
    places = np.array(moments)
    if losses.shape[0] != len(places) or min(losses.shape) < 2:
        raise ValueError(
            f"a paired rise needs 2 moments and 2 sequences at least; got {len(places)} moments "
            f"and losses {list(losses.shape)}"
        )
    mean = losses.mean(axis=1)
    lowest_before = np.minimum.accumulate(mean)
    high = int((mean - lowest_before).argmax())
    low = int(mean[: high + 1].argmin())
    difference = losses[high] - losses[low]
    rise = float(difference.mean())
    error = float(difference.std(ddof=1) / np.sqrt(len(difference)))
    in_errors = rise / error if error > 0 else 0.0
    return PairedRise(float(places[low]), float(places[high]), rise, in_errors)


def paired_curve(
    moments: Sequence[int], losses: Float64[np.ndarray, "n_moments n_sequences"]
) -> pd.DataFrame:
    """Mean loss over moments, with the standard error of its paired change from the lowest.

    Returns:
        Columns `sequences_seen`, `loss`, `standard_error`.
    """
    mean = losses.mean(axis=1)
    change = losses - losses[int(mean.argmin())]
    error = change.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return pd.DataFrame({"sequences_seen": list(moments), "loss": mean, "standard_error": error})
