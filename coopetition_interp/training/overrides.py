"""`field=value` overrides on top of a config, and a config's fields listed to be overridden."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from coopetition_interp.config_class import ConfigError, shortened


def override(data: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """`data` with `dotted.field=value` assignments applied; values are JSON, or else text.

    Raises:
        ConfigError: An assignment has no "=", is nested too deeply, goes through a field that has
            no fields, or is of a field that is given twice.
    """
    result = json.loads(json.dumps(data))
    given: set[str] = set()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(f"an override reads field=value; got {shortened(assignment)}")
        if name in given:
            raise ConfigError(f"{shortened(name)[1:-1]} is given twice: leave one out")
        given.add(name)
        *groups, last = name.split(".")
        group = result
        for key in groups:
            if key not in group:
                raise _unknown(name, group)
            group = group[key]
            if isinstance(group, list):
                raise ConfigError(f"{name}: {key} is a list: give it whole, as JSON")
            if not isinstance(group, dict):
                raise ConfigError(f"{name}: {key} is a single value, it has no fields")
        if last not in group:
            raise _unknown(name, group)
        group[last] = _read(name, text)
    return result


def _read(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply: {shortened(text)}") from None
    except ValueError:  # no JSON, or an integer of thousands of digits
        return text


def _unknown(name: str, group: Mapping[str, Any]) -> ConfigError:
    known = ", ".join(group)
    return ConfigError(f"unknown field {shortened(name)[1:-1]}: choose from {known}")


def dotted_fields(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every single value of a nested dictionary by its dotted name, in JSON."""
    fields: list[tuple[str, str]] = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            fields += dotted_fields(value, f"{prefix}{name}.")
        else:
            fields.append((prefix + name, json.dumps(value)))
    return fields
