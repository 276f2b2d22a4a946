"""Where a run's features come from, as data: what a saved run config holds and reads back."""

import dataclasses
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from coopetition_interp.data.embedded_omniglot import EmbeddedOmniglot
from coopetition_interp.data.feature_bank import FeatureBank
from coopetition_interp.data.feature_file import FeatureFile
from coopetition_interp.data.gaussian import GaussianFeatures
from coopetition_interp.data.omniglot import OmniglotFeatures
from coopetition_interp.data.one_hot import OneHotFeatures

FeatureSource = (
    GaussianFeatures | OneHotFeatures | FeatureFile | OmniglotFeatures | EmbeddedOmniglot
)
"""A description of features that can be saved as JSON and loaded as a bank."""

FEATURE_SOURCES: dict[str, type[FeatureSource]] = {
    "gaussian": GaussianFeatures,
    "one_hot": OneHotFeatures,
    "feature_file": FeatureFile,
    "omniglot": OmniglotFeatures,
    "embedded_omniglot": EmbeddedOmniglot,
}


def build_bank(source: FeatureSource) -> FeatureBank:
    """Loads, draws or encodes the bank that a source describes.

    Args:
        source: One of the dataclasses of `FEATURE_SOURCES`.

    Returns:
        The bank.

    Raises:
        ValueError: The source's options contradict each other or its data.
        FileNotFoundError: A file it names is not there.
    """
    return source.load()


def feature_source_to_dict(source: FeatureSource) -> dict[str, Any]:
    """A source as a dictionary of JSON's types, its class told by the key "kind"."""
    kinds = {source_class: kind for kind, source_class in FEATURE_SOURCES.items()}
    return {"kind": kinds[type(source)], **dataclasses.asdict(source)}


def feature_source_from_dict(description: Mapping[str, Any]) -> FeatureSource:
    """The source that `feature_source_to_dict` described; left-out fields take their defaults.

    Args:
        description: "kind" and that source's fields.

    Returns:
        The source; nothing is loaded yet.

    Raises:
        ValueError: Unknown kind or field, a missing field, or a value of another type.
    """
    fields = dict(description)
    kind = fields.pop("kind", None)
    if kind not in FEATURE_SOURCES:
        known = ", ".join(FEATURE_SOURCES)
        raise ValueError(f"unknown kind of features {kind!r}: choose one of {known}")
    source_class = FEATURE_SOURCES[kind]
    known_fields = {field.name: field for field in dataclasses.fields(source_class)}
    for name in fields:
        if name not in known_fields:
            raise ValueError(
                f"{kind} features have no field {name!r}: choose from {', '.join(known_fields)}"
            )
    for name, field in known_fields.items():
        if name not in fields and field.default is dataclasses.MISSING:
            raise ValueError(f"{kind} features need the field {name!r}")
    types = get_type_hints(source_class)
    for name, value in fields.items():
        if not _is_of_type(value, types[name]):
            raise ValueError(f"the field {name!r} of {kind} features cannot be {value!r}")
        if types[name] is float:
            fields[name] = float(value)
    return source_class(**fields)


def _is_of_type(value: Any, annotation: Any) -> bool:
    """Whether a value read from JSON fits a field; a whole number also fits a float."""
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_of_type(value, option) for option in get_args(annotation))
    if annotation is float:
        return type(value) in (int, float)
    return type(value) is annotation  # not isinstance(): True is no number
