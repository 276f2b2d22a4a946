"""A compressed bank keeps what its directions hold, uncentred; the package's own is real."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition_interp.data import FeatureBank, load_feature_file
from coopetition_interp.data.compressed_bank import compress, save_compressed_bank
from coopetition_interp.data.embedded_omniglot import EmbeddedOmniglot


def features(seed=0, n_classes=30, n_exemplars=4, d_feature=12):
    """Features that are far from centred."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_classes, n_exemplars, d_feature, generator=generator) + 1.5


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_the_error_is_what_the_other_directions_hold_and_rounding(seed, n_directions):
    original = features(seed)
    compressed = compress(original, n_directions)
    rows = original.reshape(-1, 12).double().numpy()
    squares = np.linalg.svd(rows, compute_uv=False) ** 2
    assert compressed.energy == pytest.approx(squares[:n_directions].sum() / squares.sum())
    # Rounding moves each coordinate by half a code at most.
    of_codes = compressed.features.double().pow(2).sum()
    slack = len(rows) * (compressed.scales.double() * 127.5).pow(2).sum() * 2 / 127
    assert abs(of_codes - squares[:n_directions].sum()) <= slack


def test_all_directions_keep_all_distances():
    original = features()
    compressed = compress(original, 12).features
    before, after = (
        torch.cdist(each.reshape(-1, 12), each.reshape(-1, 12)) for each in (original, compressed)
    )
    # A turn of the coordinates changes no distance; 8 bits leave about one part in a hundred.
    torch.testing.assert_close(after, before, rtol=0.05, atol=0.1)


def test_the_mean_is_kept():
    original = features()
    length = original.mean(dim=(0, 1)).norm()
    assert compress(original, 12).features.mean(dim=(0, 1)).norm() == pytest.approx(
        float(length), rel=0.01
    )


def test_a_compressed_file_is_read_as_a_bank(tmp_path):
    bank = FeatureBank(
        features(),
        class_group=np.arange(30) // 2,
        class_transform=np.arange(30) % 2,
        provenance={"kind": "test"},
    )
    written = save_compressed_bank(bank, tmp_path / "small.safetensors", 5, licences="MIT")
    read = load_feature_file(tmp_path / "small.safetensors")
    assert torch.equal(read.features, written.features)
    assert read.class_names == bank.class_names
    assert read.class_group.tolist() == bank.class_group.tolist()
    assert read.class_transform.tolist() == bank.class_transform.tolist()
    assert read.provenance["of"] == {"kind": "test"}
    assert read.provenance["centred"] is False


@pytest.mark.parametrize("n_directions", [0, 13])
def test_directions_that_are_not_there_are_refused(n_directions):
    with pytest.raises(ValueError, match="choose 1 to 12"):
        compress(features(), n_directions)


def test_another_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="safetensors"):
        save_compressed_bank(FeatureBank(features()), tmp_path / "small.h5", 5)


@pytest.fixture(scope="module")
def embedded():
    return EmbeddedOmniglot().load()


def test_the_embedded_bank_is_all_of_omniglot(embedded):
    assert embedded.features.shape == (12_984, 20, 64)
    groups, sizes = np.unique(embedded.class_group, return_counts=True)
    assert len(groups) == 1623
    assert (sizes == 8).all()
    assert len(set(embedded.class_names)) == 12_984
    assert embedded.provenance["share_of_energy"] == pytest.approx(0.95, abs=0.005)
    assert "Omniglot" in embedded.provenance["licences"]
    assert len(EmbeddedOmniglot(transforms="unrotated").load().features) == 1623


def test_embedded_classes_are_told_apart_as_well_as_on_all_directions(embedded):
    """Two-way nearest class mean (0.983 measured) and one-shot nearest neighbour (0.929)."""
    generator = torch.Generator().manual_seed(0)
    n = 5000
    pairs = torch.stack([torch.randperm(12_984, generator=generator)[:2] for _ in range(n)])
    own, other = embedded.features[pairs[:, 0]], embedded.features[pairs[:, 1]]
    query, shot, other_shot = own[:, 0], own[:, 1], other[:, 1]
    nearer_mean = (query - own[:, 1:].mean(1)).norm(dim=1) < (query - other.mean(1)).norm(dim=1)
    nearer_shot = (query - shot).norm(dim=1) < (query - other_shot).norm(dim=1)
    assert nearer_mean.double().mean() == pytest.approx(0.983, abs=0.01)
    assert nearer_shot.double().mean() == pytest.approx(0.929, abs=0.02)
