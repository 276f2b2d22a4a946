import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition_interp.tasks.exemplar_label.sequences.label_pairs import split_label_pairs


@given(st.integers(3, 40), st.floats(0.05, 0.95), st.integers(0, 2**32))
def test_split_is_a_partition_that_trains_every_label(n_labels, fraction, seed):
    n_pairs = n_labels * (n_labels - 1) // 2
    n_train = round(fraction * n_pairs)
    if n_train == n_pairs or n_train < (n_labels + 1) // 2:
        with pytest.raises(ValueError, match="label_pair_train_fraction"):
            split_label_pairs(n_labels, fraction, seed)
        return
    train, held_out = split_label_pairs(n_labels, fraction, seed)
    assert len(train) == n_train
    both = {tuple(pair) for pair in np.concatenate([train, held_out]).tolist()}
    assert both == {(low, high) for low in range(n_labels) for high in range(low + 1, n_labels)}
    assert len(train) + len(held_out) == n_pairs
    assert set(train.flatten().tolist()) == set(range(n_labels))


def test_the_seed_chooses_the_split():
    first, again, other = (split_label_pairs(10, 0.8, seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_too_many_labels_are_refused():
    with pytest.raises(ValueError, match="n_sequence_labels"):
        split_label_pairs(12_800)
