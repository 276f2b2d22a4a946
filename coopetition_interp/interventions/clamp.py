"""What a clamp is, and what it may look at and set.

A clamp says WHAT is held, as a frozen dataclass. It tells `edits`: which function is applied to
the activation at which hook point. How edits get onto the model, in which order, and off it again
is written once, in `run`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig

from coopetition_interp.interventions.claims import Claim
from coopetition_interp.interventions.fields import shown
from coopetition_interp.interventions.inputs import LabelledInput, ModelInput
from coopetition_interp.one_line import clipped

Edit = tuple[str, Callable[[Tensor], Tensor]]
"""A hook point's name, and what becomes of the activation there."""


MASKED_SCORE = -1e9
"""Attention score (or logit) of what must have no weight; its softmax is exactly 0."""

_KINDS: dict[str, type[Clamp]] = {}


class ClampedBatch:
    """A batch that runs under clamps, as one of them sees it.

    It notes whether the clamp looks at it, when edits are made or when they are applied: a clamp
    that did holds for this batch alone.

    Args:
        cfg: Config of the model.
        clamp: The clamp that sees it.
        input: What the model is fed.
        first_pass: Activations recorded for the clamp in the first pass, by hook name; empty
            during that pass and when the clamp asks for none.

    Attributes:
        was_looked_at: Whether the clamp has looked at the input or the first pass.
        another_input_runs: Whether the model is running on another input; looking is then refused.
    """

    def __init__(
        self,
        cfg: HookedTransformerConfig,
        clamp: Clamp,
        input: ModelInput,
        first_pass: Mapping[str, Tensor] | None = None,
    ):
        self.cfg = cfg
        self.was_looked_at = False
        self.another_input_runs = False
        self._clamp = clamp
        self._input = input
        self._first_pass = first_pass or {}

    @property
    def input(self) -> ModelInput:
        """What the model is fed."""
        self._look()
        return self._input

    @property
    def first_pass(self) -> Mapping[str, Tensor]:
        """What `first_pass_reads` names, as it was in the first pass."""
        self._look()
        return self._first_pass

    def labelled(self, clamp: Clamp) -> LabelledInput:
        """The input as `Sequences`, for a clamp that has to know exemplars from labels.

        Raises:
            TypeError: If the model is fed tokens.
        """
        if not isinstance(self.input, LabelledInput):
            raise TypeError(
                f"{shown(clamp)} has to know exemplars from labels: it needs Sequences; got "
                f"{type(self.input).__name__}"
            )
        return self.input

    def from_first_pass(self, name: str, detach: bool) -> Tensor:
        """An activation of the first pass; with `detach`, no gradient flows into that pass.

        Raises:
            ValueError: If it was not recorded.
        """
        if name not in self.first_pass:
            raise ValueError(
                f"{shown(self._clamp)} takes {clipped(name)} from the first pass, but its "
                "first_pass_reads does not name it (and first_pass_edits can take nothing)"
            )
        activation = self.first_pass[name]
        return activation.detach() if detach else activation

    def refusal(self) -> ValueError:
        """The error for a run on another input."""
        return ValueError(
            f"{shown(self._clamp)} holds for the sequences given to clamped(); to run others, "
            "clamp the model for them; to evaluate, which takes them in parts, give evaluate the "
            "clamps, outside of clamped()"
        )

    def _look(self) -> None:
        self.was_looked_at = True
        if self.another_input_runs:
            raise self.refusal()


class Clamp:
    """Base of all clamps, which are frozen dataclasses.

    To add one: subclass, in any module, and write `edits` (and what else applies below); a clamp
    that needs a first pass subclasses `TwoPassClamp`, one on chosen heads may subclass
    `HeadsClamp`. It can be typed, saved and loaded wherever its module has been imported. To be
    saved, its fields are numbers, texts, True, False, None, clamps and tuples of these.

    Attributes:
        precedence: Where two clamps edit one activation, the lower precedence goes first, so that
            the higher one has the last word; equal ones go in the order of the list.
        numbers: Fields that `edits` takes as numbers to reckon with, so that a tensor does as well:
            runs whose clamps differ in these alone can be trained together.
    """

    precedence: ClassVar[int] = 2
    numbers: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **how: Any) -> None:
        """Makes the clamp known by its name.

        Raises:
            TypeError: If another clamp has that name.
        """
        super().__init_subclass__(**how)
        other = _KINDS.get(cls.__name__)
        # Run again in a notebook it is the same class; so it is when dataclass(slots=True) makes it
        # again, from the same fields, before it has its full name.
        same = other is not None and (
            full_name(other) == full_name(cls)
            or other.__dict__.get("__dataclass_fields__", 0)
            is cls.__dict__.get("__dataclass_fields__")
        )
        if other is not None and _is_own_dataclass(other) and not same:
            raise TypeError(
                f"two clamps would be saved under the name {cls.__name__}: {full_name(other)} and "
                f"{full_name(cls)}; rename one of them"
            )
        _KINDS[cls.__name__] = cls

    def edits(self, batch: ClampedBatch) -> Iterator[Edit]:
        """What is set during the clamped pass.

        In training it runs once and is recorded, so it may not draw random numbers or take numbers
        out of tensors (training refuses it), and what else in Python it looks at stays as it was:
        see `Task.loss`.

        Raises:
            TypeError: If the clamp needs to know exemplars from labels and is fed tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} has no edits()")

    def first_pass_reads(self, cfg: HookedTransformerConfig) -> set[str]:
        """Hook names whose activations the first pass must record; for a `TwoPassClamp`."""
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

    def claims(self, cfg: HookedTransformerConfig) -> set[Claim]:
        """What this clamp alone may set: see `contradictions`."""
        return set()

    def __str__(self) -> str:
        """The clamp as the command line takes it; defaults are left out."""
        given = []
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if each.init and not (type(value) is type(each.default) and value == each.default):
                value = list(value) if each.name == "heads" else value
                given.append(f"{each.name}={value if isinstance(value, Clamp) else repr(value)}")
        return f"{type(self).__name__}({', '.join(given)})"


class TwoPassClamp(Clamp):
    """Base of clamps that take something from a first pass of the same batch.

    Subclasses say what (`first_pass_reads`: names of any of the model's hook points) and take it
    in `edits` by `batch.from_first_pass`. The first pass runs all tokens to the end, or to the
    last block that is read; where the clamped pass runs the final LayerNorm and the unembedding on
    the query alone, the query's part of what is set there is taken.

    Attributes:
        detach: Whether the first pass is kept out of the gradient: a field or a property of every
            subclass.
    """

    detach: bool


def known_clamps() -> dict[str, type[Clamp]]:
    """Every clamp whose module has been imported, by the name it is saved and typed under."""
    return {name: kind for name, kind in _KINDS.items() if _is_own_dataclass(kind)}


def full_name(kind: type) -> str:
    """A class's module and name."""
    return f"{kind.__module__}.{kind.__qualname__}"


def check_is_clamp(value: object) -> None:
    """Refuses what is no clamp, or only half of one.

    Raises:
        TypeError: Saying what is missing.
    """
    kind = type(value)
    if not isinstance(value, Clamp):
        if isinstance(value, type) and issubclass(value, Clamp):
            raise TypeError(f"{value.__name__} is a clamp's class: make one of it, with its fields")
        raise TypeError(f"{shown(value)} is not a clamp")
    if not (_is_own_dataclass(kind) and kind.__dict__["__dataclass_params__"].frozen):
        raise TypeError(
            f"{full_name(kind)} is no frozen dataclass: write @dataclass(frozen=True) above the "
            "class"
        )
    reserved = {"kind", "module"} & {each.name for each in dataclasses.fields(value)}  # type: ignore[arg-type]
    if reserved:
        raise TypeError(
            f"{full_name(kind)}: a clamp is saved with its class as kind and module, so no field "
            f"can be called {' or '.join(sorted(reserved))}"
        )


def _is_own_dataclass(kind: type) -> bool:
    """Whether the class itself, not one that it inherits from, was made a dataclass."""
    return "__dataclass_params__" in kind.__dict__


def axis_mask(chosen: Iterable[int], size: int, device: torch.device) -> Bool[Tensor, " n_entries"]:
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
