"""Dataclasses to JSON's types and back, strictly, and `field=value` overrides on top."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

Decoder = Callable[[Any], Any]


class ConfigError(ValueError):
    """A configuration names an unknown field, or gives one a value it cannot have."""


def to_plain(value: Any, encoders: Mapping[type, Callable[[Any], Any]] | None = None) -> Any:
    """`value` in JSON's types.

    Args:
        value: A dataclass instance, tuple, list, dict or scalar.
        encoders: For classes that know better how to be written.
    """
    for cls, encode in (encoders or {}).items():
        if isinstance(value, cls):
            return encode(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name), encoders)
            for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple | list):
        return [to_plain(item, encoders) for item in value]
    return value


def from_plain(
    cls: type[T], data: Any, decoders: Mapping[Any, Decoder] | None = None, at: str = ""
) -> T:
    """The dataclass that `to_plain` wrote; fields left out take their defaults.

    Args:
        cls: The dataclass.
        data: A mapping of its fields.
        decoders: For annotations that know better how to be read.
        at: Dotted name of the field being read, for errors.

    Raises:
        ConfigError: Unknown or missing field, or a value of another type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{at or cls.__name__} must be a group of fields; got {data!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    prefix = f"{at}." if at else ""
    for name in data:
        if name not in fields:
            raise ConfigError(f"unknown field {prefix}{name}: choose from {', '.join(fields)}")
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in data:
            raise ConfigError(f"{prefix}{name} is missing and has no default")
    values = {
        name: _decode(hints[name], value, decoders or {}, prefix + name)
        for name, value in data.items()
    }
    try:
        return cls(**values)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{at + ': ' if at else ''}{error}") from error


def _decode(annotation: Any, value: Any, decoders: Mapping[Any, Decoder], at: str) -> Any:
    """`value` as the annotated type."""
    if annotation in decoders:
        try:
            return decoders[annotation](value)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{at}: {error}") from error
    origin, arguments = get_origin(annotation), get_args(annotation)
    wrong = ConfigError(f"{at} must be {describe_type(annotation)}; got {value!r}")
    if origin is Literal:
        if value not in arguments:
            raise wrong
        return value
    if origin in (Union, UnionType):
        for option in arguments:
            try:
                return _decode(option, value, decoders, at)
            except ConfigError:
                continue
        raise wrong
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise wrong
        return tuple(_decode(arguments[0], item, decoders, f"{at}[]") for item in value)
    if dataclasses.is_dataclass(annotation):
        return from_plain(annotation, value, decoders, at)  # type: ignore[arg-type]
    if annotation is NoneType:
        if value is not None:
            raise wrong
        return None
    if annotation is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)  # so that 2e6 is a number of sequences
    if annotation is bool and not isinstance(value, bool):
        raise wrong
    if not isinstance(value, annotation) or (annotation is int and isinstance(value, bool)):
        raise wrong
    return value


def describe_type(annotation: Any) -> str:
    """An annotation in words a user of the command line reads."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if origin in (Union, UnionType):
        return " or ".join(describe_type(argument) for argument in arguments)
    if origin is tuple:
        return f"a list of {describe_type(arguments[0])}"
    return {NoneType: "null", int: "an integer", float: "a number", str: "text"}.get(
        annotation, getattr(annotation, "__name__", str(annotation))
    )


def override(data: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """`data` with `dotted.field=value` assignments applied; values are JSON, or else text.

    Raises:
        ConfigError: An assignment has no "=", or goes through a field that has no fields.
    """
    result = json.loads(json.dumps(data))
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise ConfigError(f"an override reads field=value; got {assignment!r}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        *groups, last = name.strip().split(".")
        group = result
        for key in groups:
            if key not in group:
                raise ConfigError(f"unknown field {name}: choose from {', '.join(group)}")
            group = group[key]
            if not isinstance(group, dict):
                raise ConfigError(f"{name}: {key} is a single value, it has no fields")
        if last not in group:
            raise ConfigError(f"unknown field {name}: choose from {', '.join(group)}")
        group[last] = value
    return result


def dotted_fields(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every single value of a nested dictionary by its dotted name, in JSON."""
    fields: list[tuple[str, str]] = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            fields += dotted_fields(value, f"{prefix}{name}.")
        else:
            fields.append((prefix + name, json.dumps(value)))
    return fields
