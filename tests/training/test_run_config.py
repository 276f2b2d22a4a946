"""Configs survive JSON, take overrides, and refuse nonsense by name."""

import json

import pytest

from coopetition_interp.interventions import AblateHeads, PreviousTokenHeads
from coopetition_interp.tasks.exemplar_label import PRESETS, preset
from coopetition_interp.tasks.exemplar_label.features import FeatureFile, GaussianFeatures
from coopetition_interp.training import ConfigError, RunConfig


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    config = preset(name)
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_clamps_and_features_survive_json():
    config = preset("tiny").replace(
        clamps=(PreviousTokenHeads([(0, 1)], strength=0.5), AblateHeads([(1, 0)])),
        features=FeatureFile(path="features.h5"),
    )
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_overrides_reach_nested_fields():
    config = preset("gaussian").with_overrides(
        [
            "n_sequences=2e6",
            "optimizer.learning_rate=1e-3",
            "features.within_class_sd=0",
            "model.positions=rotary",
            'checkpoint_at={"at": [10, 20]}',
            "evaluate_at.every=7",
        ]
    )
    assert config.n_sequences == 2_000_000
    assert isinstance(config.n_sequences, int)
    assert config.optimizer.learning_rate == 1e-3
    assert config.features == GaussianFeatures(d_feature=20, within_class_sd=0.0)
    assert config.model.positions == "rotary"
    assert config.checkpoint_at.at == (10, 20)
    assert config.checkpoint_at.every == 0
    assert config.evaluate_at.every == 7


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("n_seqs=5", "unknown field n_seqs: choose from name, optimizer"),
        ("optimizer.lr=1", "unknown field optimizer.lr: choose from learning_rate"),
        ("model.n_layers=two", "model.n_layers must be an integer from 1 to 100; got 'two'"),
        ("model.positions=alibi", "model.positions must be 'learned' or"),
        ("n_sequences=10", "less than one batch"),
        ("batch_size.x=1", "batch_size is a single value"),
        ("n_sequences", "an override reads field=value"),
        ("sequences.kind=bursts", "sequences"),
        (
            "features.kind=imagenet",
            "features.kind must be 'embedded_omniglot' or 'gaussian' or 'one_hot'",
        ),
        ("model.n_heads=true", "model.n_heads must be an integer"),
        ("n_sequences=1.5", "n_sequences must be an integer from 1 to 1e\\+12; got 1.5"),
    ],
)
def test_a_wrong_override_is_refused_by_name(assignment, message):
    with pytest.raises(ConfigError, match=message):
        preset("tiny").with_overrides([assignment])


def test_a_field_is_given_once():
    with pytest.raises(ConfigError, match=r"^optimizer\.l2 is given twice: leave one out"):
        preset("tiny").with_overrides(["optimizer.l2=0.1", "data_seed=4", "optimizer.l2=0.2"])


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(ConfigError, match="unknown preset 'huge': choose from tiny, laptop"):
        preset("huge")


def test_evaluators_need_different_names():
    config = preset("tiny")
    with pytest.raises(ConfigError, match="different names"):
        config.replace(evaluators=config.evaluators + config.evaluators[:1])
