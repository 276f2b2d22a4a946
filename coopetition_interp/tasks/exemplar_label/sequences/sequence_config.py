"""What a training or evaluation sequence looks like, as a config that is saved with the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float64
from pydantic import Field

from coopetition_interp.config_class import (
    ADDED_LATER,
    Config,
    Count,
    Flag,
    Integer,
    Number,
    Seed,
    config_class,
)
from coopetition_interp.tasks.exemplar_label.sequences.class_weights import (
    ClassWeights,
    zipf_weights,
)

SequenceKind = Literal[
    "bursty",
    "matched",
    "icl_only",
    "ciwl_only",
    "iwl_only",
    "icl",
    "flip",
    "icl_matched",
    "flip_matched",
]
LabelPairs = Literal["all", "train", "held_out"]


class ContextRule(Enum):
    """Which classes the context shows."""

    BURSTY = "copies of the query's class and as many of one distractor class, then filler"
    OTHER_CLASSES = "distinct classes, none of them the query's"


class LabelRule(Enum):
    """Which labels the pairs carry, and which label is right at the query."""

    OWN = "every class its own label"
    SWAPPED = "own labels, exchanged between the query's class and the distractor class"
    FRESH = "two distinct labels drawn for each sequence"
    ZERO_ONE = "labels 0 and 1, at random"
    ONE_REPLACED = "own labels, but one of the context's becomes the query's label"


@dataclass(frozen=True)
class KindRules:
    """How sequences of one kind are made.

    Attributes:
        context: Which classes are in context.
        labels: Which labels they carry.
        matched_exemplars: Whether the query's class is shown in context by the query exemplar.
        may_be_non_bursty: Whether `p_bursty` below 1 makes sense.
    """

    context: ContextRule
    labels: LabelRule
    matched_exemplars: bool = False
    may_be_non_bursty: bool = False


RULES_OF_KIND: dict[str, KindRules] = {
    "bursty": KindRules(ContextRule.BURSTY, LabelRule.OWN, may_be_non_bursty=True),
    "matched": KindRules(ContextRule.BURSTY, LabelRule.OWN, True, may_be_non_bursty=True),
    "icl_only": KindRules(ContextRule.BURSTY, LabelRule.FRESH),
    "icl": KindRules(ContextRule.BURSTY, LabelRule.ZERO_ONE),
    "flip": KindRules(ContextRule.BURSTY, LabelRule.SWAPPED),
    "icl_matched": KindRules(ContextRule.BURSTY, LabelRule.ZERO_ONE, True),
    "flip_matched": KindRules(ContextRule.BURSTY, LabelRule.SWAPPED, True),
    "ciwl_only": KindRules(ContextRule.OTHER_CLASSES, LabelRule.ONE_REPLACED),
    "iwl_only": KindRules(ContextRule.OTHER_CLASSES, LabelRule.OWN),
}


@config_class
class SequenceConfig(Config):
    """A distribution over exemplar-label sequences (paper section 2.2, thesis section 2.2.1).

    Attributes:
        kind: "bursty" (own labels: in-context and in-weights learning both work), "matched" (as
            bursty, but the query exemplar itself is what stands for its class in context),
            "icl_only" (labels drawn afresh for every sequence), "ciwl_only" (the right label is in
            context, the query's class is not), "iwl_only" (neither is), "icl" (bursty with labels
            0 and 1 at random), "flip" (bursty with the labels of the two classes exchanged; the
            right answer is what the query's class carries in context), "icl_matched" and
            "flip_matched" (the same, with the query exemplar itself in context).
        n_pairs: Exemplar-label pairs before the query.
        p_bursty: Share of bursty sequences; in the rest query and context are all drawn
            independently. For "bursty" and "matched".
        burst_size: How often the query's class, and how often the distractor, is in a bursty
            context; the rest is filler, drawn independently from the other classes. None takes
            half the pairs for "icl_only", "icl" and "flip", else 3 in 8 pairs and at least 1.
        zipf_exponent: Class of rank r (counted from 1) is drawn with probability proportional to
            r ** -zipf_exponent; 0 is uniform.
        class_weights: Instead of a Zipf law: the weight of each rank, from a file.
        n_labels_per_class: Label multiplicity: labels a class owns, one of which, at random, it
            carries throughout a sequence.
        n_sequence_labels: For "icl_only": how many labels there are to draw from. None takes all
            the model has.
        label_pairs: For "icl_only": which unordered pairs of labels may occur together; "train"
            and "held_out" are the two parts of one split, in which every label is trained on.
        label_pair_train_fraction: Share of label pairs trained on.
        label_pair_seed: Seed of that split.
        input_noise_sd: Standard deviation of Gaussian noise added to exemplar features, drawn anew
            at every step.
        distinct_exemplars: Exemplars of one class in a sequence are all different ones; a class
            that is shown more often than it has exemplars begins anew. False draws each of them
            independently.
        n_exemplars: Use only the first so many exemplars of each class; None uses all.
        n_classes: Use only the first so many classes; None uses all.

    Raises:
        ConfigError: If a value is out of range, or two options contradict each other.
    """

    kind: SequenceKind = "bursty"
    n_pairs: Annotated[Integer, Field(ge=1, le=1000)] = 2
    p_bursty: Annotated[Number, Field(ge=0, le=1)] = 1.0
    burst_size: Annotated[Integer, Field(ge=1, le=1000)] | None = None
    zipf_exponent: Annotated[Number, Field(ge=0, le=20)] = 0.0
    n_labels_per_class: Annotated[Integer, Field(ge=1, le=1000)] = 1
    n_sequence_labels: Annotated[Integer, Field(ge=2, le=10**9)] | None = None
    label_pairs: LabelPairs = "all"
    label_pair_train_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.8
    label_pair_seed: Seed = 0
    input_noise_sd: Annotated[Number, Field(ge=0, le=1000)] = 0.0
    distinct_exemplars: Flag = field(default=False, kw_only=True, metadata=ADDED_LATER)
    class_weights: ClassWeights | None = field(default=None, kw_only=True, metadata=ADDED_LATER)
    n_exemplars: Count | None = None
    n_classes: Annotated[Integer, Field(ge=2, le=10**9)] | None = None

    def __post_init__(self) -> None:
        self._check_burst()
        self._check_labels()
        if self.distinct_exemplars and self.rules.matched_exemplars:
            self._contradiction("distinct_exemplars", "one that does not show the query exemplar")
        if self.class_weights is not None and self.zipf_exponent > 0:
            raise ValueError("class_weights and zipf_exponent are two laws: give one of them")
        if self.n_classes is not None and self.n_classes < self.n_distinct_classes:
            raise ValueError(
                f"sequences of kind {self.kind!r} with n_pairs = {self.n_pairs} show "
                f"{self.n_distinct_classes} distinct classes, but n_classes is {self.n_classes}"
            )

    @property
    def rules(self) -> KindRules:
        """What `kind` stands for."""
        return RULES_OF_KIND[self.kind]

    @property
    def n_burst(self) -> int:
        """Context pairs of the query's class, and of the distractor, in a bursty sequence."""
        if self.rules.context is not ContextRule.BURSTY:
            return 0
        if self.burst_size is not None:
            return self.burst_size
        if self.rules.labels is LabelRule.OWN:
            return max(1, 3 * self.n_pairs // 8)
        return max(1, self.n_pairs // 2)

    @property
    def n_filler(self) -> int:
        """Context pairs of a bursty sequence that are of neither of its two classes."""
        return self.n_pairs - 2 * self.n_burst if self.n_burst else 0

    @property
    def n_distinct_classes(self) -> int:
        """How many classes there must be to draw from."""
        if self.rules.context is ContextRule.OTHER_CLASSES:
            return self.n_pairs + 1
        return 3 if self.n_filler else 2

    @property
    def uses_own_labels(self) -> bool:
        """Whether pairs carry the labels that their classes own (else labels of the sequence)."""
        return self.rules.labels not in (LabelRule.FRESH, LabelRule.ZERO_ONE)

    @property
    def draws_from_all_labels(self) -> bool:
        """Whether a sequence's labels are drawn from all that the model has, however many."""
        return self.rules.labels is LabelRule.FRESH and self.n_sequence_labels is None

    def class_law(
        self, n_classes: int, first_rank: int = 1
    ) -> Float64[np.ndarray, " n_classes"] | None:
        """Weights of `n_classes` ranks from `first_rank` on; None where classes are drawn evenly.

        Raises:
            FileNotFoundError, ValueError: The file of weights is not there, damaged or too short.
        """
        if self.class_weights is None:
            return (
                zipf_weights(n_classes, self.zipf_exponent, first_rank)
                if self.zipf_exponent
                else None
            )
        weights = self.class_weights.load()[first_rank - 1 :][:n_classes]
        if len(weights) < n_classes:
            raise ValueError(
                f"class_weights: {self.class_weights.path} has weights up to rank "
                f"{first_rank - 1 + len(weights)}, but classes are drawn up to rank "
                f"{first_rank - 1 + n_classes}: give more weights, or lower n_classes"
            )
        return weights

    def n_labels_needed(self, n_classes: int) -> int:
        """Labels that a model of these sequences must know, `n_classes` being trained on."""
        if self.rules.labels is LabelRule.FRESH:
            return self.n_sequence_labels or n_classes
        if self.rules.labels is LabelRule.ZERO_ONE:
            return 2
        return n_classes * self.n_labels_per_class

    def _check_burst(self) -> None:
        if self.p_bursty < 1 and not self.rules.may_be_non_bursty:
            self._contradiction("p_bursty", "bursty or matched")
        if self.rules.context is not ContextRule.BURSTY:
            if self.burst_size is not None:
                self._contradiction("burst_size", "one with bursts")
            return
        if 2 * self.n_burst > self.n_pairs:
            raise ValueError(
                f"two bursts of {self.n_burst} do not fit into {self.n_pairs} context pairs: lower "
                "burst_size or raise n_pairs"
            )
        if self.n_filler and not self.uses_own_labels:
            raise ValueError(
                f"kind {self.kind!r} has labels for two classes only, but n_pairs = "
                f"{self.n_pairs} with burst_size = {self.n_burst} leaves {self.n_filler} pairs to "
                "others: use an even n_pairs and burst_size = n_pairs / 2"
            )

    def _check_labels(self) -> None:
        if self.n_labels_per_class > 1 and not self.uses_own_labels:
            self._contradiction("n_labels_per_class", "one whose classes own labels")
        if self.rules.labels is not LabelRule.FRESH:
            if self.n_sequence_labels is not None:
                self._contradiction("n_sequence_labels", "icl_only")
            if self.label_pairs != "all":
                self._contradiction("label_pairs", "icl_only")

    def _contradiction(self, option: str, wanted: str) -> None:
        value: Any = getattr(self, option)
        raise ValueError(
            f"{option} = {value!r} contradicts kind = {self.kind!r}: leave {option} at its default "
            f"or choose another kind ({wanted})"
        )
