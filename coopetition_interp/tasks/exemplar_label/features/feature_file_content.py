"""What a feature file holds, in whatever format, and how that becomes a bank or is refused."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from coopetition_interp.files.hdf5_reading.header import UnusableDataError
from coopetition_interp.tasks.exemplar_label.features.feature_bank import (
    FeatureBank,
    check_one_per_class,
)
from coopetition_interp.tasks.exemplar_label.features.feature_check import check_features
from coopetition_interp.tasks.exemplar_label.features.transforms import (
    TRANSFORM_NAMES,
    transformed_class_name,
)

FEATURE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass
class FeatureFileContent:
    """What was read, before it is checked and put together.

    Attributes:
        features: [n_classes, n_exemplars, d_feature].
        dataset: Where in the file they were.
        class_names: One text per class.
        characters: Names that `class_character` points into.
        class_character: One integer per class.
        class_group: One integer per class.
        class_transform: One integer per class.
        provenance: As it was saved, in JSON.
        digests: `content_digest` of the bank that was saved, in both places where the file keeps
            it. None where there is none: files from elsewhere, and those of earlier versions.
        attributes: Notes of a file from elsewhere, in JSON's types.
    """

    features: Tensor
    dataset: str
    class_names: Any = None
    characters: Any = None
    class_character: Any = None
    class_group: Any = None
    class_transform: Any = None
    provenance: str | None = None
    digests: tuple[str | None, str | None] = (None, None)
    attributes: dict[str, Any] = field(default_factory=dict)


def content_digest(bank: FeatureBank) -> str:
    """SHA-256 over all that a feature file keeps of a bank."""
    transform = None if bank.class_transform is None else bank.class_transform.tolist()
    notes = json.dumps([bank.class_names, transform, bank.provenance])
    notes = json.dumps(json.loads(notes), sort_keys=True)  # as it will be read: keys are texts
    return hashlib.sha256(f"{bank.digest()} {notes}".encode()).hexdigest()


def bank_of(content: FeatureFileContent, path: Path, classes_per_group: int) -> FeatureBank:
    """Puts a bank together.

    Args:
        content: What was read.
        path: The file, for the provenance of one from elsewhere.
        classes_per_group: Neighbouring classes that belong together, where the file has no groups.

    Raises:
        UnusableDataError: The content makes no bank, or is not what its digest was made from.
        ValueError: The same, of the features themselves.
    """
    _check_dtype_and_values(content.features)
    n_classes = len(content.features)
    class_names = None if content.class_names is None else _texts("names", content.class_names)
    character = _indices("class_character", content.class_character)
    group = _indices("class_group", content.class_group)
    transform = _indices("class_transform", content.class_transform)
    check_one_per_class(
        n_classes,
        class_names=class_names,
        class_character=character,
        class_group=group,
        class_transform=transform,
    )
    if character is not None:
        group = character if group is None else group
        if class_names is None and content.characters is not None:
            characters = _texts("characters", content.characters)
            class_names = _transformed_names(characters, character, transform)
    if group is not None and classes_per_group != 1:
        raise ValueError("the file has its own class groups: leave classes_per_group at 1")
    if group is None:
        if classes_per_group < 1 or n_classes % classes_per_group:
            raise ValueError(
                f"{n_classes} classes do not fall into groups of {classes_per_group}: "
                "choose classes_per_group so that they do"
            )
        group = np.arange(n_classes) // classes_per_group
    bank = FeatureBank(
        features=content.features,
        class_names=tuple(class_names or ()),
        class_group=group,
        provenance=_provenance(content, path),
        class_transform=transform,
    )
    if content.digests != (None, None):
        digest = content_digest(bank)
        if content.digests != (digest, digest):
            raise UnusableDataError(
                "is not what was written: its content_sha256 is of other content. It was damaged "
                "or edited since: make or copy it again"
            )
    return bank


def _check_dtype_and_values(features: Tensor) -> None:
    if features.is_floating_point() and features.dtype not in FEATURE_DTYPES:
        raise ValueError(f"features are {features.dtype}: convert them to float16 or float32")
    check_features(features)


def _provenance(content: FeatureFileContent, path: Path) -> dict[str, Any]:
    if content.provenance is None:
        return {
            "kind": "feature_file",
            "file": path.name,
            "sha256": _sha256(path),
            "dataset": content.dataset,
            "attributes": content.attributes,
        }
    provenance = parsed_json("provenance", content.provenance)
    if not isinstance(provenance, dict):
        raise UnusableDataError(
            f"has a provenance that is no JSON object ({content.provenance[:40]!r}): mend or "
            "delete it"
        )
    return provenance


def parsed_json(what: str, text: str) -> Any:
    """Reads JSON that a file holds.

    Raises:
        UnusableDataError: It is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableDataError(
            f"has a {what} that is no JSON ({error}): mend or delete it"
        ) from error


def _texts(what: str, entries: Any) -> list[str]:
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise UnusableDataError(f"has {what} that are no list of texts: mend or delete them")
    return entries


def _transformed_names(
    characters: list[str],
    class_character: Int64[np.ndarray, " n_classes"],
    class_transform: Int64[np.ndarray, " n_classes"] | None,
) -> list[str]:
    if class_transform is None:
        class_transform = np.zeros(len(class_character), dtype=np.int64)
    for what, index, count in [
        ("class_character", class_character, len(characters)),
        ("class_transform", class_transform, len(TRANSFORM_NAMES)),
    ]:
        if len(index) and not 0 <= index.min() <= index.max() < count:
            raise ValueError(f"{what} points outside its {count} entries: mend the file")
    return [
        transformed_class_name(characters[character], int(transform))
        for character, transform in zip(class_character, class_transform, strict=True)
    ]


def _indices(what: str, entries: Any) -> Int64[np.ndarray, " n_classes"] | None:
    if entries is None:
        return None
    array = np.asarray(entries)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise UnusableDataError(
            f"has a {what} that is {array.dtype} of shape {array.shape}; it must be one integer "
            "per class: mend or leave it out"
        )
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise UnusableDataError(f"has a {what} with numbers beyond 64 bits: mend or leave it out")
    return array.astype(np.int64)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
