"""Sequences chosen by where in context their right label is."""

from __future__ import annotations

from coopetition_interp.tasks.exemplar_label.sequences import Sequences, require_sequences


def with_right_label_in(sequences: Sequences, pair: int) -> Sequences:
    """The sequences whose right label is carried by this context pair and no other.

    Args:
        sequences: Sequences of any kind.
        pair: Context pair, from 0; its label token is at position 2 * pair + 1.

    Raises:
        ValueError: If there is no such pair, or no such sequence.
    """
    if not 0 <= pair < sequences.n_pairs:
        raise ValueError(
            f"there is no context pair {pair}: the sequences have pairs 0 to "
            f"{sequences.n_pairs - 1}"
        )
    right = sequences.carries_right_label
    chosen = sequences[right[:, pair] & (right.sum(1) == 1)]
    if len(chosen) == 0:
        raise ValueError(f"no sequence has its right label in context pair {pair} alone")
    return chosen


def with_right_label(sequences: Sequences) -> Sequences:
    """The sequences whose right label is in context.

    Raises:
        TypeError: They are no `Sequences`.
        ValueError: There is none.
    """
    require_sequences(sequences)
    has_it = sequences.carries_right_label.any(1)
    if not has_it.any():
        raise ValueError(
            "no sequence has its right label in context, so there is nothing for an induction head "
            "to find: use sequences of another kind"
        )
    return sequences if has_it.all() else sequences[has_it]
