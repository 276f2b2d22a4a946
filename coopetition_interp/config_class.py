"""Config classes: frozen pydantic dataclasses that tell what is wrong in one line."""

from __future__ import annotations

import dataclasses
import functools
import numbers
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pydantic
from pydantic import AllowInfNan, BeforeValidator, Field, Strict
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from typing_extensions import dataclass_transform

from coopetition_interp.one_line import one_line

LONGEST_REASON = 450

ADDED_LATER = {"added later": True}
"""Metadata of a field that configs saved before it was there lack. While it is at its default,
`to_dict` leaves it out, so that those configs, and what is kept by them, stay as they were."""


class ConfigError(ValueError):
    """A configuration names an unknown field, or gives one a value it cannot have."""


def _whole_number(value: Any) -> Any:
    """2e6 and numpy's integers as integers; anything else as it is."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _real_number(value: Any) -> Any:
    """Numpy's numbers as floats; anything else as it is."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool | int)
    return float(value) if is_number else value


Integer = Annotated[int, BeforeValidator(_whole_number), Strict()]
Number = Annotated[float, BeforeValidator(_real_number), Strict(), AllowInfNan(False)]
Flag = Annotated[bool, Strict()]
Text = Annotated[
    str, Strict(), Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")
]
"""A name or a path: not empty, no control characters."""
PathText = Annotated[
    Text,
    BeforeValidator(lambda value: os.fspath(value) if isinstance(value, os.PathLike) else value),
]
"""A path, which may be given as a `pathlib.Path`."""
Count = Annotated[Integer, Field(ge=1, le=10**9)]
SequenceCount = Annotated[Integer, Field(ge=0, le=10**12)]
"""So many sequences seen; from 0, the start of a run."""
Seed = Annotated[Integer, Field(ge=0, le=10**18)]

C = TypeVar("C", bound="Config")


class Config:
    """What all config classes can do."""

    def replace(self: C, **changes: Any) -> C:
        """A copy with these fields changed, a nested one given as a dictionary of its changes.

        Raises:
            ConfigError: An unknown field, or a value it cannot have.
        """
        return type(self).from_dict(_changed(self, changes))

    def to_dict(self, whole: bool = False) -> dict[str, Any]:
        """The config in JSON's types.

        Args:
            whole: Also the fields of `ADDED_LATER` that are at their default.
        """
        data = pydantic.TypeAdapter(type(self)).dump_python(self, mode="json")
        if not whole:
            _leave_out_defaults(self, data)
        return data

    @classmethod
    def from_dict(cls: type[C], data: Mapping[str, Any]) -> C:
        """The config that `to_dict` wrote; fields left out take their defaults.

        Raises:
            ConfigError: Unknown or missing field, or a value it cannot have.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"a config must be a group of fields; got {shortened(data)}")
        try:
            return pydantic.TypeAdapter(cls).validate_python(dict(data))
        except pydantic.ValidationError as error:
            raise ConfigError(told_in_one_line(error, cls)) from None


def _leave_out_defaults(value: Any, data: Any) -> None:
    """Takes the fields of `ADDED_LATER` that are at their default out of what was dumped."""
    if isinstance(value, tuple):
        for item, dumped in zip(value, data, strict=True):
            _leave_out_defaults(item, dumped)
    if not isinstance(value, Config):
        return
    for each in dataclasses.fields(value):  # type: ignore[arg-type]
        inner = getattr(value, each.name)
        if each.metadata == ADDED_LATER and inner == each.default:
            del data[each.name]
        else:
            _leave_out_defaults(inner, data[each.name])


def _changed(config: Config, changes: Mapping[str, Any]) -> dict[str, Any]:
    fields = dataclasses.fields(config)  # type: ignore[arg-type]
    values = {field.name: getattr(config, field.name) for field in fields}
    for name, change in changes.items():
        current = values.get(name)
        if isinstance(change, Mapping) and isinstance(current, Config):
            values[name] = _changed(current, change)
        else:
            values[name] = change
    return values


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def config_class(cls: type[C]) -> type[C]:
    """Makes a subclass of `Config` a frozen, validated dataclass.

    Calling it with a value it cannot have raises a `ConfigError` of one line. A `ValueError` from
    its `__post_init__` becomes one, told with the field it happened in.
    """
    options = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    made: Any = pydantic.dataclasses.dataclass(cls, frozen=True, config=options)
    initialise: Callable[..., None] = made.__init__

    @functools.wraps(initialise)
    def checked(self: Any, *arguments: Any, **fields: Any) -> None:
        try:
            initialise(self, *arguments, **fields)
        except pydantic.ValidationError as error:
            raise ConfigError(told_in_one_line(error, made)) from None

    made.__init__ = checked
    return made


# Errors -------------------------------------------------------------------------------------


def told_in_one_line(error: pydantic.ValidationError, cls: type) -> str:
    """The first mistake that pydantic found in a config of class `cls`, in a user's words."""
    errors = error.errors(include_url=False)
    # A misspelt name explains the field that is missing.
    first = min(errors, key=lambda each: each["type"] != "unexpected_keyword_argument")
    told = _told(first, cls)
    more = len(errors) - 1
    return told if more == 0 else f"{told} (and {more} more)"


def _told(error: ErrorDetails, cls: type) -> str:
    kind, location = error["type"], list(error["loc"])
    if kind.startswith("union_tag"):
        location.append("kind")
    if kind == "unexpected_positional_argument":
        return f"{cls.__name__} takes at most {location[-1]} values in order; got more"
    if kind == "invalid_key":
        kind, location[-1] = "unexpected_keyword_argument", str(location[-1])
    place, owner, annotation = _find(cls, location)
    if kind == "unexpected_keyword_argument":
        place = place if len(place) < 100 else f"{place[:100]}..."
        known = ", ".join(field.name for field in dataclasses.fields(owner))
        return f"unknown field {place}: choose from {known}"
    if kind in ("missing", "union_tag_not_found"):
        return f"{place} is missing and has no default"
    if kind == "value_error":
        told = one_line(error["ctx"]["error"], LONGEST_REASON)
        return f"{place}: {told}" if place else told
    given = error["input"]
    if kind == "union_tag_invalid":
        given = given["kind"] if isinstance(given, Mapping) else given.kind
    return f"{place or 'a config'} must be {in_words(annotation)}; got {shortened(given)}"


def _find(cls: type, location: list[int | str]) -> tuple[str, Any, Any]:
    """Where pydantic's location is: its dotted name, the class it is in, and its annotation."""
    place = ""
    owner: Any = cls
    annotation: Any = cls
    for key in location:
        kind, arguments = get_origin(_bare(annotation)), get_args(_bare(annotation))
        if kind is tuple:
            place, annotation = f"{place}[{key}]", arguments[0]
        elif kind in (Union, UnionType):
            # A feature source: pydantic names the kind on the way to its fields.
            of_kind = {_kinds(option)[0]: option for option in arguments}
            if key == "kind":
                place, annotation = f"{place}.kind", Literal[tuple(of_kind)]
            else:
                owner = annotation = of_kind[str(key)]
        else:
            if dataclasses.is_dataclass(_bare(annotation)):
                owner = _bare(annotation)
            in_order = [field.name for field in dataclasses.fields(owner) if not field.kw_only]
            name = in_order[key] if isinstance(key, int) else key
            place = f"{place}.{name}" if place else name
            annotation = get_type_hints(owner, include_extras=True).get(name)
    return place, owner, annotation


def _kinds(cls: type) -> tuple[str, ...]:
    return get_args(get_type_hints(cls)["kind"])


def _bare(annotation: Any) -> Any:
    """An annotation without its constraints and without its None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        options = [option for option in get_args(annotation) if option is not NoneType]
        return _bare(options[0]) if len(options) == 1 else annotation
    return annotation


def in_words(annotation: Any) -> str:
    """What a field may be, for a user of the command line."""
    limits: list[Any] = []
    if get_origin(annotation) is Annotated:
        annotation, *limits = get_args(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(in_words, arguments)))
    if origin is tuple:
        return f"a list, each item {in_words(arguments[0])}"
    if dataclasses.is_dataclass(annotation):
        return "a group of fields"
    names = {NoneType: "null", int: "an integer", float: "a number", bool: "true or false"}
    known = names.get(annotation, "text")
    if isinstance(annotation, type) and annotation not in (*names, str):
        known = f"a {annotation.__name__}"
    return known + _limits_in_words(limits)


_LIMITS = ("ge", "gt", "le", "lt", "min_length", "max_length")


def _limits_in_words(metadata: Iterable[Any]) -> str:
    limits: dict[str, Any] = {}
    for item in metadata:
        for limit in item.metadata if isinstance(item, FieldInfo) else ():
            limits |= {name: getattr(limit, name) for name in _LIMITS if hasattr(limit, name)}
    if "ge" in limits and "le" in limits:
        return f" from {_figure(limits['ge'])} to {_figure(limits['le'])}"
    if "gt" in limits and "lt" in limits:
        return f" above {_figure(limits['gt'])} and below {_figure(limits['lt'])}"
    if "gt" in limits and "le" in limits:
        return f" above {_figure(limits['gt'])} and at most {_figure(limits['le'])}"
    if "max_length" in limits:
        return f" of {limits['min_length']} to {limits['max_length']} printable characters in UTF-8"
    return ""


def _figure(number: int | float) -> str:
    return f"{number:,}" if 1000 <= number < 10**8 else f"{number:g}"


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def shortened(value: Any) -> str:
    """`repr` of a value of any size, in under 200 characters."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # an integer of thousands of digits
        text = f"a very large {type(value).__name__}"
    return text if len(text) < 200 else f"{text[:120]}..."
