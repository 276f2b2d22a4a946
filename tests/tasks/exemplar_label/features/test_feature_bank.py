"""Feature banks refuse unusable features, and their splits never leak a group."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from coopetition_interp.tasks.exemplar_label.features import FeatureBank
from coopetition_interp.tasks.exemplar_label.features.feature_bank import (
    check_one_per_class,
)
from coopetition_interp.tasks.exemplar_label.features.feature_check import check_features


def bank_of_groups(groups: list[int], n_exemplars: int = 2) -> FeatureBank:
    features = torch.arange(len(groups) * n_exemplars * 3, dtype=torch.float32)
    return FeatureBank(
        features.reshape(len(groups), n_exemplars, 3), class_group=np.array(groups, dtype=np.int64)
    )


@given(
    groups=st.lists(st.integers(-3, 6), min_size=1, max_size=30),
    fraction=st.floats(0, 1),
    shuffle_seed=st.none() | st.integers(0, 5),
)
def test_split_never_leaks_a_group(groups, fraction, shuffle_seed):
    bank = bank_of_groups(groups)
    n_train = 1 + round(fraction * (len(groups) - 1))
    split = bank.split(n_train, shuffle_seed=shuffle_seed)
    train, held_out = set(split.train_classes), set(split.held_out_classes)
    assert len(split.train_classes) == len(train) == n_train
    assert len(split.held_out_classes) == len(held_out)
    train_groups = {groups[c] for c in train}
    assert train_groups.isdisjoint(groups[c] for c in held_out)
    # Nothing is lost but the rest of one group that training began.
    dropped = set(range(len(groups))) - train - held_out
    assert len({groups[c] for c in dropped}) <= 1
    assert {groups[c] for c in dropped} <= train_groups


def test_split_in_order_follows_first_appearance_of_the_groups():
    bank = bank_of_groups([7, 2, 5, 7, 2, 5])  # like transform-major Omniglot
    split = bank.split(4)
    np.testing.assert_array_equal(split.train_classes, [0, 3, 1, 4])
    np.testing.assert_array_equal(split.held_out_classes, [2, 5])
    cut = bank.split(3)
    np.testing.assert_array_equal(cut.train_classes, [0, 3, 1])
    np.testing.assert_array_equal(cut.held_out_classes, [2, 5])


def test_omniglots_sizes_split_by_character():
    transform, character = np.divmod(np.arange(12984), 1623)
    bank = FeatureBank(torch.zeros(12984, 1, 1), class_group=character)
    for seed in (None, 0):
        split = bank.split(12800, shuffle_seed=seed)
        assert len(split.held_out_classes) == 184
        assert len(set(character[split.train_classes])) == 1600
        assert sorted(transform[split.held_out_classes]) == sorted(list(range(8)) * 23)


def test_shuffle_seed_decides_the_split():
    bank = bank_of_groups(list(range(50)))
    first, again, other = (bank.split(20, shuffle_seed=seed).train_classes for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)
    assert set(first) != set(range(20))


@given(groups=st.lists(st.integers(0, 6), min_size=2, max_size=30), data=st.data())
def test_default_training_classes_leave_room_for_the_held_out_ones(groups, data):
    bank = bank_of_groups(groups)
    line = bank.split().train_classes
    first_group = groups[line[0]]
    most = sum(group != first_group for group in groups)
    n_held_out = data.draw(st.integers(0, most))
    split = bank.split(n_held_out_classes=n_held_out)
    assert len(split.held_out_classes) == n_held_out
    train_groups = {groups[c] for c in split.train_classes}
    assert train_groups.isdisjoint(groups[c] for c in split.held_out_classes)
    # Whole groups only, and as many as fit.
    assert len(split.train_classes) == sum(group in train_groups for group in groups)


def test_exemplars_split_in_order():
    split = bank_of_groups([0, 1], n_exemplars=5).split(n_train_exemplars=2)
    np.testing.assert_array_equal(split.train_exemplars, [0, 1])
    np.testing.assert_array_equal(split.held_out_exemplars, [2, 3, 4])
    assert len(split.held_out_classes) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_train_classes": 5}, "5 training classes were asked for, the bank can give 1 to 4"),
        ({"n_train_classes": 0}, "0 training classes"),
        ({"n_train_exemplars": 3}, "3 training exemplars were asked for, the bank can give 1 to 2"),
        ({"n_train_classes": 2, "n_held_out_classes": 3}, "2 training and 3 held-out .* only 2"),
        ({"n_held_out_classes": 4}, "4 held-out classes"),
        ({"n_held_out_classes": -1}, "-1 held-out"),
    ],
)
def test_asking_for_more_than_there_is_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bank_of_groups([0, 0, 1, 1]).split(**options)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(3, 4), r"n_classes, n_exemplars, d_feature.*\(3, 4\)"),
        (torch.zeros(0, 4, 5), "empty"),
        (torch.zeros(3, 4, 5, dtype=torch.int64), "floating point"),
    ],
)
def test_features_that_are_no_bank_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        check_features(features)
    # Under the run-time type checker of the tests, the annotation may refuse it first.
    with pytest.raises((ValueError, TypeCheckError)):
        FeatureBank(features)


@given(
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    place=st.integers(0, 6 * 5 * 7 - 1),
    bad=st.sampled_from([float("nan"), float("inf"), float("-inf")]),
)
def test_nan_and_infinity_are_refused_wherever_they_are(dtype, place, bad):
    features = torch.ones(6, 5, 7, dtype=dtype)
    features.view(-1)[place] = bad
    with pytest.raises(ValueError, match=rf"NaN or infinity \(class {place // 35} first\)"):
        FeatureBank(features)


@pytest.mark.parametrize("name", ["class_names", "class_group", "class_transform"])
def test_columns_of_another_length_are_refused(name):
    column = ("a",) if name == "class_names" else np.zeros(1, dtype=np.int64)
    with pytest.raises(ValueError, match=f"{name} has 1 entries, the features have 2 classes"):
        check_one_per_class(2, **{name: column})
    with pytest.raises((ValueError, TypeCheckError)):
        FeatureBank(torch.zeros(2, 1, 1), **{name: column})


def test_features_keep_their_dtype():
    assert FeatureBank(torch.zeros(2, 1, 1, dtype=torch.float16)).features.dtype == torch.float16


def test_unrotated_keeps_transform_zero_with_names_and_groups():
    bank = FeatureBank(
        torch.randn(4, 2, 3),
        class_names=("a flip", "b flip", "a", "b"),
        class_group=np.array([9, 4, 9, 4]),
        class_transform=np.array([1, 1, 0, 0]),
        provenance={"kind": "made up"},
    )
    upright = bank.unrotated()
    torch.testing.assert_close(upright.features, bank.features[2:], rtol=0, atol=0)
    assert upright.class_names == ("a", "b")
    np.testing.assert_array_equal(upright.class_group, [9, 4])
    assert upright.provenance == {"kind": "made up", "subset": "unrotated"}


def test_unrotated_needs_known_transforms():
    with pytest.raises(ValueError, match="which transform"):
        bank_of_groups([0, 1]).unrotated()


@pytest.mark.parametrize("classes", [[], [2], [-1]])
def test_subset_of_classes_that_are_not_there_is_refused(classes):
    with pytest.raises(ValueError, match="between 0 and 1"):
        bank_of_groups([0, 1]).subset(classes, "some")


def test_digest_tells_features_and_groups_apart():
    bank = bank_of_groups([0, 1])
    assert bank.digest() == bank_of_groups([0, 1]).digest()
    assert bank.digest() != bank_of_groups([0, 0]).digest()
    other = FeatureBank(bank.features + 1, class_group=bank.class_group)
    assert bank.digest() != other.digest()


def test_features_too_large_for_float32_training_are_refused():
    with pytest.raises(ValueError, match=r"features reach 3e\+30 .* at most 1,000,000"):
        FeatureBank(torch.full((2, 1, 3), 3e30))


def test_groups_become_classes_of_all_their_exemplars():
    features = torch.arange(4 * 3.0).view(4, 3, 1)
    bank = FeatureBank(features, class_group=np.array([1, 0, 1, 0])).groups_as_classes()
    assert bank.features[..., 0].tolist() == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]
    assert bank.class_names == ("class 0", "class 1")
    uneven = FeatureBank(features, class_group=np.array([1, 0, 1, 1]))
    with pytest.raises(ValueError, match="groups of 1 to 3 classes"):
        uneven.groups_as_classes()
