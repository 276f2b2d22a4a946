"""Clamps as JSON's types, for a run's saved config, and as text, for the command line."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import warnings
from collections.abc import Mapping
from shlex import quote
from typing import Any

from coopetition_interp.interventions.clamp import Clamp, check_is_clamp, full_name, known_clamps
from coopetition_interp.interventions.fields import shown
from coopetition_interp.interventions.grafts import GraftIn, GraftOut
from coopetition_interp.one_line import clipped

LONGEST_TEXT = 10_000
DEEPEST_NESTING = 20
_EXAMPLE = 'write a clamp as in "AblateHeads(heads=[(0, 2)])"'
NOT_KNOWN_HERE = "is not known here"
"""In the error of a clamp whose module is to be imported first: nothing is wrong with the file."""
_OWN_PACKAGE = __name__.partition(".")[0]


def clamp_to_dict(clamp: Clamp) -> dict[str, Any]:
    """A clamp in JSON's types, its class told by the keys "kind" and "module".

    Raises:
        TypeError: If it is no clamp.
        ValueError: If a field cannot be saved, or would come back as something else.
    """
    saved = _to_dict(clamp)
    came_back = _to_dict(clamp_from_dict(json.loads(json.dumps(saved))))
    for name, value in saved.items():
        if json.dumps(came_back[name]) != json.dumps(value):
            raise ValueError(
                f"{shown(clamp)} cannot be saved: its {name} {shown(value)} would come back from "
                f"JSON as {shown(came_back[name])}"
            )
    return saved


def clamp_from_dict(data: Mapping[str, Any]) -> Clamp:
    """The clamp that `clamp_to_dict` wrote; fields left out take their defaults.

    Clamps are known once their module is imported. Nothing is imported here.

    Raises:
        ValueError: Unknown kind or field, a missing field, or a value it cannot have.
    """
    return _from_dict(data, 0)


def parse_clamp(text: str) -> Clamp:
    """The clamp that a text such as "AblateHeads(heads=[(0, 2)])" describes.

    Only names of clamps and literal values are understood: nothing is executed. `str(clamp)` is
    such a text.

    Args:
        text: A clamp's name, and in parentheses its fields, by name or in order; a field may be a
            clamp itself. A name alone will do where every field has a default.

    Raises:
        ValueError: If the text is no such description, or a value cannot be.
    """
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise ValueError(
            f"{shown(text)} is not a clamp: it is a text of at most {LONGEST_TEXT} characters"
        )
    wrong = ValueError(f"{shown(text)} is not a clamp: {_EXAMPLE}")
    try:
        with warnings.catch_warnings():  # Python warns of what an error is raised for anyway
            warnings.simplefilter("ignore", SyntaxWarning)
            call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Name | ast.Call):
            raise wrong
        return _from_syntax(call, text)
    except (SyntaxError, RecursionError, MemoryError):
        raise wrong from None


def _to_dict(clamp: Clamp) -> dict[str, Any]:
    check_is_clamp(clamp)
    if isinstance(clamp, GraftIn | GraftOut) and not isinstance(clamp.checkpoint, str):
        raise ValueError(
            f"{shown(clamp)} cannot be saved: write its model's state_dict() to a safetensors "
            "file and graft from that path"
        )
    kind = type(clamp)
    fields = [each.name for each in dataclasses.fields(clamp) if each.init]  # type: ignore[arg-type]
    values = {name: _plain(getattr(clamp, name), name, clamp) for name in fields}
    return {"kind": kind.__name__, "module": kind.__module__, **values}


def _plain(value: Any, name: str, clamp: Clamp) -> Any:
    """A field in JSON's types: tuples as lists, clamps as dictionaries, all the way down."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{shown(clamp)}: its field {name} must be a finite number")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [_plain(item, name, clamp) for item in value]
    if isinstance(value, Clamp):
        return _to_dict(value)
    raise ValueError(
        f"{shown(clamp)} cannot be saved: its field {name} holds a {type(value).__name__}; what is "
        "saved is a number, text, True, False, None, a clamp, or a tuple of these"
    )


def _from_dict(data: Any, depth: int) -> Clamp:
    if not isinstance(data, Mapping) or "kind" not in data:
        raise ValueError(f'a clamp is saved as {{"kind": ..., and its fields}}; got {shown(data)}')
    fields = {
        name: _from_plain(value, depth + 1)
        for name, value in data.items()
        if name not in ("kind", "module")
    }
    return _build(_class_of(data["kind"], data.get("module")), fields)


def _from_plain(value: Any, depth: int) -> Any:
    """A saved field: lists as tuples, dictionaries that name a kind as clamps."""
    if depth > DEEPEST_NESTING:
        raise ValueError(f"a clamp's fields are nested more than {DEEPEST_NESTING} deep")
    if isinstance(value, list | tuple):
        return tuple(_from_plain(item, depth + 1) for item in value)
    if isinstance(value, Mapping) and "kind" in value:
        return _from_dict(value, depth)
    return value


def _from_syntax(call: ast.Name | ast.Call, text: str) -> Clamp:
    """The clamp that a parsed text describes."""
    function = call.func if isinstance(call, ast.Call) else call
    if not isinstance(function, ast.Name):
        raise ValueError(f"{shown(text)} is not a clamp: {_EXAMPLE}")
    kind = _class_of(function.id)
    if isinstance(call, ast.Name):
        return _build(kind, {})
    values = [_value(argument, text) for argument in call.args]
    named = {str(k.arg): _value(k.value, text) for k in call.keywords if k.arg}
    names = [each.name for each in dataclasses.fields(kind) if each.init]  # type: ignore[arg-type]
    in_order = dict(zip(names, values, strict=False))
    if len(values) > len(names) or len(named) < len(call.keywords) or in_order.keys() & named:
        raise ValueError(
            f"{shown(text)}: the fields of {kind.__name__} are {', '.join(names) or 'none'}, once "
            "each"
        )
    return _build(kind, {**in_order, **named})


def _value(node: ast.expr, text: str) -> Any:
    """A field's value: a literal, a clamp, or several of either."""
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_value(item, text) for item in node.elts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _from_syntax(node, text)
    if isinstance(node, ast.Name) and node.id in known_clamps():
        return _from_syntax(node, text)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{shown(text)}: the fields of a clamp are clamps and literal numbers, texts, lists "
            "and tuples"
        ) from error


def _class_of(kind: object, module: object = None) -> type[Clamp]:
    """The clamp of a name, and of a module where the saved clamp names one.

    Raises:
        ValueError: If it is not known, saying how it becomes so.
    """
    known = known_clamps()
    cls = known.get(kind) if isinstance(kind, str) else None
    saved_as = f"{clipped(str(module))}.{clipped(str(kind))}"
    if cls is None:
        if isinstance(module, str) and not is_of_this_package(module):
            raise ValueError(
                f"the clamp {saved_as} {NOT_KNOWN_HERE}: "
                + (
                    "it was defined in a script or notebook; run its definition first"
                    if was_run_as_script(module)
                    else f"`import {clipped(module)}` first, on the command line by `--import "
                    f"{quote(clipped(module))}` (nothing is imported because a file says so)"
                )
            )
        raise ValueError(
            f"there is no clamp {shown(kind)}: choose from {clipped(', '.join(known), 320)}, or "
            "import the module that defines it (on the command line by `--import`)"
        )
    if module is not None and not _same_module(module, cls.__module__):
        raise ValueError(
            f"the clamp was saved as {saved_as}, but the {cls.__name__} known here is "
            f"{full_name(cls)}: import the first instead, or, if it has moved, name the new "
            "module where it is saved"
        )
    return cls


def _same_module(saved: object, own: str) -> bool:
    """Whether a saved module is a class's own; this package and scripts may move theirs."""
    if not isinstance(saved, str):
        return False
    both_ours = is_of_this_package(saved) and is_of_this_package(own)
    return saved == own or both_ours or was_run_as_script(saved)


def is_of_this_package(module: str) -> bool:
    """Whether a module comes with the toolkit."""
    return module.partition(".")[0] == _OWN_PACKAGE


def was_run_as_script(module: str) -> bool:
    """Whether a module is the script or notebook itself, which nobody can import."""
    return module in ("__main__", "__mp_main__")  # the second in a process started from a script


def _build(cls: type[Clamp], values: Mapping[str, Any]) -> Clamp:
    """A clamp from its class and fields."""
    fields = {each.name: each for each in dataclasses.fields(cls) if each.init}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise ValueError(
                f"{cls.__name__} has no field {shown(name)}; its fields: {clipped(known)}"
            )
    for name, field in fields.items():
        missing = dataclasses.MISSING
        if field.default is missing and field.default_factory is missing and name not in values:
            raise ValueError(f"{cls.__name__} needs the field {name!r}")
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"{cls.__name__}: {clipped(str(error), 300)}") from error
