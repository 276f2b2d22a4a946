import json

import jaxtyping
import pytest

from coopetition_interp.tasks.exemplar_label.sequences import SequenceConfig


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kind": "bursti"}, ["kind", "bursti", "icl_only"]),
        ({"label_pairs": "some"}, ["label_pairs", "held_out"]),
        ({"n_pairs": 0}, ["n_pairs"]),
        ({"p_bursty": 1.5}, ["p_bursty"]),
        ({"p_bursty": float("nan")}, ["p_bursty"]),
        ({"zipf_exponent": -1.0}, ["zipf_exponent"]),
        ({"n_labels_per_class": 0}, ["n_labels_per_class"]),
        ({"input_noise_sd": -0.1}, ["input_noise_sd"]),
        ({"input_noise_sd": float("inf")}, ["input_noise_sd"]),
        ({"n_exemplars": 0}, ["n_exemplars"]),
        ({"kind": "icl_only", "n_sequence_labels": 1}, ["n_sequence_labels"]),
        ({"kind": "icl_only", "label_pair_train_fraction": 1.0}, ["label_pair_train_fraction"]),
        # Contradictions name both sides.
        ({"kind": "ciwl_only", "p_bursty": 0.5}, ["p_bursty", "ciwl_only"]),
        ({"kind": "flip", "p_bursty": 0.5}, ["p_bursty", "flip"]),
        ({"kind": "iwl_only", "burst_size": 1}, ["burst_size", "iwl_only"]),
        ({"burst_size": 2}, ["burst_size", "n_pairs", "2 context pairs"]),
        ({"n_pairs": 1}, ["burst_size", "n_pairs"]),
        ({"kind": "icl_only", "n_pairs": 3}, ["icl_only", "n_pairs", "burst_size"]),
        ({"kind": "icl", "n_pairs": 8, "burst_size": 3}, ["icl", "n_pairs", "burst_size"]),
        ({"kind": "icl", "n_labels_per_class": 2}, ["n_labels_per_class", "icl"]),
        ({"kind": "icl_only", "n_labels_per_class": 2}, ["n_labels_per_class", "icl_only"]),
        ({"kind": "bursty", "n_sequence_labels": 5}, ["n_sequence_labels", "bursty"]),
        ({"kind": "bursty", "label_pairs": "train"}, ["label_pairs", "bursty"]),
        ({"kind": "icl", "label_pairs": "held_out"}, ["label_pairs", "icl"]),
        ({"kind": "iwl_only", "n_pairs": 8, "n_classes": 8}, ["n_classes", "n_pairs", "iwl_only"]),
        ({"n_pairs": 8, "n_classes": 2}, ["n_classes", "n_pairs", "bursty"]),
        ({"kind": "matched", "distinct_exemplars": True}, ["distinct_exemplars", "matched"]),
        ({"class_weights": {"path": "w"}, "zipf_exponent": 1.0}, ["class_weights", "zipf"]),
    ],
)
def test_bad_options_are_refused_by_name(options, named, monkeypatch):
    # What a user without run-time type checks sees.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=named[0]) as error:
        SequenceConfig(**options)
    for name in named:
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("kind", "n_pairs", "n_burst", "n_filler"),
    [
        ("bursty", 2, 1, 0),
        ("bursty", 8, 3, 2),
        ("matched", 8, 3, 2),
        ("icl", 8, 4, 0),
        ("icl_only", 8, 4, 0),
        ("flip", 8, 4, 0),
        ("flip", 3, 1, 1),
        ("ciwl_only", 8, 0, 0),
    ],
)
def test_bursts_have_the_published_sizes_by_default(kind, n_pairs, n_burst, n_filler):
    config = SequenceConfig(kind=kind, n_pairs=n_pairs)
    assert (config.n_burst, config.n_filler) == (n_burst, n_filler)


def test_a_config_survives_json():
    config = SequenceConfig(kind="icl_only", n_sequence_labels=5, label_pairs="train")
    assert SequenceConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
