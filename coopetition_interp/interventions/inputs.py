"""What models read, as far as clamps have to know it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class LabelledInput(Protocol):
    """Sequences that alternate exemplar, label, ..., and end with a query exemplar.

    Attributes:
        exemplars: Features of the context exemplars and, last, of the query.
        n_pairs: Exemplar-label pairs before the query.
        query_position: Token position of the query.
        label_positions: Token positions of the labels.
        exemplar_positions: Token positions of the exemplars, the query's included.
        context_labels: Labels of the context pairs.
        carries_right_label: Which context pairs carry the label that is right at the query.
    """

    exemplars: Float[Tensor, "batch n_exemplars d_feature"]

    @property
    def n_pairs(self) -> int: ...  # noqa: D102
    @property
    def query_position(self) -> int: ...  # noqa: D102
    @property
    def label_positions(self) -> list[int]: ...  # noqa: D102
    @property
    def exemplar_positions(self) -> list[int]: ...  # noqa: D102
    @property
    def context_labels(self) -> Int[Tensor, "batch n_pairs"]: ...  # noqa: D102
    @property
    def carries_right_label(self) -> Bool[Tensor, "batch n_pairs"]: ...  # noqa: D102


ModelInput = Any
"""Tokens [batch, n_tokens], or what else a model's `forward` takes, such as a `LabelledInput`."""
