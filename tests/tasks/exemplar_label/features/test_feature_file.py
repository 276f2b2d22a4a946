"""Feature files: round trips, foreign files, and clear refusals."""

import json
import pickle

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coopetition_interp.tasks.exemplar_label.features import (
    FeatureBank,
    FeatureFile,
    FeatureFileError,
    load_feature_file,
    save_feature_file,
)

SUFFIXES = [".h5", ".hdf5", ".safetensors"]


@pytest.fixture
def bank() -> FeatureBank:
    return FeatureBank(
        torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0)).half(),
        class_names=tuple(f"Büchner/character0{i}" for i in range(6)),
        class_group=np.array([5, 3, 3, 5, 0, 0]),
        class_transform=np.array([0, 0, 1, 1, 0, 1]),
        provenance={"kind": "made up", "knobs": [1, 2.5, None, {"deep": "yes"}]},
    )


def write_hdf5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file[name] = data
    return path


def assert_equal_banks(first: FeatureBank, second: FeatureBank):
    assert first.digest() == second.digest()
    assert first.class_names == second.class_names
    assert first.provenance == second.provenance
    assert (first.class_transform is None) == (second.class_transform is None)
    if first.class_transform is not None:
        np.testing.assert_array_equal(first.class_transform, second.class_transform)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_saved_bank_is_read_back_equal(tmp_path, bank, suffix, dtype):
    saved = FeatureBank(
        bank.features.to(dtype),
        bank.class_names,
        bank.class_group,
        bank.provenance,
        bank.class_transform,
    )
    save_feature_file(saved, tmp_path / f"bank{suffix}")
    loaded = load_feature_file(tmp_path / f"bank{suffix}")
    assert loaded.features.dtype == dtype
    assert_equal_banks(loaded, saved)
    assert list(tmp_path.iterdir()) == [tmp_path / f"bank{suffix}"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_bank_of_defaults_is_read_back_equal(tmp_path, suffix):
    # Features that are a strided view of something larger are saved as they look.
    saved = FeatureBank(torch.randn(4, 3, 2).transpose(0, 2))
    save_feature_file(saved, tmp_path / f"bank{suffix}")
    assert_equal_banks(load_feature_file(tmp_path / f"bank{suffix}"), saved)


def test_bfloat16_goes_into_safetensors_only(tmp_path, bank):
    saved = FeatureBank(bank.features.bfloat16())
    save_feature_file(saved, tmp_path / "bank.safetensors")
    assert_equal_banks(load_feature_file(tmp_path / "bank.safetensors"), saved)
    with pytest.raises(ValueError, match=r"save bank as .*safetensors"):
        save_feature_file(saved, tmp_path / "bank.h5")


def test_an_unknown_suffix_is_refused(tmp_path, bank):
    with pytest.raises(ValueError, match=r"'bank.pt': end it in .h5"):
        save_feature_file(bank, tmp_path / "bank.pt")


@pytest.mark.parametrize("name", ["features", "resnet18/224/feat"])
def test_default_datasets_are_found(tmp_path, name):
    features = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    path = write_hdf5(tmp_path / "file.h5", other=np.zeros((1, 1, 1)), **{name: features})
    loaded = load_feature_file(path)
    assert loaded.features.numpy().tolist() == features.tolist()
    assert loaded.provenance["dataset"] == name
    json.dumps(loaded.provenance)


@pytest.mark.parametrize("name", ["vit/384/tokens", "/vit/384/tokens"])
def test_a_named_dataset_is_read(tmp_path, name):
    path = write_hdf5(
        tmp_path / "file.h5",
        **{"vit/384/tokens": np.ones((2, 2, 2), np.float32), "features": np.zeros((1, 1, 1))},
    )
    assert (FeatureFile(str(path), dataset=name).load().features == 1).all()


def test_a_named_safetensors_entry_is_read(tmp_path):
    save_file({"other": torch.ones(2, 1, 2)}, tmp_path / "file.safetensors")
    bank = load_feature_file(tmp_path / "file.safetensors", dataset="other")
    assert (bank.features == 1).all()
    with pytest.raises(FeatureFileError, match=r"it holds: other \(2, 1, 2\)"):
        load_feature_file(tmp_path / "file.safetensors")


def test_big_endian_features_are_read(tmp_path):
    features = np.arange(8.0).reshape(2, 2, 2).astype(">f4")
    loaded = load_feature_file(write_hdf5(tmp_path / "file.h5", features=features))
    assert loaded.features.tolist() == features.tolist()


def test_omniglot_columns_become_names_groups_and_transforms(tmp_path):
    features = np.arange(8, dtype=np.float16).reshape(4, 1, 2)
    path = write_hdf5(
        tmp_path / "file.h5",
        features=features,
        character=["images_background/Greek/character01", "images_evaluation/Futurama/character02"],
        class_character=np.array([0, 1, 0, 1], dtype=np.int16),
        class_transform=np.array([0, 0, 3, 3], dtype=np.int8),
    )
    bank = load_feature_file(path)
    assert bank.features.dtype == torch.float16
    assert bank.class_names == (
        "Greek/character01",
        "Futurama/character02",
        "Greek/character01 rot90 flip",
        "Futurama/character02 rot90 flip",
    )
    np.testing.assert_array_equal(bank.class_group, [0, 1, 0, 1])
    np.testing.assert_array_equal(bank.split(2).held_out_classes, [1, 3])
    upright = FeatureFile(str(path), transforms="unrotated").load()
    assert upright.features.tolist() == features[:2].tolist()


def test_neighbouring_classes_can_be_made_a_group(tmp_path):
    path = write_hdf5(tmp_path / "file.h5", features=np.zeros((6, 1, 1)))
    bank = FeatureFile(str(path), classes_per_group=3).load()
    np.testing.assert_array_equal(bank.class_group, [0, 0, 0, 1, 1, 1])
    with pytest.raises(FeatureFileError, match="6 classes do not fall into groups of 4"):
        load_feature_file(path, classes_per_group=4)


def test_groups_of_the_file_and_of_the_caller_contradict(tmp_path, bank):
    save_feature_file(bank, tmp_path / "bank.h5")
    with pytest.raises(FeatureFileError, match="own class groups"):
        load_feature_file(tmp_path / "bank.h5", classes_per_group=2)


def test_unrotated_needs_a_file_that_tells(tmp_path):
    path = write_hdf5(tmp_path / "file.h5", features=np.zeros((6, 1, 1)))
    with pytest.raises(ValueError, match="which transform"):
        FeatureFile(str(path), transforms="unrotated").load()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no feature file .*nowhere.h5"):
        load_feature_file(tmp_path / "nowhere.h5")


def test_a_missing_dataset_lists_those_there(tmp_path):
    path = write_hdf5(tmp_path / "file.h5", **{"a/b": np.zeros((2, 3)), "c": np.zeros(4)})
    with pytest.raises(FeatureFileError, match=r"'features' or .*holds: a/b \(2, 3\), c \(4,\)"):
        load_feature_file(path)
    with pytest.raises(FeatureFileError, match="no dataset 'a'"):  # a group, not a dataset
        load_feature_file(path, dataset="a")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, bank, suffix, kept):
    path = tmp_path / f"bank{suffix}"
    save_feature_file(bank, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(FeatureFileError, match=rf"bank{suffix} is truncated or corrupt"):
        load_feature_file(path)


def test_a_damaged_compressed_chunk_is_refused(tmp_path):
    path = tmp_path / "file.h5"
    features = np.random.default_rng(0).normal(size=(20, 4, 8)).astype(np.float32)
    with h5py.File(path, "w") as file:
        data = file.create_dataset("features", data=features, compression="gzip")
        chunk = data.id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    content[middle : middle + 16] = b"x" * 16
    path.write_bytes(content)
    with pytest.raises(FeatureFileError, match="truncated or corrupt"):
        load_feature_file(path)


def test_a_pickle_is_never_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").write_text, ("",)

    for suffix in (".pt", *SUFFIXES):
        path = tmp_path / f"file{suffix}"
        path.write_bytes(pickle.dumps(Trap()))
        with pytest.raises(FeatureFileError):
            load_feature_file(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((2, 3)), r"\(2, 3\); .*reshape"),
        (np.zeros((0, 3, 2)), r"\(0, 3, 2\)"),
        (np.zeros((2, 3, 4), dtype=np.int32), "int32; .* float16, float32 or float64: convert"),
        (np.full((2, 3, 4), np.nan), "NaN or infinity"),
    ],
)
def test_features_that_make_no_bank_are_refused_with_the_files_name(tmp_path, features, message):
    path = write_hdf5(tmp_path / "file.h5", features=features)
    with pytest.raises(FeatureFileError, match=f"(?s)file.h5.*'features'.*{message}"):
        load_feature_file(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"class_group": np.zeros(3, int)}, "class_group has 3 entries"),
        ({"class_group": np.zeros(2)}, "one integer per class"),
        (
            {"class_character": np.array([0, 7]), "character": ["a"]},
            "class_character points outside",
        ),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path, columns, message):
    path = write_hdf5(tmp_path / "file.h5", features=np.zeros((2, 1, 1)), **columns)
    with pytest.raises(FeatureFileError, match=message):
        load_feature_file(path)
