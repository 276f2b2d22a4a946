"""The split of label pairs into those trained on and those held out (thesis chapter 4)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

_MOST_LABELS = 4096
"""Beyond it, listing all pairs would take hundreds of MB."""


def split_label_pairs(
    n_labels: int, train_fraction: float = 0.8, seed: int = 0
) -> tuple[Int64[np.ndarray, "n_train 2"], Int64[np.ndarray, "n_held_out 2"]]:
    """Splits all unordered pairs of distinct labels.

    Every label is in at least one training pair: a random pairing-up of the labels is trained on
    first, and the other training pairs are drawn from what remains.

    Args:
        n_labels: Labels to pair.
        train_fraction: Share of pairs to train on, rounded to whole pairs.
        seed: Seed of the split.

    Returns:
        The training pairs and the held-out pairs, each pair ascending.

    Raises:
        ValueError: If no pair is left to hold out, if the training pairs are too few to show every
            label, or if there are too many pairs to list.
    """
    if n_labels > _MOST_LABELS:
        raise ValueError(
            f"{n_labels} labels make too many pairs to split (label_pairs): set n_sequence_labels "
            f"to at most {_MOST_LABELS}"
        )
    pairs = np.stack(np.triu_indices(n_labels, k=1), axis=1)
    n_train = round(train_fraction * len(pairs))
    if n_train == len(pairs) or 2 * n_train < n_labels:
        raise ValueError(
            f"label_pair_train_fraction = {train_fraction} trains on {n_train} of the {len(pairs)} "
            f"pairs of {n_labels} labels: at least one pair must be held out and every label "
            "trained on; change the fraction or raise n_sequence_labels"
        )
    rng = np.random.default_rng(seed)
    shuffled_labels = rng.permutation(n_labels)
    if n_labels % 2:
        shuffled_labels = np.append(shuffled_labels, shuffled_labels[0])
    low, high = np.sort(shuffled_labels.reshape(-1, 2), axis=1).T
    # Where pair (low, high) stands in the upper triangle, read row by row.
    first = low * (2 * n_labels - low - 1) // 2 + high - low - 1
    rest = rng.permutation(np.setdiff1d(np.arange(len(pairs)), first))
    order = np.concatenate([first, rest])
    return pairs[np.sort(order[:n_train])], pairs[np.sort(order[n_train:])]
