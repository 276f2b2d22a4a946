"""Sequences are what their kind says, and a batch hangs on the seed and the step alone."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition_interp.tasks.exemplar_label.features import FeatureBank, gaussian_features
from coopetition_interp.tasks.exemplar_label.sequences import (
    PairRole,
    SequenceConfig,
    SequenceSampler,
    labels_of_training_classes,
    save_class_weights,
    word_counts,
)

N_CLASSES, N_EXEMPLARS = 14, 3


def readable_bank(dtype=torch.float32):
    """A bank whose exemplars say which class and exemplar they are."""
    features = torch.cartesian_prod(torch.arange(N_CLASSES), torch.arange(N_EXEMPLARS))
    return FeatureBank(features.view(N_CLASSES, N_EXEMPLARS, 2).to(dtype))


def sampler(config, batch_size=16, seed=0, bank=None, n_labels=None):
    bank = bank or readable_bank()
    classes, exemplars = np.arange(bank.n_classes), np.arange(bank.n_exemplars)
    return SequenceSampler(bank, config, classes, exemplars, batch_size, seed, n_labels)


@st.composite
def configs(draw):
    kind = draw(
        st.sampled_from(["bursty", "matched", "icl_only", "ciwl_only", "iwl_only", "icl", "flip"])
    )
    n_pairs = draw(st.sampled_from([2, 4, 8]))
    options = {"kind": kind, "n_pairs": n_pairs}
    if kind in ("bursty", "matched"):
        options["p_bursty"] = draw(st.sampled_from([1.0, 1.0, 0.5, 0.0]))
    if kind in ("bursty", "matched", "flip"):
        options["burst_size"] = draw(st.none() | st.integers(1, n_pairs // 2))
    if kind in ("bursty", "matched", "flip", "ciwl_only", "iwl_only"):
        options["n_labels_per_class"] = draw(st.integers(1, 3))
    if kind == "icl_only":
        options["n_sequence_labels"] = draw(st.none() | st.integers(4, 20))
        options["label_pairs"] = draw(st.sampled_from(["all", "train", "held_out"]))
    options["zipf_exponent"] = draw(st.sampled_from([0.0, 1.0]))
    options["n_classes"] = draw(st.none() | st.integers(9, N_CLASSES))
    options["n_exemplars"] = draw(st.none() | st.integers(1, N_EXEMPLARS))
    return SequenceConfig(**options)


def rows(config, seed):
    """Each sequence as (classes, exemplars, labels, roles), the query last."""
    batch = sampler(config, seed=seed).batch(3)
    classes, exemplars = batch.exemplars.long().unbind(-1)
    columns = [classes, exemplars, batch.labels, batch.roles]
    return [tuple(column[row].tolist() for column in columns) for row in range(len(batch))]


@settings(max_examples=120)
@given(configs(), st.integers(0, 2**70))
def test_every_sequence_is_of_its_kind(config, seed):
    n_labels = sampler(config).n_labels
    for classes, exemplars, labels, roles in rows(config, seed):
        assert all(0 <= label < n_labels for label in labels)
        assert max(classes) < (config.n_classes or N_CLASSES)
        assert max(exemplars) < (config.n_exemplars or N_EXEMPLARS)
        assert roles[-1] == PairRole.QUERY
        assert PairRole.QUERY not in roles[:-1]
        for a, label_a in zip(classes[:-1], labels[:-1], strict=True):
            for b, label_b in zip(classes[:-1], labels[:-1], strict=True):
                assert a != b or label_a == label_b  # one label per class within a sequence
        matches = [i for i, c in enumerate(classes[:-1]) if c == classes[-1]]
        assert [i for i, role in enumerate(roles) if role == PairRole.MATCH] == matches

        if config.kind in ("ciwl_only", "iwl_only"):
            assert len(set(classes)) == config.n_pairs + 1
        elif config.p_bursty == 1:
            check_burst(config, classes, exemplars, roles)
        if config.uses_own_labels and config.kind != "flip":
            check_own_labels(config, classes, labels, roles)
        {
            "icl": check_two_labels,
            "icl_only": check_two_labels,
            "flip": check_flip,
            "ciwl_only": check_ciwl,
            "iwl_only": check_iwl,
        }.get(config.kind, lambda *_: None)(config, classes, labels, roles)


def check_burst(config, classes, exemplars, roles):
    count = Counter(roles)
    assert count[PairRole.MATCH] == count[PairRole.DISTRACTOR] == config.n_burst
    assert count[PairRole.FILLER] == config.n_filler
    distractor = {c for c, role in zip(classes, roles, strict=True) if role == PairRole.DISTRACTOR}
    filler = {c for c, role in zip(classes, roles, strict=True) if role == PairRole.FILLER}
    assert len(distractor) == 1
    assert not distractor & {classes[-1]}
    assert not filler & (distractor | {classes[-1]})
    if config.kind == "matched":
        of_match = [e for e, r in zip(exemplars, roles, strict=True) if r == PairRole.MATCH]
        assert of_match == [exemplars[-1]] * config.n_burst


def check_own_labels(config, classes, labels, roles):
    for label, class_, role in zip(labels, classes, roles, strict=True):
        owned_by = classes[-1] if role == PairRole.LABEL_ONLY else class_
        assert label // config.n_labels_per_class == owned_by
        if class_ == classes[-1]:
            assert label == labels[-1]


def check_two_labels(config, classes, labels, roles):
    assert len(set(labels[:-1])) == 2
    if config.kind == "icl":
        assert set(labels) == {0, 1}
    assert labels[-1] == labels[roles.index(PairRole.MATCH)]


def check_flip(config, classes, labels, roles):
    distractor = classes[roles.index(PairRole.DISTRACTOR)]
    carried = {PairRole.MATCH: distractor, PairRole.QUERY: distractor}
    carried[PairRole.DISTRACTOR] = classes[-1]
    for label, class_, role in zip(labels, classes, roles, strict=True):
        assert label // config.n_labels_per_class == carried.get(role, class_)
    assert labels[-1] == labels[roles.index(PairRole.MATCH)]


def check_ciwl(config, classes, labels, roles):
    right = [i for i, label in enumerate(labels[:-1]) if label == labels[-1]]
    assert len(right) == 1
    assert roles[right[0]] == PairRole.LABEL_ONLY
    assert Counter(roles)[PairRole.FILLER] == config.n_pairs - 1


def check_iwl(config, classes, labels, roles):
    assert labels[-1] not in labels[:-1]
    assert set(roles[:-1]) == {PairRole.FILLER}


def test_non_bursty_sequences_are_independent_draws():
    config = SequenceConfig(n_pairs=4, p_bursty=0.0)
    classes = torch.cat([sampler(config, 64).batch(step).exemplars[..., 0] for step in range(40)])
    coincide = (classes[:, :-1] == classes[:, -1:]).float().mean().item()
    assert coincide == pytest.approx(1 / N_CLASSES, abs=0.01)


def test_p_bursty_is_the_share_of_bursty_sequences():
    config = SequenceConfig(n_pairs=8, p_bursty=0.7)
    roles = torch.cat([sampler(config, 64).batch(step).roles for step in range(40)])
    bursty = (roles == PairRole.DISTRACTOR).any(1).float().mean().item()
    assert bursty == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(
    ("kind", "role"),
    [("bursty", PairRole.MATCH), ("flip", PairRole.MATCH), ("ciwl_only", PairRole.LABEL_ONLY)],
)
@pytest.mark.parametrize("zipf_exponent", [0.0, 1.0])
def test_the_right_answer_is_equally_often_at_every_place(kind, role, zipf_exponent):
    config = SequenceConfig(kind=kind, n_pairs=4, zipf_exponent=zipf_exponent, n_classes=6)
    roles = sampler(config, 8000).batch(0).roles
    counts = (roles[:, :-1] == role).sum(0).double()
    expected = counts.sum() / 4
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 degrees, p = 0.001


@pytest.mark.parametrize("kind", ["ciwl_only", "iwl_only"])
def test_a_frequent_class_is_equally_often_at_every_place(kind):
    config = SequenceConfig(kind=kind, n_pairs=4, zipf_exponent=1.0)
    classes = sampler(config, 8000).batch(0).exemplars[:, :-1, 0]
    counts = (classes == 0).sum(0).double()
    expected = counts.sum() / 4
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 degrees, p = 0.001


@pytest.mark.parametrize("zipf_exponent", [0.0, 1.0])
def test_query_classes_follow_the_zipf_law(zipf_exponent):
    config = SequenceConfig(zipf_exponent=zipf_exponent)
    query = sampler(config, 20_000).batch(0).exemplars[:, -1, 0].long()
    counts = torch.bincount(query, minlength=N_CLASSES).double()
    law = torch.arange(1, N_CLASSES + 1).double() ** -zipf_exponent
    expected = law / law.sum() * counts.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 34.5  # 13 degrees, p = 0.001


def test_exemplars_of_query_and_context_are_independent():
    batch = sampler(SequenceConfig(), 9000).batch(0)
    is_match = batch.roles[:, :-1] == PairRole.MATCH
    context = batch.exemplars[:, :-1, 1][is_match]
    same = (context == batch.exemplars[:, -1, 1]).float().mean().item()
    assert same == pytest.approx(1 / N_EXEMPLARS, abs=0.02)


def test_every_label_of_a_class_is_used():
    config = SequenceConfig(n_labels_per_class=3, n_classes=4)
    labels = sampler(config, 3000).batch(0).right_labels
    counts = torch.bincount(labels, minlength=12).double()
    assert ((counts - 250) ** 2 / 250).sum() < 31.3  # chi-square, 11 degrees, p = 0.001


def test_held_out_label_pairs_never_occur_in_training():
    seen = {}
    for part in ("train", "held_out", "all"):
        config = SequenceConfig(kind="icl_only", n_sequence_labels=5, label_pairs=part)
        context = sampler(config, 2000).batch(0).context_labels
        seen[part] = {frozenset(pair) for pair in context.tolist()}
        orders = {tuple(pair) for pair in context.tolist()}
        assert orders == {(b, a) for a, b in orders}
    assert (len(seen["train"]), len(seen["held_out"])) == (8, 2)
    assert not seen["train"] & seen["held_out"]
    assert seen["train"] | seen["held_out"] == seen["all"]
    assert frozenset().union(*seen["train"]) == set(range(5))


def equal(one, other):
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("exemplars", "labels", "roles")
    )


@settings(max_examples=25)
@given(configs(), st.lists(st.integers(0, 600), min_size=1, max_size=6), st.integers(0, 99))
def test_batches_do_not_depend_on_the_order_they_are_asked_for(config, steps, seed):
    asked = sampler(config, 32, seed)
    for step in steps:
        assert equal(asked.batch(step), sampler(config, 32, seed).batch(step))


def test_noise_too_depends_on_seed_and_step_alone():
    config = SequenceConfig(input_noise_sd=0.5)
    in_order = sampler(config)
    batches = [in_order.batch(step) for step in range(4)]
    assert equal(sampler(config).batch(3), batches[3])
    assert not equal(sampler(config, seed=1).batch(3), batches[3])


def test_steps_and_seeds_give_different_batches():
    config = SequenceConfig()
    batches = [sampler(config, seed=seed).batch(step) for seed in (0, 1) for step in (0, 1, 256)]
    assert all(not equal(a, b) for i, a in enumerate(batches) for b in batches[:i])


def test_noise_has_its_standard_deviation_and_is_drawn_anew():
    config = SequenceConfig(input_noise_sd=0.25)
    noisy, clean = sampler(config, 2000), sampler(SequenceConfig(), 2000)
    noise = [noisy.batch(step).exemplars - clean.batch(step).exemplars for step in (0, 1)]
    assert noise[0].std().item() == pytest.approx(0.25, rel=0.03)
    assert noise[0].mean().item() == pytest.approx(0, abs=0.01)
    assert (noise[0] * noise[1]).mean().item() == pytest.approx(0, abs=0.003)


def test_a_matched_context_shows_the_query_with_the_same_noise():
    config = SequenceConfig(kind="matched", n_pairs=8, input_noise_sd=1.0)
    batch = sampler(config, 50, bank=gaussian_features(9, 4, d_feature=6)).batch(0)
    is_match = batch.roles == PairRole.MATCH
    query = batch.exemplars[:, -1:].expand_as(batch.exemplars)
    assert torch.equal(batch.exemplars[is_match], query[is_match])
    others = ~is_match & (batch.roles != PairRole.QUERY)
    assert (batch.exemplars[others] != query[others]).any(-1).all()


def test_types_are_those_the_model_takes_whatever_the_bank():
    batch = sampler(SequenceConfig(), bank=readable_bank(torch.float16)).batch(0)
    assert batch.exemplars.dtype == torch.float32
    assert batch.labels.dtype == batch.roles.dtype == torch.int64


def test_chosen_classes_and_exemplars_alone_are_drawn_in_their_order():
    classes, exemplars = np.array([11, 2, 7, 5]), np.array([2, 0])
    config = SequenceConfig(n_classes=3)
    batch = SequenceSampler(readable_bank(), config, classes, exemplars, 500, 0).batch(0)
    assert set(batch.exemplars[..., 0].flatten().tolist()) == {11, 2, 7}
    assert set(batch.exemplars[..., 1].flatten().tolist()) == {2, 0}
    rank = torch.tensor([11, 2, 7])[batch.labels]
    assert torch.equal(rank, batch.exemplars[..., 0].long())


def test_other_classes_can_carry_the_training_labels():
    train = np.array([4, 9, 1, 6])
    labels = labels_of_training_classes(N_CLASSES, train)
    assert labels.tolist() == [-1, 2, -1, -1, 0, -1, 3, -1, -1, 1, -1, -1, -1, -1]
    batch = SequenceSampler(
        readable_bank(), SequenceConfig(), train[1:], np.arange(1), 200, 0, 4, labels
    ).batch(0)
    assert torch.equal(torch.tensor(train)[batch.labels], batch.exemplars[..., 0].long())


@pytest.mark.parametrize(
    ("options", "n_labels"),
    [
        ({}, 14),
        ({"n_labels_per_class": 2, "n_classes": 5}, 10),
        ({"kind": "icl_only", "n_sequence_labels": 5}, 5),
        ({"kind": "icl_only"}, 14),
        ({"kind": "icl"}, 2),
    ],
)
def test_n_labels_is_what_the_model_must_know(options, n_labels):
    assert sampler(SequenceConfig(**options)).n_labels == n_labels


def test_fresh_labels_are_drawn_from_all_the_model_has():
    labels = sampler(SequenceConfig(kind="icl_only"), 2000, n_labels=40).batch(0).labels
    assert set(labels.flatten().tolist()) == set(range(40))


def build(**changes):
    arguments = {
        "bank": readable_bank(),
        "config": SequenceConfig(),
        "classes": np.arange(10),
        "exemplars": np.arange(3),
        "batch_size": 4,
        "seed": 0,
    }
    return SequenceSampler(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"config": SequenceConfig(n_classes=11)}, "n_classes = 11"),
        ({"config": SequenceConfig(n_exemplars=4)}, "n_exemplars = 4"),
        ({"config": SequenceConfig(n_pairs=8), "classes": np.arange(2)}, "3 distinct classes"),
        ({"config": SequenceConfig(kind="ciwl_only"), "classes": np.arange(2)}, "ciwl_only"),
        ({"classes": np.arange(0)}, "no classes"),
        ({"exemplars": np.arange(0)}, "no exemplars"),
        ({"classes": np.array([0, 14])}, "between 0 and 13"),
        ({"exemplars": np.array([-1, 0])}, "between 0 and 2"),
        ({"n_labels": 9}, "n_labels = 9"),
        ({"config": SequenceConfig(kind="icl"), "n_labels": 1}, "n_labels = 1"),
        ({"config": SequenceConfig(kind="icl_only"), "n_labels": 1}, "two distinct labels"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"label_of_class": np.full(N_CLASSES, -1)}, "held-out"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_drawing(changes, named):
    with pytest.raises(ValueError, match=named):
        build(**changes)


def test_a_negative_step_is_refused():
    with pytest.raises(ValueError, match="counted from 0"):
        build().batch(-1)


@settings(max_examples=60)
@given(
    st.sampled_from(["bursty", "icl_only", "icl", "flip", "iwl_only"]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1.0, 0.0]),
    st.integers(0, 2**40),
)
def test_distinct_exemplars_come_back_only_when_all_were_shown(kind, n_exemplars, p_bursty, seed):
    bursty = {"p_bursty": p_bursty, "zipf_exponent": 2.0} if kind == "bursty" else {}
    config = SequenceConfig(
        kind=kind, n_pairs=8, distinct_exemplars=True, n_exemplars=n_exemplars, **bursty
    )
    for classes, exemplars, _, _ in rows(config, seed):
        for shown in set(classes):
            drawn = [e for c, e in zip(classes, exemplars, strict=True) if c == shown]
            for start in range(0, len(drawn), n_exemplars):
                once = drawn[start : start + n_exemplars]
                assert len(set(once)) == len(once)


def test_distinct_exemplars_are_drawn_evenly():
    config = SequenceConfig(n_pairs=8, distinct_exemplars=True)
    batch = sampler(config, batch_size=3000).batch(0)
    matches = batch.roles == PairRole.MATCH
    query = batch.exemplars[:, -1, 1].long()
    first = batch.exemplars[torch.arange(3000), matches.int().argmax(1), 1].long()
    counts = torch.zeros(N_EXEMPLARS, N_EXEMPLARS).index_put(
        (query, first), torch.ones(3000), accumulate=True
    )
    # Of 3 places of a match and its query, 3 exemplars: never the query's own unless a round is
    # full, which the fourth showing of the class begins anew.
    evenly = counts.sum() / N_EXEMPLARS**2
    assert ((counts - evenly).abs() < 5 * evenly.sqrt()).all()


def test_classes_follow_the_weights_of_a_file(tmp_path):
    counts = word_counts("the cat and the dog and the bird: it isn't, isn't it? THE end")
    assert counts == [4, 2, 2, 2, 1, 1, 1, 1]
    path = tmp_path / "weights.json"
    save_class_weights(counts, path)
    config = SequenceConfig(class_weights={"path": str(path)}, n_classes=8)
    batch = sampler(config, batch_size=4000).batch(0)
    seen = batch.exemplars[:, -1, 0].long().bincount(minlength=8).double()
    expected = 4000 * torch.tensor(counts).double() / sum(counts)
    assert ((seen - expected).abs() < 5 * expected.sqrt()).all()
    with pytest.raises(ValueError, match=r"up to rank 8, but classes are drawn up to rank 14"):
        sampler(config.replace(n_classes=None))
    for damaged in ("[1, 0]", "[1, NaN]", "{}", "[[1]]", "[", "[]", '["a"]'):
        path.write_text(damaged)
        with pytest.raises(ValueError, match="class_weights"):
            sampler(config)
