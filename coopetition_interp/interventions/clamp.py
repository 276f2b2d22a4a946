"""What a clamp is, and what it may look at and set.

A clamp says WHAT is held, as a frozen dataclass. It tells `edits`: which function is applied to
the activation at which hook point. How edits get onto the model, in which order, and off it again
is written once, in `run`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig

from coopetition_interp.sequences.sequences import Sequences

Edit = tuple[str, Callable[[Tensor], Tensor]]
"""A hook point's name, and what becomes of the activation there."""

ModelInput = Sequences | Int[Tensor, "batch n_tokens"]
"""Sequences for an `ExemplarLabelTransformer`, tokens for any other `HookedTransformer`."""

MASKED_SCORE = -1e9
"""Attention score (or logit) of what must have no weight; its softmax is exactly 0."""


@dataclass(frozen=True, eq=False)
class ClampedBatch:
    """A batch that runs under clamps, as the clamps see it.

    Attributes:
        cfg: Config of the model.
        input: What the model is fed.
        first_pass: Activations recorded in the first pass, by hook name; empty during that pass
            and when no clamp asks for one.
    """

    cfg: HookedTransformerConfig
    input: ModelInput
    first_pass: Mapping[str, Tensor] = field(default_factory=dict)

    def labelled(self, clamp: Clamp) -> Sequences:
        """The input as `Sequences`, for a clamp that has to know exemplars from labels.

        Raises:
            TypeError: If the model is fed tokens.
        """
        if not isinstance(self.input, Sequences):
            raise TypeError(
                f"{clamp} has to know exemplars from labels: it needs Sequences; got "
                f"{type(self.input).__name__}"
            )
        return self.input

    def from_first_pass(self, name: str, detach: bool) -> Tensor:
        """An activation of the first pass; with `detach`, no gradient flows into that pass."""
        activation = self.first_pass[name]
        return activation.detach() if detach else activation


class Clamp:
    """Base of all clamps, which are frozen dataclasses.

    To add one: subclass, write `edits` (and what else applies below), and list the class in
    `serialise.CLAMPS`.

    Attributes:
        precedence: Where two clamps edit one activation, the lower precedence goes first, so that
            the higher one has the last word; equal ones go in the order of the list.
        tied_to_batch: Whether the edits fit only the sequences they were made for.
        detach: Whether the first pass is kept out of the gradient; a field of two-pass clamps.
    """

    precedence: ClassVar[int] = 2
    tied_to_batch: ClassVar[bool] = False
    detach: bool

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """What is set during the clamped pass.

        Raises:
            TypeError: If the clamp needs to know exemplars from labels and is fed tokens.
        """
        raise NotImplementedError

    def first_pass_reads(self, cfg: HookedTransformerConfig) -> set[str]:
        """Hook names whose activations the first pass must record."""
        return set()

    def first_pass_edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """What is set during the first pass, if it is not plain."""
        return iter(())

    def replaced_weights(self, model: HookedTransformer) -> dict[str, Tensor]:
        """Weights that run in place of the model's, by name."""
        return {}

    def check(self, cfg: HookedTransformerConfig) -> None:
        """Refuses a model that lacks what the clamp names.

        Raises:
            ValueError: If it does.
        """

    def claims(self, cfg: HookedTransformerConfig) -> set[str]:
        """What this clamp alone may set, in words: see `contradictions`."""
        return set()

    def __str__(self) -> str:
        """The clamp as the command line takes it; defaults are left out."""
        given = []
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if value != each.default:
                shown = list(value) if each.name == "heads" else value
                given.append(f"{each.name}={shown!r}")
        return f"{type(self).__name__}({', '.join(given)})"


def axis_mask(chosen: Iterable[int], size: int, device: torch.device) -> Bool[Tensor, n_entries]:
    """True at the chosen indices of an axis."""
    wanted = set(chosen)
    return torch.tensor([i in wanted for i in range(size)], device=device)


def hold(
    attention: Float[Tensor, "batch n_heads n_queries n_keys"],
    value: Tensor | float,
    heads: Iterable[int],
    rows: Iterable[int] | None = None,
    columns: Iterable[int] | None = None,
) -> Float[Tensor, "batch n_heads n_queries n_keys"]:
    """Attention scores or patterns with `value` at the chosen entries, the others untouched.

    Args:
        attention: Scores or patterns.
        value: What to set; broadcast against `attention`.
        heads: Which heads.
        rows: Which query positions; all if None.
        columns: Which key positions; all if None.
    """
    _, n_heads, n_queries, n_keys = attention.shape
    mask = axis_mask(heads, n_heads, attention.device)[:, None, None]
    if rows is not None:
        mask = mask & axis_mask(rows, n_queries, attention.device)[:, None]
    if columns is not None:
        mask = mask & axis_mask(columns, n_keys, attention.device)
    return torch.where(mask, value, attention)


def fraction(value: object, name: str, owner: str) -> float:
    """`value` as a number from 0 to 1.

    Raises:
        ValueError: If it is not one.
    """
    number = real_number(value, name, owner)
    if not 0 <= number <= 1:
        raise ValueError(f"{owner}: {name} is a fraction from 0 to 1; got {value!r}")
    return number


def real_number(value: object, name: str, owner: str) -> float:
    """`value` as a finite float.

    Raises:
        ValueError: If it is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) == float("inf"):
        raise ValueError(f"{owner}: {name} must be a finite number; got {value!r}")
    return float(value)


def truth(value: object, name: str, owner: str) -> bool:
    """`value` if it is True or False.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{owner}: {name} must be True or False; got {value!r}")
    return value
