"""Gaussian classes: their law, and that smaller banks are corners of larger ones."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition_interp.tasks.exemplar_label.features import GaussianFeatures, gaussian_features


@settings(max_examples=20)
@given(n_classes=st.integers(1, 600), n_exemplars=st.integers(1, 4), seed=st.integers(0, 2**40))
def test_a_smaller_bank_is_a_corner_of_a_larger_one(n_classes, n_exemplars, seed):
    small = gaussian_features(n_classes, n_exemplars, d_feature=3, seed=seed).features
    large = gaussian_features(600, 4, d_feature=3, seed=seed).features
    assert torch.equal(small, large[:n_classes, :n_exemplars])


def test_variances_are_those_of_the_definition():
    sd = 0.57
    features = gaussian_features(4000, 10, 16, within_class_sd=sd).features.double()
    assert features.mean().abs() < 0.02
    assert features.var() == pytest.approx(1, abs=0.02)
    within = features.var(dim=1).mean()  # unbiased, over a class's exemplars
    assert within == pytest.approx(sd**2 / (1 + sd**2), rel=0.01)
    # Classes are independent of each other, and coordinates too.
    between = torch.corrcoef(features.mean(dim=1).T)
    assert (between - torch.eye(16)).abs().max() < 0.08
    neighbours = torch.corrcoef(torch.stack([features[:-1].flatten(), features[1:].flatten()]))
    assert neighbours[0, 1].abs() < 0.01


def test_no_variation_makes_equal_exemplars():
    features = gaussian_features(5, 3, 4, within_class_sd=0.0).features
    assert torch.equal(features, features[:, :1].expand(-1, 3, -1))


def test_seeds_give_different_features():
    first, second = (gaussian_features(3, 2, 4, seed=seed).features for seed in (0, 1))
    assert not torch.isclose(first, second).any()


def test_the_source_draws_what_it_says():
    source = GaussianFeatures(n_classes=7, n_exemplars=2, d_feature=5, within_class_sd=0.3, seed=4)
    bank = source.load()
    assert torch.equal(bank.features, gaussian_features(7, 2, 5, 0.3, 4).features)
    assert bank.features.dtype == torch.float32
    assert bank.provenance["within_class_sd"] == 0.3
    assert len(set(bank.class_group)) == 7


@pytest.mark.parametrize(
    "option",
    [
        {"n_classes": 0},
        {"n_exemplars": 0},
        {"d_feature": 0},
        {"within_class_sd": -0.1},
        {"within_class_sd": float("nan")},
        {"seed": -1},
    ],
)
def test_impossible_sizes_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        gaussian_features(**option)
