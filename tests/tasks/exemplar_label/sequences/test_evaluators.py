import jaxtyping
import numpy as np
import pytest
import torch

from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.tasks.exemplar_label.features import gaussian_features
from coopetition_interp.tasks.exemplar_label.sequences import (
    EvaluatorConfig,
    PairRole,
    SequenceConfig,
    held_out_evaluators,
    induction_evaluators,
    make_evaluation_sequences,
    save_class_weights,
    standard_evaluators,
)
from coopetition_interp.training import ConfigError

BANK = gaussian_features(20, 4, d_feature=3)
SPLIT = BANK.split(n_train_classes=12, n_train_exemplars=2, shuffle_seed=0)


def made(evaluators, seed=0, n_labels=12):
    return make_evaluation_sequences(BANK, SPLIT, evaluators, seed, n_labels)


def classes_shown(sequences):
    """Class and exemplar of every pair, found by its features."""
    flat = BANK.features.flatten(0, 1)
    same = (sequences.exemplars[:, :, None] == flat).all(-1)
    assert (same.sum(-1) == 1).all()
    return same.int().argmax(-1) // 4, same.int().argmax(-1) % 4


def test_the_standard_evaluators_are_the_published_ones():
    evaluators = {e.name: e for e in standard_evaluators()}
    kinds = {name: e.sequences.kind for name, e in evaluators.items()}
    assert kinds == {
        "train": "bursty",
        "icl": "icl",
        "ciwl": "ciwl_only",
        "flip": "flip",
        "iwl": "iwl_only",
    }
    assert {(e.n_sequences, e.n_classes, e.n_exemplars) for e in evaluators.values()} == {
        (5000, 1600, 5)
    }
    assert {name for name, e in evaluators.items() if e.score == "accuracy"} == {"iwl"}


@pytest.mark.parametrize("n_pairs", [2, 8])
@pytest.mark.parametrize("n_labels_per_class", [1, 2])
def test_labels_are_those_of_training(n_pairs, n_labels_per_class):
    evaluators = standard_evaluators(
        n_pairs, n_sequences=300, n_labels_per_class=n_labels_per_class
    )
    sequences = made(evaluators, n_labels=12 * n_labels_per_class)
    for name in ("train", "ciwl", "iwl"):
        classes, exemplars = classes_shown(sequences[name])
        own = torch.tensor(SPLIT.train_classes)[sequences[name].labels // n_labels_per_class]
        carries_own = sequences[name].roles != PairRole.LABEL_ONLY
        assert torch.equal(own[carries_own], classes[carries_own])
        assert set(exemplars.flatten().tolist()) == {0, 1}
    classes, _ = classes_shown(sequences["flip"])
    own = torch.tensor(SPLIT.train_classes)[sequences["flip"].labels // n_labels_per_class]
    distractor = classes[sequences["flip"].roles == PairRole.DISTRACTOR].view(300, -1)[:, 0]
    assert torch.equal(own[:, -1], distractor)


def test_only_the_first_classes_and_exemplars_are_used():
    (evaluator,) = standard_evaluators(n_sequences=300, n_classes=3, n_exemplars=1)[:1]
    classes, exemplars = classes_shown(made([evaluator])["train"])
    assert set(classes.flatten().tolist()) == set(SPLIT.train_classes[:3].tolist())
    assert set(exemplars.flatten().tolist()) == {0}


def test_held_out_evaluators_show_held_out_classes():
    sequences = made(held_out_evaluators(n_sequences=200))
    assert list(sequences) == ["held_out_icl", "held_out_icl_only"]
    for each in sequences.values():
        classes, _ = classes_shown(each)
        assert set(classes.flatten().tolist()) == set(SPLIT.held_out_classes.tolist())
    assert set(sequences["held_out_icl"].labels.flatten().tolist()) == {0, 1}
    assert set(sequences["held_out_icl_only"].labels.flatten().tolist()) == set(range(12))


def test_induction_evaluators_hold_out_one_thing_each():
    sequences = made(induction_evaluators(n_sequences=400), n_labels=5)
    train_pairs = {frozenset(pair) for pair in sequences["train"].context_labels.tolist()}
    shown = {}
    for name, each in sequences.items():
        classes, exemplars = classes_shown(each)
        pairs = {frozenset(pair) for pair in each.context_labels.tolist()}
        shown[name] = (
            set(classes.flatten().tolist()) == set(SPLIT.held_out_classes.tolist()),
            set(exemplars.flatten().tolist()) == {2, 3},
            not pairs & train_pairs,
        )
    assert shown == {
        "train": (False, False, False),
        "held_out_exemplars": (False, True, False),
        "held_out_classes": (True, False, False),
        "held_out_label_pairs": (False, False, True),
    }


def test_an_evaluator_hangs_on_its_name_and_the_seed_alone():
    evaluators = standard_evaluators(n_sequences=50)
    together, alone = made(evaluators), made(evaluators[3:4])
    assert torch.equal(together["flip"].exemplars, alone["flip"].exemplars)
    assert torch.equal(together["flip"].labels, alone["flip"].labels)
    assert not torch.equal(together["flip"].labels, made(evaluators, seed=1)["flip"].labels)
    renamed = evaluators[3].replace(name="flip again")
    assert not torch.equal(together["flip"].labels, made([renamed])["flip again"].labels)


@pytest.mark.parametrize(
    ("evaluator", "n_labels", "named"),
    [
        (EvaluatorConfig("x", SequenceConfig(), classes="held_out"), 12, "'x'.*held-out"),
        (EvaluatorConfig("x", SequenceConfig()), 11, "'x'.*n_labels = 11"),
        (EvaluatorConfig("x", SequenceConfig(n_classes=13)), 12, "'x'.*n_classes = 13"),
    ],
)
def test_an_impossible_evaluator_is_named(evaluator, n_labels, named):
    with pytest.raises(ValueError, match=named):
        made([evaluator], n_labels=n_labels)


def test_two_evaluators_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two evaluators are called 'train'"):
        made(standard_evaluators(n_sequences=5)[:1] * 2)


def test_missing_held_out_exemplars_are_refused():
    split = BANK.split(n_train_classes=12)
    with pytest.raises(ValueError, match=r"'held_out_exemplars'.*no exemplars"):
        make_evaluation_sequences(BANK, split, induction_evaluators(n_sequences=5), 0, 5)


@pytest.mark.parametrize(
    "options",
    [
        {"classes": "test"},
        {"exemplars": "x"},
        {"score": "loss"},
        {"n_sequences": 0},
        {"name": "nan"},
        {"name": "1"},
        {"name": "a\nb"},
    ],
)
def test_bad_values_are_refused_by_name(options, monkeypatch):
    # What a user without run-time type checks sees.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=next(iter(options))):
        EvaluatorConfig(**{"name": "a", "sequences": SequenceConfig(), **options})


def test_a_range_of_classes_keeps_its_ranks_in_the_law():
    rare = EvaluatorConfig(
        "rare",
        SequenceConfig(zipf_exponent=3.0),
        n_sequences=3000,
        first_class=4,
        n_classes=None,
        n_exemplars=None,
    )
    sequences = made([rare])["rare"]
    classes, _ = classes_shown(sequences)
    assert set(classes.flatten().tolist()) == set(SPLIT.train_classes[3:].tolist())
    counts = np.array([(classes[:, -1] == shown).sum() for shown in SPLIT.train_classes[3:]])
    law = np.arange(4, 13.0) ** -3
    expected = 3000 * law / law.sum()
    assert (abs(counts - expected) < 5 * expected**0.5).all()
    with pytest.raises(ValueError, match=r"'rare'.*no classes"):
        made([rare.replace(first_class=13)])


def test_with_several_labels_iwl_counts_any_of_the_class():
    evaluators = {e.name: e for e in standard_evaluators(n_labels_per_class=3)}
    assert evaluators["iwl"].score == "class_accuracy"


def test_classes_own_as_many_labels_as_in_training():
    two = {"sequences": {"n_labels_per_class": 2}}
    with pytest.raises(ConfigError, match="'train' has 1 labels per class, and training 2"):
        preset("tiny").replace(**two)
    evaluators = standard_evaluators(n_labels_per_class=2)
    with pytest.raises(ConfigError, match="has 2 labels per class, and training 1"):
        preset("tiny").replace(evaluators=evaluators)
    assert preset("tiny").replace(**two, evaluators=evaluators).evaluators == evaluators


def test_the_class_weights_of_evaluators_are_part_of_what_tells_a_run_s_data(tmp_path):
    path = tmp_path / "weights.json"
    save_class_weights([3, 2, 1, 1], path)
    iwl = EvaluatorConfig(
        "iwl",
        SequenceConfig(kind="iwl_only", n_pairs=2, class_weights={"path": str(path)}),
        n_sequences=10,
        n_classes=4,
        score="accuracy",
    )
    config = preset("tiny").replace(evaluators=(iwl,))
    before = config.build().resolved
    save_class_weights([1, 1, 2, 3], path)
    now = config.build().resolved
    assert {name for name in now if now[name] != before[name]} == {"iwl_class_weights_sha256"}
