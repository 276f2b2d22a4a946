"""Feature sources survive the way through JSON, and bad descriptions are refused."""

import json
from pathlib import Path

import pytest
import torch

from coopetition_interp.tasks.exemplar_label import ExemplarLabelConfig
from coopetition_interp.tasks.exemplar_label.features import (
    EmbeddedOmniglot,
    FeatureFile,
    GaussianFeatures,
    OmniglotFeatures,
    OmniglotImages,
    OneHotFeatures,
    build_bank,
)
from coopetition_interp.tasks.exemplar_label.sequences.class_weights import ClassWeights
from coopetition_interp.training import ConfigError, RunConfig

SOURCES = [
    GaussianFeatures(n_classes=12, within_class_sd=0.25),
    OneHotFeatures(9, 2),
    FeatureFile("some/file.h5", dataset="resnet18/224/feat", transforms="unrotated"),
    EmbeddedOmniglot(transforms="unrotated"),
    OmniglotFeatures("omniglot", encoder="resnet50", image_size=160, download=True),
]


def read(description):
    return RunConfig.from_dict({"features": description}).features


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_survives_json(source):
    description = json.loads(json.dumps(ExemplarLabelConfig(features=source).to_dict()["features"]))
    assert next(iter(description)) == "kind"
    assert read(description) == source


def test_left_out_fields_take_their_defaults():
    assert read({"kind": "gaussian", "seed": 3}) == GaussianFeatures(seed=3)


def test_numbers_may_be_written_either_way():
    source = read({"kind": "gaussian", "within_class_sd": 0, "n_classes": 1e3})
    assert source == GaussianFeatures(within_class_sd=0.0, n_classes=1000)
    assert type(source.within_class_sd) is float
    assert type(source.n_classes) is int


def test_a_path_may_be_a_path(tmp_path):
    assert FeatureFile(tmp_path / "a.h5") == FeatureFile(str(tmp_path / "a.h5"))
    assert OmniglotImages(root=tmp_path) == OmniglotImages(root=str(tmp_path))
    assert ClassWeights(tmp_path).path == str(tmp_path)


def test_a_missing_file_named_by_a_relative_path_is_told_with_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in (FeatureFile("a.h5"), ClassWeights("a.json")):
        with pytest.raises(FileNotFoundError, match=rf"there is no .* {source.path} in {tmp_path}"):
            source.load()


def test_building_loads_the_bank():
    bank = build_bank(OneHotFeatures(3))
    assert torch.equal(bank.features[:, 0].float(), torch.eye(3))


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"kind": "laplace"}, "features.kind must be 'embedded_omniglot' or 'gaussian'"),
        ({}, "features.kind is missing"),
        (3, "features must be a group of fields, or .*; got 3"),
        (Path("a.h5"), r"or a source such as .* FeatureFile\(path\); got PosixPath"),
        ({"kind": "gaussian", "sd": 1.0}, "features.sd: choose from kind, n_classes"),
        ({"kind": "feature_file"}, "features.path is missing"),
        ({"kind": "feature_file", "path": ""}, "features.path must be text of 1"),
        ({"kind": "gaussian", "n_classes": "12"}, "features.n_classes must be .*; got '12'"),
        ({"kind": "gaussian", "n_classes": True}, "got True"),
        ({"kind": "gaussian", "n_classes": 1e9}, "lower n_classes, n_exemplars or d_feature"),
        ({"kind": "gaussian", "within_class_sd": 1e200}, r"from 0 to 1,000; got 1e\+200"),
        ({"kind": "gaussian", "seed": 0.5}, "features.seed must be an integer .* got 0.5"),
        ({"kind": "feature_file", "path": "a", "transforms": "some"}, "'all' or 'unrotated'"),
        ({"kind": "feature_file", "path": "a", "dataset": 3}, "features.dataset must be text"),
    ],
)
def test_bad_descriptions_are_refused(description, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read(description)
    assert len(str(caught.value).splitlines()) == 1
