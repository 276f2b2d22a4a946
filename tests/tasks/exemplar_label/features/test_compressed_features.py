"""Compressed banks: what they keep, what they round, and the one inside the package."""

import json

import numpy as np
import pytest
import torch
from drills.feature_files import damage_drill, example_bank
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from two_way_accuracy import nearest_class_mean, one_shot

from coopetition_interp.command_line import main
from coopetition_interp.tasks.exemplar_label.features import (
    EmbeddedOmniglot,
    FeatureBank,
    FeatureFileError,
    load_feature_file,
    save_compressed_feature_file,
    save_feature_file,
)
from coopetition_interp.tasks.exemplar_label.features.compressed_features import (
    compress_features,
    top_directions,
)
from coopetition_interp.tasks.exemplar_label.features.safetensors_features import dequantised


def features_of_rank(rank: int, n_classes: int = 300) -> torch.Tensor:
    """[n_classes, 4, 8] with a mean far from 0, in the first `rank` of 8 rotated directions."""
    rng = np.random.default_rng(rank)
    inside = rng.normal(size=(n_classes, 4, rank)) * np.linspace(3, 0.5, rank) + 2
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    return torch.from_numpy(inside @ rotation[:rank]).float()


def test_directions_are_those_of_the_uncentred_svd():
    features = features_of_rank(8)
    directions, energy_kept = top_directions(features, 3)
    _, singular, right = np.linalg.svd(features.flatten(0, 1).double().numpy(), full_matrices=False)
    # Directions are eigenvectors of a Gram matrix here: equal to rounding, but for the sign.
    cosines = np.abs(np.sum(directions.numpy() * right[:3].T, axis=0))
    np.testing.assert_allclose(cosines, 1, atol=1e-9)
    assert energy_kept == pytest.approx((singular[:3] ** 2).sum() / (singular**2).sum(), rel=1e-9)
    assert (directions.gather(0, directions.abs().argmax(dim=0, keepdim=True)) > 0).all()


def test_codes_are_the_projection_to_half_a_step():
    features = features_of_rank(8)
    compressed = compress_features(features, 5)
    projected = features.double() @ top_directions(features, 5)[0]
    error = dequantised(compressed.codes, compressed.scales).double() - projected
    # Half a step, and what a float32 scale and product round away.
    assert (error.abs() <= compressed.scales.double() * 0.5001).all()
    assert (compressed.codes.abs().amax(dim=(0, 1)) == 127).all()
    mean_square = float(projected.square().mean())
    assert compressed.mean_square == pytest.approx(mean_square, rel=1e-3)


def test_distances_and_energy_survive_where_the_rank_does():
    features = features_of_rank(3)
    compressed = compress_features(features, 5)
    assert compressed.energy_kept == pytest.approx(1)
    before = torch.cdist(features[:50, 0], features[:50, 1])
    kept = dequantised(compressed.codes, compressed.scales)
    torch.testing.assert_close(
        torch.cdist(kept[:50, 0], kept[:50, 1]), before, rtol=0.02, atol=0.15
    )


def test_features_of_nothing_are_compressed_to_nothing():
    compressed = compress_features(torch.zeros(3, 2, 4), 2)
    assert not compressed.codes.any()
    assert not compressed.scales.any()


def test_the_same_features_give_the_same_file(tmp_path):
    for name in ("one", "two"):
        save_compressed_feature_file(example_bank(), tmp_path / f"{name}.safetensors", 3)
    one, two = (load_feature_file(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    assert one.digest() == two.digest()


@pytest.mark.parametrize("names", ["of characters", "of another kind"])
def test_a_compressed_bank_is_read_back(tmp_path, names):
    bank = example_bank()
    if names == "of characters":
        bank = FeatureBank(
            bank.features,
            tuple(
                name if i % 2 == 0 else f"{bank.class_names[i - 1]} flip"
                for i, name in enumerate(bank.class_names)
            ),
            bank.class_group,
            bank.provenance,
            bank.class_transform,
        )
    path = tmp_path / "small.safetensors"
    written = save_compressed_feature_file(bank, path, 4, ("none",))
    loaded = load_feature_file(path)
    assert loaded.features.dtype == torch.float32
    assert loaded.features.shape == (12, 3, 4)
    assert loaded.digest() == written.digest()
    assert loaded.class_names == bank.class_names
    np.testing.assert_array_equal(loaded.class_group, bank.class_group)
    np.testing.assert_array_equal(loaded.class_transform, bank.class_transform)
    assert loaded.provenance == json.loads(json.dumps(written.provenance))
    assert loaded.provenance["source"] == bank.provenance
    assert loaded.provenance["licences"] == ["none"]
    with safe_open(path, "pt") as file:
        assert ("characters" in file.metadata()) == (names == "of characters")


@pytest.mark.parametrize("n_directions", [0, 6])
def test_directions_that_are_not_there_are_refused(tmp_path, n_directions):
    with pytest.raises(ValueError, match="of length 5: choose 1 to 5"):
        save_compressed_feature_file(example_bank(), tmp_path / "f.safetensors", n_directions)
    assert not list(tmp_path.iterdir())


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"end 'small.h5' in .safetensors"):
        save_compressed_feature_file(example_bank(), tmp_path / "small.h5", 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": torch.ones(3)}, r"scales that are F32 of shape \(3,\); .* compress"),
        ({"scales": torch.ones(4).double()}, "scales that are F64"),
        ({"codes": torch.ones(12, 3, 4)}, "'codes' of type F32"),
        ({"codes": torch.ones(12, 4, dtype=torch.int8)}, r"'codes' of shape \(12, 4\)"),
        ({"scales": torch.full((4,), torch.inf)}, "NaN or infinity"),
        ({"scales": torch.ones(4)}, "content_sha256 is of other content"),
    ],
)
def test_compressed_files_that_do_not_fit_together_are_refused(tmp_path, change, message):
    path = tmp_path / "small.safetensors"
    save_compressed_feature_file(example_bank(), path, 4)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({**load_file(path), **change}, path, metadata)
    with pytest.raises(FeatureFileError, match=message):
        load_feature_file(path)


def test_damaged_compressed_files_are_refused(tmp_path):
    outcomes = damage_drill("own compressed", 80, 0, load_feature_file, tmp_path)
    assert {outcome for outcome, _ in outcomes} <= {"refused", "the same"}


def test_the_command_line_compresses_and_converts(tmp_path, capsys):
    save_feature_file(example_bank(), tmp_path / "large.h5")
    small = tmp_path / "small.safetensors"
    command = ["features", str(small), "--from", str(tmp_path / "large.h5")]
    assert main([*command, "--compress", "3", "--licence", "MIT"]) == 0
    assert "3 directions keep" in capsys.readouterr().out
    bank = load_feature_file(small)
    assert bank.d_feature == 3
    assert bank.provenance["licences"] == ["MIT"]
    assert str(tmp_path) not in json.dumps(bank.provenance)

    upright = [*command, "--transforms", "unrotated"]
    assert main(upright) == 0
    assert load_feature_file(small).digest() == example_bank().unrotated().digest()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["small.h5", "--compress", "3"], "must end in .safetensors"),
        (["small.txt"], "must end in .h5 or .hdf5"),
        (["small.safetensors", "--compress", "0"], "from 1 to 1,000,000"),
        (["small.safetensors", "--licence", "MIT"], "--licence goes with --compress"),
        (["small.safetensors", "--download"], "leave --download out"),
        (["small.safetensors", "--compress", "9"], "of length 5: choose 1 to 5"),
    ],
)
def test_contradicting_options_are_refused_before_anything_is_read(
    tmp_path, capsys, options, message
):
    save_feature_file(example_bank(), tmp_path / "large.safetensors")
    out, *rest = options
    command = ["features", str(tmp_path / out), *rest]
    assert main([*command, "--from", str(tmp_path / "large.safetensors")]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["large.safetensors"]


@pytest.fixture(scope="module")
def embedded() -> FeatureBank:
    return EmbeddedOmniglot().load()


def test_the_embedded_bank_is_all_of_omniglot(embedded):
    assert embedded.features.shape == (12_984, 20, 64)
    assert len(set(embedded.class_names)) == 12_984
    assert len({name.split()[0] for name in embedded.class_names}) == 1623
    assert len(set(embedded.class_group.tolist())) == 1623
    split = embedded.split(12_800)
    assert len(split.held_out_classes) == 184
    assert EmbeddedOmniglot(transforms="unrotated").load().n_classes == 1623


def test_the_embedded_bank_says_where_it_comes_from(embedded):
    provenance = embedded.provenance
    assert provenance["energy_kept"] == pytest.approx(0.9514, abs=1e-3)
    assert len(provenance["source"]["sha256"]) == 64
    assert any("Brenden Lake" in licence for licence in provenance["licences"])
    assert any("Apache" in licence for licence in provenance["licences"])
    assert "/" not in provenance["source"]["file"]


def test_classes_of_the_embedded_bank_can_be_told_apart(embedded):
    """As measured on 200,000 trials; three standard errors of 20,000 are 0.003 and 0.006."""
    assert nearest_class_mean(embedded, 20_000) == pytest.approx(0.9825, abs=0.003)
    assert one_shot(embedded, 20_000) == pytest.approx(0.9274, abs=0.006)
    assert float(embedded.features.square().mean()) == pytest.approx(3.779, rel=1e-3)
