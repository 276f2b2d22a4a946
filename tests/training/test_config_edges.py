"""What a config may not hold shows at once; what it may trains."""

import json
import math
import pickle
import random
from pathlib import Path

import pytest
from drills.configs import SMALL, drill, edge_overrides, read, trained

from coopetition_interp.tasks.exemplar_label import PRESETS, preset
from coopetition_interp.training import ConfigError, RunConfig

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
LARGE = "9" * 10_000


@pytest.mark.parametrize("name", PRESETS)
def test_a_field_at_an_edge_is_refused_in_one_line_or_taken_as_it_is(name):
    edges = list(edge_overrides(name))
    for assignment in random.Random(0).sample(edges, 400):
        outcome, config = read(lambda: preset(name).with_overrides([assignment]))  # noqa: B023
        assert outcome in ("accepted", "refused"), assignment
        if config is None:
            continue
        field, _, text = assignment.partition("=")
        given, kept = json.loads(text), config.to_dict(whole=True)
        for key in field.split("."):
            kept = kept[key]
        assert kept == given
        assert not isinstance(kept, float) or math.isfinite(kept)
        assert RunConfig.from_dict(config.to_dict()) == config


def test_mutated_configs_are_refused_or_train():
    read_as, ran_as, surprises = drill(seed=1, n_mutants=300, n_runs=4)
    assert surprises == []
    assert read_as["refused"] > 100
    assert read_as["accepted"] > 20
    assert ran_as["trained"] > 0


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["optimizer.eps=-1"], "optimizer.eps must be a number from 1e-20 to 1; got -1"),
        (["optimizer.eps=0"], "optimizer.eps must be a number from 1e-20 to 1; got 0"),
        (["optimizer.eps=Infinity"], "optimizer.eps must be .* got inf"),
        (["optimizer.learning_rate=1e6"], "learning_rate must be a number from 1e-12 to 10"),
        (["optimizer.learning_rate=Infinity"], "learning_rate must be .* got inf"),
        (["optimizer.warmup_steps=1e30"], r"warmup_steps must be an integer from 0 to 1e\+09"),
        (["optimizer.warmup_steps=1001"], "is more than the run's 1000 steps"),
        (["optimizer.l2=1", "optimizer.l2_on=[]"], "optimizer: .* penalises nothing"),
        (["optimizer.l2=1", 'optimizer.l2_on=["mlp"]'], "model.mlps is false"),
        (["optimizer.l2=NaN"], "optimizer.l2 must be a number from 0 to 1,000; got nan"),
        (["n_sequences=1e13"], r"n_sequences must be an integer from 1 to 1e\+12; got 10000000"),
        ([f"n_sequences={LARGE}"], "n_sequences must be an integer from 1 to"),
        (["model.d_model=1e30"], "model.d_model must be an integer from 1 to 100,000; got 1e"),
        (["sequences.n_pairs=1000", "batch_size=32000"], "lower batch_size, sequences.n_pairs"),
        (["evaluators=[]"], "evaluators is empty"),
        (
            ['evaluators=[{"name": "more", "sequences": {"n_pairs": 4}}]'],
            "'more' has sequences of 4 pairs, but the model's context holds the 2",
        ),
        (["features.within_class_sd=1e200"], "within_class_sd must be a number from 0 to 1,000"),
        (["features.n_classes=1e9"], r"more than the 2.15e\+09 allowed"),
    ],
)
def test_what_once_trained_without_a_word_is_refused(assignments, message):
    with pytest.raises(ConfigError, match=message):
        preset("tiny").with_overrides(assignments)


@pytest.mark.parametrize(
    "assignments",
    [
        ["model.d_model=1e5", "model.d_head=1e4"],
        [
            'evaluators=[{"name": "many", "sequences": {"n_pairs": 2}, "n_sequences": 1e7}]',
            "features.d_feature=1000",
        ],
        ["classes.n_train=1000"],
    ],
)
def test_what_does_not_fit_the_features_is_refused_before_anything_is_written(assignments):
    config = preset("tiny").with_overrides([*SMALL, *assignments])
    assert trained(config) == "refused before anything was written"


def test_evaluators_of_fewer_pairs_than_training_are_legal():
    evaluator = '[{"name": "fewer", "sequences": {"n_pairs": 2}, "n_sequences": 50}]'
    overrides = [*SMALL, "sequences.n_pairs=4", f"evaluators={evaluator}"]
    assert trained(preset("tiny").with_overrides(overrides)) == "trained"


def test_replace_is_validated_as_overrides_are():
    config = preset("tiny")
    assert config.replace(model={"n_layers": 1.0}).model.n_layers == 1
    with pytest.raises(ConfigError, match=r"unknown field model\.layers: choose from kind"):
        config.replace(model={"layers": 1})
    with pytest.raises(ConfigError, match=r"model.n_layers must be an integer from 1 to 100"):
        config.replace(model={"n_layers": 0})
    with pytest.raises(ConfigError, match="unknown field models"):
        config.replace(models={})


def test_a_field_that_was_added_later_is_saved_only_when_it_is_set():
    plain = preset("tiny")
    assert "kind" not in plain.to_dict()["model"]
    assert plain.to_dict(whole=True)["model"]["kind"] == "transformer"
    changed = plain.with_overrides(["model.kind=lstm", "sequences.distinct_exemplars=true"])
    assert changed.to_dict()["model"]["kind"] == "lstm"
    assert changed.to_dict()["sequences"]["distinct_exemplars"] is True
    for config in (plain, changed):
        assert RunConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_can_be_pickled(name):
    assert pickle.loads(pickle.dumps(preset(name))) == preset(name)


@pytest.mark.parametrize("path", sorted(CHECKPOINTS.rglob("config.json")), ids=str)
def test_a_saved_config_is_read_and_written_back_as_it_was(path):
    saved = json.loads(path.read_text())
    config = RunConfig.from_dict(saved)
    assert config.to_dict() == {"task": "exemplar_label", **saved}  # older ones say no task
