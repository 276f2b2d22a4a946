"""The feature bank: every exemplar's fixed feature vector, class by class, and how classes split.

Everything above (sequences, models, training) sees exemplars through a `FeatureBank` only, so a
bank made of Gaussian clusters, of Omniglot drawings or of one-hot vectors are interchangeable.
"""

import hashlib
from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from coopetition_interp.tasks.exemplar_label.features.feature_check import check_features


@dataclass(frozen=True, eq=False)
class FeatureSplit:
    """Which classes and exemplars of a bank are trained on, and which are kept for testing.

    All four are indices into the bank. A class's place in `train_classes` is its rank: "the
    first 1600 classes" of an evaluator, or the ranks of a Zipf distribution, follow this order.

    Attributes:
        train_classes: Classes to train on.
        held_out_classes: Classes of groups that no training class belongs to.
        train_exemplars: Exemplars, of any class, to train on.
        held_out_exemplars: The other exemplars.
    """

    train_classes: Int64[np.ndarray, " n_train_classes"]
    held_out_classes: Int64[np.ndarray, " n_held_out_classes"]
    train_exemplars: Int64[np.ndarray, " n_train_exemplars"]
    held_out_exemplars: Int64[np.ndarray, " n_held_out_exemplars"]


@dataclass(frozen=True, eq=False)
class FeatureBank:
    """Feature vectors of `n_exemplars` exemplars of each of `n_classes` classes.

    Attributes:
        features: One vector per exemplar. The dtype of the source is kept (a float16 file stays
            float16 in memory); cast what is gathered, not the bank.
        class_names: One name per class; default "class 0", "class 1", ...
        class_group: Classes with the same number belong together and never fall on both sides of
            a split: the eight transforms of one Omniglot character, say. Default: each alone.
        provenance: What the features are and how they were made, in JSON's types.
        class_transform: For image banks, which transform (0..7, see `omniglot.TRANSFORM_NAMES`)
            made each class; 0 is unrotated. None where it makes no sense.

    Raises:
        ValueError: Wrong rank, no entries, not floating point, NaN or infinite features, or names,
            groups or transforms of another length than the features.
    """

    features: Float[Tensor, "n_classes n_exemplars d_feature"]
    class_names: tuple[str, ...] = ()
    class_group: Int64[np.ndarray, " n_classes"] = None  # type: ignore[assignment]
    provenance: dict[str, Any] = field(default_factory=dict)
    class_transform: Int64[np.ndarray, " n_classes"] | None = None

    def __post_init__(self) -> None:
        check_features(self.features)
        if not self.class_names:
            names = tuple(f"class {index}" for index in range(self.n_classes))
            object.__setattr__(self, "class_names", names)
        if self.class_group is None:
            object.__setattr__(self, "class_group", np.arange(self.n_classes, dtype=np.int64))
        check_one_per_class(
            self.n_classes,
            class_names=self.class_names,
            class_group=self.class_group,
            class_transform=self.class_transform,
        )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.features.shape[0]

    @property
    def n_exemplars(self) -> int:
        """Number of exemplars of each class."""
        return self.features.shape[1]

    @property
    def d_feature(self) -> int:
        """Length of one feature vector."""
        return self.features.shape[2]

    def __repr__(self) -> str:
        return (
            f"FeatureBank({self.n_classes} classes x {self.n_exemplars} exemplars x "
            f"{self.d_feature} features, {self.features.dtype}, {self.provenance})"
        )

    def split(
        self,
        n_train_classes: int | None = None,
        n_train_exemplars: int | None = None,
        n_held_out_classes: int | None = None,
        shuffle_seed: int | None = None,
    ) -> FeatureSplit:
        """Splits the classes by whole groups, and the exemplars.

        Groups are laid out one after the other (by first appearance in the bank, or shuffled),
        each group's classes together in the bank's order. Training classes are the first
        `n_train_classes` of that line; held-out classes are those of the groups after it. If the
        training classes end inside a group, the rest of that group is in neither part.

        Args:
            n_train_classes: Training classes; None takes every group that
                `n_held_out_classes` leaves.
            n_train_exemplars: Training exemplars, the first of each class; None takes all.
            n_held_out_classes: Held-out classes to keep; None keeps all that remain.
            shuffle_seed: Seed that shuffles the groups; None leaves them in order.

        Returns:
            Indices of the training and held-out classes and exemplars.

        Raises:
            ValueError: More is asked for than the bank holds.
        """
        line, group_of_place = self._classes_by_group(shuffle_seed)
        if n_train_classes is None:
            n_train_classes = _classes_left_for_training(group_of_place, n_held_out_classes or 0)
        _check_count("training classes", n_train_classes, 1, self.n_classes)

        # Every later group begins where the group of the last training class has ended.
        last_train_group = group_of_place[n_train_classes - 1]
        n_touched = int(np.searchsorted(group_of_place, last_train_group, side="right"))
        held_out = line[n_touched:]
        if n_held_out_classes is not None:
            if n_held_out_classes > len(held_out):
                raise ValueError(
                    f"{n_train_classes} training and {n_held_out_classes} held-out classes were "
                    f"asked for, but of the bank's {self.n_classes} classes only {len(held_out)} "
                    "share no group with a training class: ask for fewer, or use a larger bank"
                )
            _check_count("held-out classes", n_held_out_classes, 0, len(held_out))
            held_out = held_out[:n_held_out_classes]

        if n_train_exemplars is None:
            n_train_exemplars = self.n_exemplars
        _check_count("training exemplars", n_train_exemplars, 1, self.n_exemplars)
        exemplars = np.arange(self.n_exemplars, dtype=np.int64)
        return FeatureSplit(
            train_classes=line[:n_train_classes],
            held_out_classes=held_out,
            train_exemplars=exemplars[:n_train_exemplars],
            held_out_exemplars=exemplars[n_train_exemplars:],
        )

    def subset(
        self, classes: Iterable[int] | Int64[np.ndarray, " n_kept"], note: str
    ) -> "FeatureBank":
        """The bank of some classes, in the order given.

        Args:
            classes: Indices of the classes to keep.
            note: What was kept, for the provenance ("unrotated").

        Returns:
            A `FeatureBank` holding a copy of those classes' features.

        Raises:
            ValueError: No class is left, or an index is outside the bank.
        """
        kept = np.asarray(list(classes), dtype=np.int64)
        if len(kept) == 0 or kept.min() < 0 or kept.max() >= self.n_classes:
            raise ValueError(
                f"a subset needs class indices between 0 and {self.n_classes - 1}, "
                f"got {len(kept)} of them: {kept[:5]}"
            )
        return FeatureBank(
            features=self.features[torch.from_numpy(kept)],
            class_names=tuple(self.class_names[index] for index in kept),
            class_group=self.class_group[kept],
            provenance={**self.provenance, "subset": note},
            class_transform=None if self.class_transform is None else self.class_transform[kept],
        )

    def unrotated(self) -> "FeatureBank":
        """The classes of transform 0: upright characters only (thesis chapter 4).

        Raises:
            ValueError: The bank does not say which transform made its classes.
        """
        if self.class_transform is None:
            raise ValueError(
                "the bank does not say which transform made each class, so its unrotated classes "
                "cannot be told: use transforms='all', or a source that records class_transform"
            )
        return self.subset(np.flatnonzero(self.class_transform == 0), "unrotated")

    def groups_as_classes(self) -> "FeatureBank":
        """Each group of classes as one class, of all their exemplars.

        The eight transforms of a character become one class of eight times as many drawings, one
        transform after the other.

        Raises:
            ValueError: Groups are not all of one size.
        """
        line, group_of_place = self._classes_by_group(None)
        sizes = np.bincount(group_of_place)
        if sizes.min() < sizes.max():
            raise ValueError(
                f"groups of {sizes.min()} to {sizes.max()} classes cannot be made one class each: "
                "use a bank whose groups are all of one size"
            )
        in_groups = line.reshape(len(sizes), -1)
        return FeatureBank(
            features=self.features[torch.from_numpy(line)].view(len(sizes), -1, self.d_feature),
            class_names=tuple(self.class_names[index] for index in in_groups[:, 0]),
            provenance={**self.provenance, "groups_as_classes": True},
        )

    def digest(self) -> str:
        """SHA-256 over features, shape, dtype and groups: equal only for equal banks."""
        digest = hashlib.sha256(f"{tuple(self.features.shape)} {self.features.dtype}".encode())
        digest.update(np.ascontiguousarray(self.class_group).data)
        digest.update(self.features.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def _classes_by_group(
        self, shuffle_seed: int | None
    ) -> tuple[Int64[np.ndarray, " n_classes"], Int64[np.ndarray, " n_classes"]]:
        """The classes laid out group after group, and each place's group counted from 0."""
        _, first_class, group = np.unique(self.class_group, return_index=True, return_inverse=True)
        place_of_group = np.empty_like(first_class)
        place_of_group[np.argsort(first_class)] = np.arange(len(first_class))
        if shuffle_seed is not None:
            shuffled = np.random.default_rng(shuffle_seed).permutation(len(first_class))
            place_of_group = shuffled[place_of_group]
        place = place_of_group[group]
        line = np.argsort(place, kind="stable").astype(np.int64)
        return line, place[line].astype(np.int64)


def check_one_per_class(n_classes: int, **columns: Sized | None) -> None:
    """Refuses names, groups or transforms that are not one per class.

    Raises:
        ValueError: Naming the first column of another length.
    """
    for name, column in columns.items():
        if column is not None and len(column) != n_classes:
            raise ValueError(
                f"{name} has {len(column)} entries, the features have {n_classes} classes: "
                "give one entry per class"
            )


def _classes_left_for_training(
    group_of_place: Int64[np.ndarray, " n_classes"], n_held_out: int
) -> int:
    """The most classes, in whole groups, that leave `n_held_out` classes out."""
    n_classes = len(group_of_place)
    if not 0 < n_held_out < n_classes:
        return n_classes if n_held_out <= 0 else 1  # split() refuses what cannot be had
    first_held_out_group = group_of_place[n_classes - n_held_out]
    return max(1, int(np.searchsorted(group_of_place, first_held_out_group, side="left")))


def _check_count(what: str, asked: int, least: int, most: int) -> None:
    if not least <= asked <= most:
        raise ValueError(
            f"{asked} {what} were asked for, the bank can give {least} to {most}: ask for a number "
            "in that range, or use a larger bank"
        )
