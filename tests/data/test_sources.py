"""Feature sources survive the way through JSON, and bad descriptions are refused."""

import json

import pytest
import torch

from coopetition_interp.data import (
    EmbeddedOmniglot,
    FeatureFile,
    GaussianFeatures,
    OmniglotFeatures,
    OneHotFeatures,
    build_bank,
    feature_source_from_dict,
    feature_source_to_dict,
)

SOURCES = [
    GaussianFeatures(n_classes=12, within_class_sd=0.25),
    OneHotFeatures(9, 2),
    FeatureFile("some/file.h5", dataset="resnet18/224/feat", transforms="unrotated"),
    EmbeddedOmniglot(transforms="unrotated"),
    OmniglotFeatures("omniglot", encoder="resnet50", image_size=160, download=True),
]


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_survives_json(source):
    description = json.loads(json.dumps(feature_source_to_dict(source)))
    assert feature_source_from_dict(description) == source


def test_left_out_fields_take_their_defaults():
    assert feature_source_from_dict({"kind": "gaussian", "seed": 3}) == GaussianFeatures(seed=3)


def test_a_whole_number_becomes_a_float():
    source = feature_source_from_dict({"kind": "gaussian", "within_class_sd": 0})
    assert type(source.within_class_sd) is float


def test_building_loads_the_bank():
    bank = build_bank(OneHotFeatures(3))
    assert torch.equal(bank.features[:, 0].float(), torch.eye(3))


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"kind": "laplace"}, "unknown kind of features 'laplace': choose one of gaussian"),
        ({}, "unknown kind of features None"),
        ({"kind": "gaussian", "sd": 1.0}, "no field 'sd': choose from n_classes"),
        ({"kind": "feature_file"}, "need the field 'path'"),
        (
            {"kind": "gaussian", "n_classes": "12"},
            "'n_classes' of gaussian features cannot be '12'",
        ),
        ({"kind": "gaussian", "n_classes": True}, "cannot be True"),
        ({"kind": "gaussian", "seed": 0.5}, "cannot be 0.5"),
        ({"kind": "feature_file", "path": "a", "transforms": "some"}, "cannot be 'some'"),
        ({"kind": "feature_file", "path": "a", "dataset": 3}, "cannot be 3"),
    ],
)
def test_bad_descriptions_are_refused(description, message):
    with pytest.raises(ValueError, match=message):
        feature_source_from_dict(description)
