"""Evaluators: fixed sequences on which strategies come apart, and how each is scored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import field
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Int64
from pydantic import Field

from coopetition_interp.config_class import (
    ADDED_LATER,
    Config,
    Count,
    Integer,
    Text,
    config_class,
    shortened,
)
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank, FeatureSplit
from coopetition_interp.tasks.exemplar_label.sequences.sampler import (
    SequenceSampler,
    labels_of_training_classes,
)
from coopetition_interp.tasks.exemplar_label.sequences.sequence_config import SequenceConfig
from coopetition_interp.tasks.exemplar_label.sequences.sequences import Sequences

Part = Literal["train", "held_out"]
Score = Literal["in_context_accuracy", "accuracy", "class_accuracy"]

MOST_VALUES = 2**31
"""Features of all evaluation sequences beyond which they would take over 8 GiB."""

# Words that a table read back from CSV takes for a missing value, a number or a truth value.
_NO_NAMES = {"na", "nan", "null", "none", "inf", "infinity", "true", "false"}


@config_class
class EvaluatorConfig(Config):
    """One evaluator.

    Attributes:
        name: What tables and figures call it; also what its sequences are drawn by.
        sequences: What its sequences look like.
        classes: Which classes they are made of.
        exemplars: Which exemplars they are made of.
        n_sequences: How many sequences there are.
        n_classes: So many classes are used; None, or more than there are, uses all.
        first_class: They begin at this rank, counted from 1; a law of class frequencies goes on
            from there. With 11 the ten commonest are left out.
        n_exemplars: The first so many exemplars are used; None, or more than there are, uses all.
        score: The metric that stands for this evaluator in a figure; "class_accuracy" where
            classes own several labels, any of which is right.

    Raises:
        ConfigError: If a value is out of range.
    """

    name: Text
    sequences: SequenceConfig
    classes: Part = "train"
    exemplars: Part = "train"
    n_sequences: Annotated[Integer, Field(ge=1, le=10**7)] = 5000
    n_classes: Count | None = 1600
    n_exemplars: Count | None = 5
    score: Score = "in_context_accuracy"
    first_class: Count = field(default=1, kw_only=True, metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][\w .+-]*", self.name) or self.name.lower() in _NO_NAMES:
            raise ValueError(
                "an evaluator's name begins with a letter, goes on in letters, digits and _-+. or "
                f"spaces, and is no word such as nan or true; got {shortened(self.name)}"
            )


def standard_evaluators(
    n_pairs: int = 2,
    n_sequences: int = 5000,
    n_classes: int | None = 1600,
    n_exemplars: int | None = 5,
    n_labels_per_class: int = 1,
    input_noise_sd: float = 0.0,
) -> tuple[EvaluatorConfig, ...]:
    """The evaluators of the coopetition paper: train, icl, ciwl, flip and iwl (section 2.2).

    Args:
        n_pairs: Context pairs, as in training.
        n_sequences: Sequences of each evaluator.
        n_classes: The first so many training classes are used.
        n_exemplars: The first so many training exemplars are used.
        n_labels_per_class: Label multiplicity, as in training.
        input_noise_sd: Noise on exemplar features, as in training.
    """
    own = SequenceConfig(
        n_pairs=n_pairs, n_labels_per_class=n_labels_per_class, input_noise_sd=input_noise_sd
    )
    train = EvaluatorConfig(
        "train", own, n_sequences=n_sequences, n_classes=n_classes, n_exemplars=n_exemplars
    )
    zero_one = own.replace(kind="icl", n_labels_per_class=1)
    iwl = own.replace(kind="iwl_only")
    return (
        train,
        train.replace(name="icl", sequences=zero_one),
        train.replace(name="ciwl", sequences=own.replace(kind="ciwl_only")),
        train.replace(name="flip", sequences=own.replace(kind="flip")),
        train.replace(
            name="iwl",
            sequences=iwl,
            score="accuracy" if n_labels_per_class == 1 else "class_accuracy",
        ),
    )


def matched_evaluators(n_sequences: int = 5000) -> tuple[EvaluatorConfig, ...]:
    """ICL and Flip on sequences whose context shows the query exemplar itself.

    They score training on "matched" sequences on what it was trained on: "icl_matched" and
    "flip_matched".
    """
    icl = EvaluatorConfig(
        "icl_matched", SequenceConfig(kind="icl_matched"), n_sequences=n_sequences
    )
    flip = SequenceConfig(kind="flip_matched")
    return icl, icl.replace(name="flip_matched", sequences=flip)


def held_out_evaluators(
    n_pairs: int = 2,
    n_sequences: int = 5000,
    n_classes: int | None = 1600,
    n_exemplars: int | None = 5,
    input_noise_sd: float = 0.0,
) -> tuple[EvaluatorConfig, ...]:
    """Evaluators of classes never trained on, which own no label: icl and icl_only.

    "held_out_icl" labels the two classes 0 and 1 at random; "held_out_icl_only" with any two of
    the model's labels.
    """
    zero_one = SequenceConfig(kind="icl", n_pairs=n_pairs, input_noise_sd=input_noise_sd)
    icl = EvaluatorConfig(
        "held_out_icl",
        zero_one,
        classes="held_out",
        n_sequences=n_sequences,
        n_classes=n_classes,
        n_exemplars=n_exemplars,
    )
    any_two = zero_one.replace(kind="icl_only")
    return icl, icl.replace(name="held_out_icl_only", sequences=any_two)


def induction_evaluators(
    n_pairs: int = 2,
    n_sequence_labels: int = 5,
    n_sequences: int = 5000,
) -> tuple[EvaluatorConfig, ...]:
    """The test sets of the induction-head work (thesis section 4.2.1), scored over all labels.

    "train" is made as in training; each of the others holds out one thing: "held_out_exemplars",
    "held_out_classes", "held_out_label_pairs". All classes and exemplars of the split are used.

    Args:
        n_pairs: Context pairs, as in training.
        n_sequence_labels: Labels there are, as in training.
        n_sequences: Sequences of each evaluator.
    """
    seen = SequenceConfig(
        kind="icl_only",
        n_pairs=n_pairs,
        n_sequence_labels=n_sequence_labels,
        label_pairs="train",
        label_pair_train_fraction=0.8,
    )
    train = EvaluatorConfig(
        "train", seen, n_sequences=n_sequences, n_classes=None, n_exemplars=None, score="accuracy"
    )
    unseen_pairs = seen.replace(label_pairs="held_out")
    return (
        train,
        train.replace(name="held_out_exemplars", exemplars="held_out"),
        train.replace(name="held_out_classes", classes="held_out"),
        train.replace(name="held_out_label_pairs", sequences=unseen_pairs),
    )


def make_evaluation_sequences(
    bank: FeatureBank,
    split: FeatureSplit,
    evaluators: Iterable[EvaluatorConfig],
    seed: int,
    n_labels: int,
) -> dict[str, Sequences]:
    """Draws the sequences of every evaluator, by its name.

    An evaluator's sequences hang on the seed and its own config alone, so adding or dropping one
    changes none of the others.

    Args:
        bank: Where exemplars come from.
        split: Which classes and exemplars are trained on. A training class's label is its place
            in `split.train_classes`, as in the training sampler.
        evaluators: The evaluators, each of another name.
        seed: Evaluation seed, not negative.
        n_labels: Labels that the model knows.

    Raises:
        ValueError: If two evaluators share a name, or one asks for what the bank, the split or
            the labels cannot give; the message names the evaluator. Also if all sequences together
            would take over 8 GiB.
    """
    if seed < 0:
        raise ValueError(f"the evaluation seed must not be negative; got {seed}")
    evaluators = tuple(evaluators)
    _check_size(evaluators, bank.d_feature)
    label_of_class = labels_of_training_classes(bank.n_classes, split.train_classes)
    made: dict[str, Sequences] = {}
    for evaluator in evaluators:
        if evaluator.name in made:
            raise ValueError(f"two evaluators are called {evaluator.name!r}: rename one")
        digest = hashlib.sha256(f"{seed} {evaluator.name}".encode()).digest()
        try:
            sampler = SequenceSampler(
                bank,
                evaluator.sequences,
                _classes_of(evaluator, split),
                _exemplars_of(evaluator, split),
                batch_size=evaluator.n_sequences,
                seed=int.from_bytes(digest[:8], "big"),
                n_labels=n_labels,
                label_of_class=label_of_class,
                first_rank=evaluator.first_class,
            )
        except ValueError as error:
            raise ValueError(f"evaluator {evaluator.name!r}: {error}") from error
        made[evaluator.name] = sampler.batch(0)
    return made


def _check_size(evaluators: Iterable[EvaluatorConfig], d_feature: int) -> None:
    n_values = {
        # Roles, labels and random orders count too where features are short.
        evaluator.name: evaluator.n_sequences
        * (evaluator.sequences.n_pairs + 1)
        * max(d_feature, 16)
        for evaluator in evaluators
    }
    total = sum(n_values.values())
    if total > MOST_VALUES:
        raise ValueError(
            f"the evaluators' sequences would hold {total:.3g} numbers, more than the "
            f"{MOST_VALUES:.3g} allowed (8 GiB): lower n_sequences of evaluator "
            f"{max(n_values, key=n_values.__getitem__)!r}"
        )


def _classes_of(evaluator: EvaluatorConfig, split: FeatureSplit) -> Int64[np.ndarray, " n_used"]:
    train = evaluator.classes == "train"
    classes = split.train_classes if train else split.held_out_classes
    return classes[evaluator.first_class - 1 :][: evaluator.n_classes]


def _exemplars_of(evaluator: EvaluatorConfig, split: FeatureSplit) -> Int64[np.ndarray, " n_used"]:
    train = evaluator.exemplars == "train"
    return (split.train_exemplars if train else split.held_out_exemplars)[: evaluator.n_exemplars]
