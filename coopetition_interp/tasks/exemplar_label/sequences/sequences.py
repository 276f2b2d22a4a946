"""The container every model, clamp and analysis here takes as input: exemplar-label sequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils._pytree import register_pytree_node


class PairRole(IntEnum):
    """What an exemplar-label pair is to the query of its sequence."""

    QUERY = 0
    """The last exemplar; its label is the right answer and is never shown to the model."""
    MATCH = 1
    """A context pair whose exemplar is of the query's class."""
    DISTRACTOR = 2
    """A context pair of the other class of a bursty sequence."""
    LABEL_ONLY = 3
    """A context pair of another class that carries the query's label (CIWL)."""
    FILLER = 4
    """Any other context pair."""


@dataclass(frozen=True, eq=False)
class Sequences:
    """A batch of sequences: context exemplar-label pairs, then a query exemplar.

    The model sees 2 * n_pairs + 1 tokens: exemplar, label, exemplar, label, ..., query. The last
    label is not shown: it is the right answer, whatever the sequence kind calls right (on Flip,
    the label that the query's class carries in context).

    n_exemplars is n_pairs + 1: the exemplars of the context pairs and, last, the query.

    What TransformerLens asks of a batch of tokens [batch, n_tokens], `Sequences` answer: `shape`,
    `ndim`, `device`, `to` and the choice of sequences by `[...]`. To change a field, take
    `dataclasses.replace(sequences, labels=...)`.

    Attributes:
        exemplars: Features of the context exemplars and, last, of the query.
        labels: Labels of the context pairs and, last, the right answer.
        roles: What each pair is to the query, as `PairRole` values.

    Raises:
        ValueError: If the three do not describe the same pairs.
    """

    exemplars: Float[Tensor, "batch n_exemplars d_feature"]
    labels: Int[Tensor, "batch n_exemplars"]
    roles: Int[Tensor, "batch n_exemplars"]

    def __post_init__(self) -> None:
        shape = tuple(self.exemplars.shape[:2])
        if self.exemplars.ndim != 3 or shape[1] < 2:
            raise ValueError(
                f"exemplars must be [batch, n_pairs + 1, d_feature] with at least one context pair "
                f"and the query; got {tuple(self.exemplars.shape)}"
            )
        for name in ("labels", "roles"):
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(
                    f"{name} must be {list(shape)} to go with exemplars "
                    f"{list(self.exemplars.shape)}; got {list(getattr(self, name).shape)}"
                )

    @property
    def n_pairs(self) -> int:
        """How many context pairs precede the query."""
        return self.exemplars.shape[1] - 1

    @property
    def n_tokens(self) -> int:
        """Tokens the model sees: 2 * n_pairs + 1."""
        return 2 * self.n_pairs + 1

    @property
    def shape(self) -> torch.Size:
        """[batch, n_tokens], as of the tokens that the model sees."""
        return torch.Size((len(self), self.n_tokens))

    @property
    def ndim(self) -> int:
        """2: sequences and their tokens."""
        return 2

    @property
    def device(self) -> torch.device:
        """Where the exemplars are."""
        return self.exemplars.device

    @property
    def query_position(self) -> int:
        """Token position of the query."""
        return 2 * self.n_pairs

    @property
    def label_positions(self) -> list[int]:
        """Token positions of the context labels: 1, 3, ..."""
        return list(range(1, 2 * self.n_pairs, 2))

    @property
    def exemplar_positions(self) -> list[int]:
        """Token positions of the exemplars, the query's included: 0, 2, ..."""
        return list(range(0, 2 * self.n_pairs + 1, 2))

    @property
    def right_labels(self) -> Int[Tensor, " batch"]:
        """The label to be predicted at the query."""
        return self.labels[:, -1]

    @property
    def context_labels(self) -> Int[Tensor, "batch n_pairs"]:
        """The labels the model sees, in order."""
        return self.labels[:, :-1]

    @property
    def carries_right_label(self) -> Bool[Tensor, "batch n_pairs"]:
        """Which context pairs carry the label that is right at the query."""
        return self.context_labels == self.right_labels[:, None]

    def __len__(self) -> int:
        return self.exemplars.shape[0]

    def __getitem__(
        self, which: slice | Int[Tensor, " chosen"] | Bool[Tensor, " batch"] | list[int]
    ) -> Sequences:
        """The chosen sequences, as `Sequences`.

        Args:
            which: A slice, indices or a mask over the batch.

        Raises:
            TypeError: If a single sequence, or tokens, are asked for.
        """
        if isinstance(which, tuple):
            raise TypeError(
                "sequences are chosen whole, so by one index; tokens are chosen of activations, "
                "at .exemplar_positions, .label_positions or .query_position"
            )
        if not isinstance(which, slice) and np.ndim(which) != 1:
            raise TypeError(
                "index Sequences by a slice, a list or a one-dimensional tensor, such as [3:4] for "
                f"the fourth alone; got {which!r:.60}"
            )
        return Sequences(self.exemplars[which], self.labels[which], self.roles[which])

    def to(self, device: torch.device | str) -> Sequences:
        """The same sequences on another device."""
        return Sequences(*(getattr(self, field.name).to(device) for field in fields(self)))

    def split(self, size: int) -> Iterator[Sequences]:
        """Consecutive chunks of at most `size` sequences."""
        for start in range(0, len(self), size):
            yield self[start : start + size]


def require_sequences(sequences: object) -> None:
    """Refuses what has no exemplars and labels to be told apart, such as tokens.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(sequences, Sequences):
        raise TypeError(
            f"this is measured on Sequences of exemplars and labels; got {type(sequences).__name__}"
        )


def concatenate(parts: list[Sequences]) -> Sequences:
    """One batch holding all sequences of `parts`, in order."""
    return Sequences(
        torch.cat([part.exemplars for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat([part.roles for part in parts]),
    )


_FIELDS = tuple(field.name for field in fields(Sequences))


def _tensors(sequences: Sequences) -> tuple[list[Tensor], None]:
    return [getattr(sequences, name) for name in _FIELDS], None


def _of_tensors(tensors: Iterable[Any], _: Any) -> Sequences:
    """Without the check of shapes, since torch fills in other things than tensors at times."""
    sequences = object.__new__(Sequences)
    for name, tensor in zip(_FIELDS, tensors, strict=True):
        object.__setattr__(sequences, name, tensor)
    return sequences


register_pytree_node(Sequences, _tensors, _of_tensors, serialized_type_name="Sequences")
