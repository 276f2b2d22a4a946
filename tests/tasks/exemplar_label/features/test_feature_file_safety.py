"""Feature files of strangers, and damaged ones: refused in time, by name, and for the reason."""

import json
import os
import socket
import zlib
from collections import Counter

import h5py
import numpy as np
import pytest
import torch
from drills.feature_files import (
    BASES,
    damage_drill,
    example_bank,
    load_in_this_process,
    odd_files_drill,
)
from drills.odd_feature_files import GOOD, ODD_HDF5, ODD_SAFETENSORS
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from coopetition_interp.files.hdf5_reading.header import UnusableDataError
from coopetition_interp.tasks.exemplar_label.features import (
    FeatureBank,
    FeatureFileError,
    load_feature_file,
    save_feature_file,
)
from coopetition_interp.tasks.exemplar_label.features.hdf5_features import read_hdf5

# Files that load, since they are sound or only their notes are odd.
SOUND = {
    "attribute of a reference",
    "attribute of a point",
    "attribute of variable length",
    "attribute of nothing",
    "attribute of complex numbers",
    "class_names of nothing",
    "provenance of an object",
}


@pytest.mark.parametrize("suffix", [".h5", ".safetensors"])
def test_odd_files_are_refused_in_one_sane_line(tmp_path, suffix):
    for name, outcome, message in odd_files_drill(load_in_this_process, tmp_path, suffix):
        assert outcome == ("the same" if name in SOUND else "refused"), f"{name}: {message}"
        if outcome == "refused":
            assert "\n" not in message, name
            assert 60 < len(message) < 600, name
            assert str(tmp_path) in message, name


@pytest.mark.parametrize("base", BASES)
def test_damaged_files_are_refused_or_load_the_same(tmp_path, base):
    n_mutants = 80
    counts = Counter(
        outcome for outcome, _ in damage_drill(base, n_mutants, 0, load_in_this_process, tmp_path)
    )
    # Files from elsewhere hold no digest: a changed bit of a feature is a changed feature.
    allowed = {"refused", "the same"} | ({"changed"} if base.startswith("foreign") else set())
    assert set(counts) <= allowed, counts
    assert counts["refused"] > n_mutants // 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("features by an external link", r"'features' only as a link to another file"),
        ("group by an external link", r"'resnet18/224/feat' only as a link to another file"),
        ("class_group by an external link", r"'class_group' only as a link to another file"),
        ("features by a soft link", r"'features' only as a link to elsewhere"),
        ("external storage", r"'features' whose data lie in other files"),
        ("virtual storage", r"'features' whose data lie in other files"),
        ("36 TiB never written", r"'features' of 37,252.9 GiB; at most 16 GiB are read"),
        ("features never written", r"'features' of shape .* of which only 0.0% was written"),
        ("features partly written", r"of which only 25.0% was written: make the file again"),
        ("bomb", r"'features' that decodes to 80 MiB, [\d,]+ times the file's size; at most 100 "),
        ("unknown filter", r"filter 32099\), which this HDF5 library has not: save it with gzip"),
        ("features beyond float32", r"features reach .*e\+200 in magnitude \(class .*scale them"),
        ("huge features", r"features reach .*e\+12 in magnitude"),
        ("class_group beyond int64", r"class_group with numbers beyond 64 bits"),
        ("many datasets", r"it holds: long name .*, \.\.\.\. Name one"),
        ("provenance of no JSON", r"provenance that is no JSON .*: mend or delete it"),
    ],
)
def test_the_reason_is_told(tmp_path, name, message):
    path = tmp_path / "file.h5"
    ODD_HDF5[name](path)
    with pytest.raises(FeatureFileError, match=message):
        load_in_this_process(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("features of F8_E4M3", r"'features' of type F8_E4M3; .*convert"),
        ("class_group of two axes", r"class_group that is I64 of shape \(2, 2\); .* one integer"),
        ("class_names of an object", r"names that are no list of texts"),
        ("provenance too deep", r"provenance that is no JSON"),
        ("provenance of a text", r"provenance that is no JSON object"),
        ("digest in metadata alone", r"its content_sha256 is of other content"),
        ("features of bfloat16 beyond all scale", r"e\+38 in magnitude"),
    ],
)
def test_the_reason_is_told_of_safetensors(tmp_path, name, message):
    path = tmp_path / "file.safetensors"
    ODD_SAFETENSORS[name](path)
    with pytest.raises(FeatureFileError, match=message):
        load_feature_file(path)


def test_links_are_not_followed_by_the_public_function(tmp_path):
    path = tmp_path / "file.h5"
    ODD_HDF5["features by an external link"](path)
    with pytest.raises(FeatureFileError, match="copy the data itself into the file"):
        load_feature_file(path)


def test_a_chunk_that_inflates_beyond_its_size_is_ended(tmp_path):
    """Its header says 96 bytes; its stream inflates to 1 GiB."""
    path = tmp_path / "file.h5"
    deflate = zlib.compressobj(9)
    zeros = bytes(2**24)
    block = deflate.compress(zeros) + deflate.flush(zlib.Z_FULL_FLUSH)
    again = deflate.compress(zeros) + deflate.flush(zlib.Z_FULL_FLUSH)
    stream = block + again * 63
    with h5py.File(path, "w") as file:
        data = file.create_dataset("features", (4, 2, 3), "f4", chunks=(4, 2, 3), compression=9)
        data.id.write_direct_chunk((0, 0, 0), stream)
    with pytest.raises(FeatureFileError, match=r"(corrupt|memory).*make or copy it again"):
        load_feature_file(path)


def test_a_file_that_takes_too_long_is_ended(tmp_path):
    """After a hundredth of a second of computing, not of the clock: no machine decodes so fast."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        features = np.zeros((15, 1000, 1000), np.float16)
        file.create_dataset("features", data=features, chunks=True, compression=1)
    with pytest.raises(UnusableDataError, match=r"takes too long: 0.01 s of computing"):
        read_hdf5(path, None, seconds=0.01)


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device"])
def test_only_regular_files_are_opened(tmp_path, kind):
    path = tmp_path / "file.h5"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(os.path.relpath(path))
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(FeatureFileError, match=r"file.h5 is no regular file"):
        load_feature_file(path)


@pytest.mark.parametrize("name", ["nul\0.h5", "n" * 300 + ".h5", "loop.h5"])
def test_paths_that_cannot_be_are_refused(tmp_path, name):
    (tmp_path / "loop.h5").symlink_to("loop.h5")
    with pytest.raises((FeatureFileError, FileNotFoundError), match="check the path"):
        load_feature_file(tmp_path / name)


def test_a_dataset_name_with_nul_is_refused(tmp_path):
    save_feature_file(example_bank(), tmp_path / "file.h5")
    with pytest.raises(FeatureFileError, match="name another"):
        load_feature_file(tmp_path / "file.h5", dataset="fea\0tures")


def test_python_files_in_the_working_directory_are_not_run(tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("raise SystemExit('sprung')")
    save_feature_file(example_bank(), tmp_path / "file.h5")
    monkeypatch.chdir(tmp_path)
    assert load_feature_file("file.h5").digest() == example_bank().digest()


def test_edited_features_and_lost_digests_are_told(tmp_path):
    path = tmp_path / "file.h5"
    save_feature_file(example_bank(), path)
    with h5py.File(path, "r+") as file:
        file["class_name"][0] = "another"
    with pytest.raises(FeatureFileError, match="content_sha256 is of other content"):
        load_in_this_process(path)
    for holder in ("/", "features"):
        save_feature_file(example_bank(), path)
        with h5py.File(path, "r+") as file:
            del file[holder].attrs["content_sha256"]
        with pytest.raises(FeatureFileError, match="content_sha256"):
            load_in_this_process(path)


def test_files_written_before_digests_load(tmp_path):
    bank = example_bank()
    for suffix in (".h5", ".safetensors"):
        path = tmp_path / f"file{suffix}"
        save_feature_file(bank, path)
        if suffix == ".h5":
            with h5py.File(path, "r+") as file:
                for holder in (file, file["features"]):
                    del holder.attrs["content_sha256"]
        else:
            with safe_open(path, "pt") as file:
                metadata = file.metadata()
            tensors = load_file(path)
            del metadata["content_sha256"], tensors["content_sha256"]
            save_file(tensors, path, metadata)
        loaded = load_in_this_process(path)
        assert loaded.digest() == bank.digest()
        assert loaded.provenance == bank.provenance


def test_the_digest_survives_provenance_that_json_changes(tmp_path):
    bank = FeatureBank(
        torch.from_numpy(GOOD), provenance={"pair": (1, 2), "deep": {3: "key"}, "a": 0.1}
    )
    save_feature_file(bank, tmp_path / "file.safetensors")
    loaded = load_feature_file(tmp_path / "file.safetensors")
    assert loaded.provenance == json.loads(json.dumps(bank.provenance))


def test_features_do_not_change_with_the_file_after_loading(tmp_path):
    path = tmp_path / "file.safetensors"
    save_feature_file(example_bank(), path)
    loaded = load_feature_file(path)
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert loaded.digest() == example_bank().digest()


def test_compressed_features_are_read(tmp_path):
    features = np.zeros((300, 20, 64), np.float16)  # a ratio of hundreds, but not large
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.create_dataset("features", data=features, compression="gzip", chunks=(64, 20, 64))
    assert load_feature_file(tmp_path / "file.h5").features.shape == (300, 20, 64)
