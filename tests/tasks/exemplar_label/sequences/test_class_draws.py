"""Class draws follow the stated law, also when classes are excluded."""

import numpy as np
import pytest

from coopetition_interp.tasks.exemplar_label.sequences.class_draws import ClassDraws
from coopetition_interp.tasks.exemplar_label.sequences.class_weights import zipf_weights


def chi_square_per_freedom(counts, probabilities):
    expected = probabilities / probabilities.sum() * counts.sum()
    return ((counts - expected) ** 2 / expected).sum() / (len(counts) - 1)


def zipf(n_classes, exponent):
    return np.arange(1, n_classes + 1.0) ** -exponent


def draws(n_classes, exponent):
    return ClassDraws(n_classes, zipf_weights(n_classes, exponent) if exponent else None)


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0, 2.0])
def test_frequencies_follow_the_law(exponent):
    drawn = draws(30, exponent).draw(np.random.default_rng(0), (40_000,))
    counts = np.bincount(drawn, minlength=30)
    assert chi_square_per_freedom(counts, zipf(30, exponent)) < 1.8


@pytest.mark.parametrize("exponent", [0.0, 1.0])
@pytest.mark.parametrize("excluded", [[0], [29], [3, 0], [7, 8, 6], [29, 0, 14]])
def test_excluding_classes_leaves_the_law_of_the_others(exponent, excluded):
    rows = np.broadcast_to(np.array(excluded), (40_000, len(excluded)))
    drawn = draws(30, exponent).draw(np.random.default_rng(1), (40_000,), rows)
    assert not np.isin(drawn, excluded).any()
    rest = np.setdiff1d(np.arange(30), excluded)
    counts = np.bincount(drawn, minlength=30)[rest]
    assert chi_square_per_freedom(counts, zipf(30, exponent)[rest]) < 1.9


@pytest.mark.parametrize("exponent", [0.0, 1.0, 20.0])
def test_distinct_draws_can_use_every_class(exponent):
    query = np.full((200, 1), 2)
    drawn = draws(6, exponent).draw_distinct(np.random.default_rng(2), 200, 5, query)
    assert (np.sort(drawn, axis=1) == [0, 1, 3, 4, 5]).all()


def test_pairs_drawn_without_replacement_follow_the_law():
    none = np.empty((60_000, 0), dtype=np.int64)
    drawn = draws(4, 1.0).draw_distinct(np.random.default_rng(3), 60_000, 2, none)
    p = zipf(4, 1.0) / zipf(4, 1.0).sum()
    expected = p[:, None] * p[None, :] / (1 - p[:, None])
    counts = np.zeros((4, 4))
    np.add.at(counts, (drawn[:, 0], drawn[:, 1]), 1)
    off_diagonal = ~np.eye(4, dtype=bool)
    assert counts.trace() == 0
    assert chi_square_per_freedom(counts[off_diagonal], expected[off_diagonal]) < 2.3
