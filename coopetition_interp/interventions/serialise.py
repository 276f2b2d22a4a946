"""Clamps as JSON's types, for a run's saved config, and as text, for the command line."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any

from coopetition_interp.interventions.ablations import AblateEmbedding, AblateHeads
from coopetition_interp.interventions.attention_clamps import (
    BlockPreviousToken,
    InductionHeads,
    MatchHeads,
    PreviousTokenHeads,
    SilenceExemplarAttention,
)
from coopetition_interp.interventions.clamp import Clamp
from coopetition_interp.interventions.grafts import GraftIn, GraftOut
from coopetition_interp.interventions.two_pass import (
    CopyFromHead,
    HeadTemperature,
    PerfectLayer0,
    Preserve,
)

CLAMPS: dict[str, type[Clamp]] = {
    kind.__name__: kind
    for kind in (
        PreviousTokenHeads,
        BlockPreviousToken,
        InductionHeads,
        MatchHeads,
        AblateHeads,
        AblateEmbedding,
        SilenceExemplarAttention,
        HeadTemperature,
        CopyFromHead,
        Preserve,
        PerfectLayer0,
        GraftIn,
        GraftOut,
    )
}
"""Every clamp, by the name it is saved and typed under."""


def clamp_to_dict(clamp: Clamp) -> dict[str, Any]:
    """A clamp in JSON's types, its class told by the key "kind".

    Raises:
        ValueError: If the clamp holds a model in memory, which JSON cannot.
    """
    if isinstance(clamp, GraftIn | GraftOut) and not isinstance(clamp.checkpoint, str):
        raise ValueError(
            f"{clamp} cannot be saved: write its model's state_dict() to a safetensors file and "
            "graft from that path"
        )
    fields = {f.name: getattr(clamp, f.name) for f in dataclasses.fields(clamp)}  # type: ignore[arg-type]
    return {"kind": type(clamp).__name__, **{name: _plain(v) for name, v in fields.items()}}


def clamp_from_dict(data: Mapping[str, Any]) -> Clamp:
    """The clamp that `clamp_to_dict` wrote; fields left out take their defaults.

    Raises:
        ValueError: Unknown kind or field, a missing field, or a value it cannot have.
    """
    if not isinstance(data, Mapping) or "kind" not in data:
        raise ValueError(f'a clamp is saved as {{"kind": ..., and its fields}}; got {data!r}')
    return _build(data["kind"], {name: v for name, v in data.items() if name != "kind"})


def parse_clamp(text: str) -> Clamp:
    """The clamp that a text such as "AblateHeads(heads=[(0, 2)])" describes.

    Only names of clamps and literal values are understood: nothing is executed. `str(clamp)` is
    such a text.

    Args:
        text: A clamp's name, and in parentheses its fields, by name or in order. A name alone will
            do where every field has a default.

    Raises:
        ValueError: If the text is no such description, or a value cannot be.
    """
    example = 'write a clamp as in "AblateHeads(heads=[(0, 2)])"'
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r} is not a clamp: {example}") from error
    if isinstance(call, ast.Name):
        return _build(call.id, {})
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"{text!r} is not a clamp: {example}")
    kind = call.func.id
    try:
        values = [ast.literal_eval(argument) for argument in call.args]
        named = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if k.arg}
    except ValueError as error:
        raise ValueError(
            f"{text!r}: the fields of a clamp are literal numbers, texts, lists and tuples"
        ) from error
    names = [f.name for f in dataclasses.fields(_class_of(kind))]  # type: ignore[arg-type]
    in_order = dict(zip(names, values, strict=False))
    if len(values) > len(names) or len(named) < len(call.keywords) or in_order.keys() & named:
        raise ValueError(
            f"{text!r}: the fields of {kind} are {', '.join(names) or 'none'}, once each"
        )
    return _build(kind, {**in_order, **named})


def _class_of(kind: object) -> type[Clamp]:
    if not isinstance(kind, str) or kind not in CLAMPS:
        raise ValueError(f"there is no clamp {kind!r}: choose from {', '.join(CLAMPS)}")
    return CLAMPS[kind]


def _build(kind: object, values: Mapping[str, Any]) -> Clamp:
    """A clamp from its name and fields."""
    cls = _class_of(kind)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise ValueError(f"{kind} has no field {name!r}; its fields: {known}")
    for name, field in fields.items():
        if field.default is dataclasses.MISSING and name not in values:
            raise ValueError(f"{kind} needs the field {name!r}")
    return cls(**values)


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down."""
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
