"""Which labels the pairs of a sequence carry, and which one is right at the query."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from coopetition_interp.tasks.exemplar_label.sequences.label_pairs import split_label_pairs
from coopetition_interp.tasks.exemplar_label.sequences.sequence_config import (
    LabelRule,
    SequenceConfig,
)
from coopetition_interp.tasks.exemplar_label.sequences.sequences import PairRole


class Labelling:
    """Draws the labels of sequences whose classes and roles are known.

    Args:
        config: The kind of sequences.
        label_of_rank: What each class rank is labelled with, before multiplicity.
        n_fresh_labels: How many labels there are to draw from where labels are drawn per sequence.

    Raises:
        ValueError: If there are fewer than two labels to draw from, or their pairs cannot be split.
    """

    def __init__(
        self,
        config: SequenceConfig,
        label_of_rank: Int64[np.ndarray, " n_classes"],
        n_fresh_labels: int,
    ):
        self._rule = {
            LabelRule.OWN: self._own,
            LabelRule.SWAPPED: self._swapped,
            LabelRule.FRESH: self._fresh,
            LabelRule.ZERO_ONE: self._zero_one,
            LabelRule.ONE_REPLACED: self._one_replaced,
        }[config.rules.labels]
        self._label_of_rank = label_of_rank
        self._multiplicity = config.n_labels_per_class
        self._n_fresh_labels = n_fresh_labels
        self._pairs: np.ndarray | None = None
        if config.rules.labels is LabelRule.FRESH:
            if n_fresh_labels < 2:
                raise ValueError(
                    f"kind {config.kind!r} draws two distinct labels, but there are "
                    f"{n_fresh_labels}: raise n_sequence_labels or n_labels"
                )
            if config.label_pairs != "all":
                train, held_out = split_label_pairs(
                    n_fresh_labels, config.label_pair_train_fraction, config.label_pair_seed
                )
                self._pairs = train if config.label_pairs == "train" else held_out

    def draw(
        self,
        rng: np.random.Generator,
        ranks: Int64[np.ndarray, "batch n_exemplars"],
        roles: Int64[np.ndarray, "batch n_exemplars"],
    ) -> tuple[Int64[np.ndarray, "batch n_exemplars"], Int64[np.ndarray, "batch n_exemplars"]]:
        """Labels of all pairs, the right answer last; and the roles, which labels may change."""
        return self._rule(rng, ranks, roles)

    def _own(self, rng, ranks, roles):
        labels = self._label_of_rank[ranks]
        if self._multiplicity > 1:
            # A hash of (sequence, class), so that a class keeps its label within the sequence.
            salt = rng.integers(2**64, size=(len(ranks), 1), dtype=np.uint64)
            mixed = _mix_bits(salt + _mix_bits(ranks.astype(np.uint64)))
            choice = (mixed % np.uint64(self._multiplicity)).astype(np.int64)
            labels = labels * self._multiplicity + choice
        return labels, roles

    def _swapped(self, rng, ranks, roles):
        own, _ = self._own(rng, ranks, roles)
        distractor = np.take_along_axis(own, _first(roles == PairRole.DISTRACTOR), axis=1)
        labels = np.where(roles == PairRole.FILLER, own, distractor)
        return np.where(roles == PairRole.DISTRACTOR, own[:, -1:], labels), roles

    def _fresh(self, rng, ranks, roles):
        if self._pairs is None:
            one = rng.integers(self._n_fresh_labels, size=len(ranks))
            other = rng.integers(self._n_fresh_labels - 1, size=len(ranks))
            other += other >= one
        else:
            pair = self._pairs[rng.integers(len(self._pairs), size=len(ranks))]
            turned = rng.integers(2, size=len(ranks)).astype(bool)
            one, other = np.where(turned, pair[:, ::-1].T, pair.T)
        return _two_labels(one, other, roles), roles

    def _zero_one(self, rng, ranks, roles):
        one = rng.integers(2, size=len(ranks))
        return _two_labels(one, 1 - one, roles), roles

    def _one_replaced(self, rng, ranks, roles):
        labels, _ = self._own(rng, ranks, roles)
        replaced = rng.integers(ranks.shape[1] - 1, size=(len(ranks), 1))
        np.put_along_axis(labels, replaced, labels[:, -1:], axis=1)
        roles = roles.copy()
        np.put_along_axis(roles, replaced, int(PairRole.LABEL_ONLY), axis=1)
        return labels, roles


def _two_labels(of_query_class: np.ndarray, of_distractor: np.ndarray, roles: np.ndarray):
    return np.where(roles == PairRole.DISTRACTOR, of_distractor[:, None], of_query_class[:, None])


def _first(where: np.ndarray) -> np.ndarray:
    return where.argmax(axis=1)[:, None]


def _mix_bits(numbers: np.ndarray) -> np.ndarray:
    """Scrambles 64-bit numbers (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
