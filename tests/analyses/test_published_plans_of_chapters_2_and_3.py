"""The published plans of chapters 2 and 3 say what the thesis and its code do, and can be begun."""

from pathlib import Path

import pytest

from analyses.data_properties import runs as data_properties
from analyses.transience_at_scale import runs as transience_at_scale
from coopetition_interp.tasks.exemplar_label.features import (
    FeatureFile,
    OmniglotImages,
    gaussian_features,
    save_feature_file,
)
from coopetition_interp.tasks.exemplar_label.sequences import evaluators

WIDEST_EMBEDDING = 8_192


@pytest.fixture(scope="module")
def published():
    """Configs of both plans by role, as if the files of token clusters were there."""
    with pytest.MonkeyPatch.context() as patched:
        there = Path.is_file
        patched.setattr(Path, "is_file", lambda path: "token-clusters" in str(path) or there(path))
        plans = [study.plan("published") for study in (data_properties, transience_at_scale)]
    found = {}
    for planned in (run for plan in plans for run in plan if not run.needs):
        found.setdefault(planned.about["role"], []).append((dict(planned.about), planned.config))
    return found


def test_the_evaluators_sequences_fit_into_memory(published):
    for of_role in published.values():
        for _, config in of_role:
            images = isinstance(config.features, OmniglotImages)
            n_values = config.features.image_size**2 if images else WIDEST_EMBEDDING
            evaluators._check_size(config.evaluators, n_values)


def test_exemplars_are_drawn_without_replacement_but_of_tokens(published):
    for role, of_role in published.items():
        for _, config in of_role:
            kinds = [config.sequences, *(each.sequences for each in config.evaluators)]
            shows_a_class_twice = [each for each in kinds if each.kind != "iwl_only"]
            distinct = {each.distinct_exemplars for each in shows_a_class_twice}
            assert distinct <= {role != "tokens"}, role


def test_token_runs_have_the_published_setting(published):
    sets = {}
    for about, config in published["tokens"]:
        assert config.model.exemplar_embedding == "linear"
        assert (config.optimizer.schedule, config.optimizer.learning_rate) == ("constant", 3e-4)
        assert config.n_sequences == 64_000_000
        assert config.classes.n_train == about["n_classes"]
        assert {each.classes for each in config.evaluators} == {"train"}
        size = (about["n_classes"], about["n_exemplars"])
        sets.setdefault(size, set()).add((about["model"], about["clustering"]))
    assert {size: len(found) for size, found in sets.items()} == {(3_200, 5): 8, (1_600, 10): 8}


def test_a_token_run_of_square_width_can_be_begun(tmp_path, monkeypatch):
    where = tmp_path / "llama-7b-3200x5-seed-4.safetensors"
    save_feature_file(gaussian_features(3_200, 5, d_feature=16, seed=0), where)
    pattern = str(tmp_path / "{model}-{n_classes}x{n_exemplars}-seed-{seed}.safetensors")
    monkeypatch.setattr(transience_at_scale, "TOKENS_OF_MODEL", pattern)
    plan = transience_at_scale.plan("published")
    planned = next(run for run in plan if run.about["role"] == "tokens")
    assert planned.config.features == FeatureFile(str(where))
    task = planned.config.build()
    assert len(task.split.train_classes) == 3_200
    assert set(task.evaluation_sequences) == {"train", "icl", "ciwl", "flip", "iwl"}


@pytest.mark.parametrize(("n_layers", "n_parameters"), [(12, 831_479), (2, 331_639)])
def test_the_model_has_as_many_parameters_as_the_thesis_says(published, n_layers, n_parameters):
    (_, config), *_ = published["burstiness"]
    model = config.model.replace(n_layers=n_layers).build(105**2, 1_623, 8)
    assert sum(p.numel() for p in model.trainable_parameters().values()) == n_parameters


def test_width_is_swept_as_long_as_the_default_and_heads_grow_with_it(published):
    (_, default), *_ = published["default"]
    assert {about["data"] for about, _ in published["width"]} == {"bursty", "icl_only", "iwl_only"}
    for about, config in published["width"]:
        assert config.n_sequences == default.n_sequences == 1_600_000_000
        assert config.model.d_head * config.model.n_heads == about["d_model"]


def test_enough_seeds_for_a_verdict_or_exactly_one(published):
    for role, of_role in published.items():
        seeds = {about["init_seed"] for about, _ in of_role}
        assert len(seeds) >= 3 or role == "architecture", role
