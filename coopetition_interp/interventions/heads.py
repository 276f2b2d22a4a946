"""Naming attention heads: (layer, head) pairs, both counted from 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from operator import index
from typing import Any

from transformer_lens import HookedTransformerConfig

from coopetition_interp.interventions.fields import shown

Head = Sequence[int]
"""(layer, head); a tuple once a clamp holds it."""


def as_head(head: Any, owner: str) -> tuple[int, int]:
    """`head` as a pair of ints.

    Args:
        head: A pair of whole numbers, in any sequence (JSON gives lists).
        owner: Whose head it is, for the error.

    Raises:
        ValueError: If it is no such pair.
    """
    layer = number = -1
    # Texts and bytes are pairs to Python too, and True and False are numbers.
    if not isinstance(head, str | bytes | bytearray | Mapping | Set):
        with suppress(TypeError, ValueError):
            parts = tuple(head)
            if not any(isinstance(part, bool) for part in parts):
                layer, number = (index(part) for part in parts)
    if layer < 0 or number < 0:
        raise ValueError(
            f"{owner}: a head is a pair (layer, head) of numbers from 0 up; got {shown(head)}"
        )
    return layer, number


def as_heads(heads: Iterable[Any], owner: str) -> tuple[tuple[int, int], ...]:
    """Heads sorted, each once.

    Raises:
        ValueError: If there are none, or one is not a pair of numbers.
    """
    if isinstance(heads, str | bytes | bytearray | Mapping) or not isinstance(heads, Iterable):
        raise ValueError(f"{owner}: heads is a list of (layer, head) pairs; got {shown(heads)}")
    pairs = tuple(sorted({as_head(head, owner) for head in heads}))
    if not pairs:
        raise ValueError(f"{owner}: no heads are named; heads=[(layer, head), ...]")
    return pairs


def by_layer(heads: Iterable[Head]) -> dict[int, list[int]]:
    """Head numbers of each layer that is named."""
    layers: dict[int, list[int]] = {}
    for layer, head in heads:
        layers.setdefault(layer, []).append(head)
    return layers


def layer_heads(
    cfg: HookedTransformerConfig, layer: int, but: Iterable[int] = ()
) -> list[tuple[int, int]]:
    """All heads of a layer, or all but some: what the "all but one" ablations name.

    Args:
        cfg: The model's config.
        layer: Which block.
        but: Head numbers to leave out.

    Raises:
        ValueError: The model has no such layer, or none of a head that is left out.
    """
    owner = f"layer_heads(layer={shown(layer)}, but={shown(but)})"
    if not isinstance(but, Iterable):
        raise ValueError(f"{owner}: but is a list of head numbers, as in but=[2]")
    left_out = {as_head((layer, head), owner)[1] for head in but}
    check_layer(layer, cfg, owner)
    check_heads([(layer, head) for head in left_out], cfg, owner)
    return [(layer, head) for head in range(cfg.n_heads) if head not in left_out]


def check_layer(layer: int, cfg: HookedTransformerConfig, owner: object) -> None:
    """Refuses a layer that the model does not have.

    Raises:
        ValueError: If there is no such block.
    """
    if not 0 <= layer < cfg.n_layers:
        raise ValueError(
            f"{_named(owner)}: the model has no block {shown(layer)}, its blocks are 0 to "
            f"{cfg.n_layers - 1}"
        )


def check_heads(heads: Iterable[Head], cfg: HookedTransformerConfig, owner: object) -> None:
    """Refuses heads that the model does not have.

    Raises:
        ValueError: If there is no such block or head.
    """
    for layer, head in heads:
        check_layer(layer, cfg, owner)
        if head >= cfg.n_heads:
            raise ValueError(
                f"{_named(owner)}: block {layer} has no head {shown(head)}, its heads are 0 to "
                f"{cfg.n_heads - 1}"
            )


def _named(owner: object) -> str:
    return owner if isinstance(owner, str) else shown(owner)
