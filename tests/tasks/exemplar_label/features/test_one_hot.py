"""One-hot banks."""

import pytest
import torch

from coopetition_interp.tasks.exemplar_label.features import OneHotFeatures, one_hot_features


def test_each_class_is_its_own_basis_vector():
    features = one_hot_features(5, n_exemplars=3).features
    assert features.shape == (5, 3, 5)
    for exemplar in range(3):
        assert torch.equal(features[:, exemplar].float(), torch.eye(5))


def test_the_source_builds_the_bank():
    assert torch.equal(OneHotFeatures(4, 2).load().features, one_hot_features(4, 2).features)


def test_a_bank_over_the_memory_bound_is_refused_before_it_is_made():
    with pytest.raises(
        ValueError, match=r"100000 classes x 1 exemplars take 18.6 GiB, more than .* 1 GiB"
    ):
        one_hot_features(100_000)


@pytest.mark.parametrize(("n_classes", "n_exemplars"), [(0, 1), (1, 0)])
def test_empty_banks_are_refused(n_classes, n_exemplars):
    with pytest.raises(ValueError, match="at least one class"):
        one_hot_features(n_classes, n_exemplars)
