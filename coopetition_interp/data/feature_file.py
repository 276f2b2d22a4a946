"""Feature banks in files: HDF5 (our own, the authors', anyone's) and safetensors.

A bank is written as the tensor `features` [n_classes, n_exemplars, d_feature] with `class_group`,
`class_transform` (if any), class names and provenance; in HDF5 as datasets and an attribute, in
safetensors as tensors and metadata. Files from elsewhere need no more than the features; if they
name Omniglot characters (`character`, `class_character`, `class_transform`), those become names and
groups.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from coopetition_interp.config_class import Config, Count, Text, config_class
from coopetition_interp.data.atomic_file import atomic_file
from coopetition_interp.data.compressed_bank import decompressed
from coopetition_interp.data.feature_bank import FeatureBank, check_features, check_one_per_class
from coopetition_interp.data.transforms import (
    TRANSFORM_NAMES,
    TransformChoice,
    transformed_class_name,
)

# Where features are looked for when no dataset is named; the second is where the coopetition
# paper's authors keep theirs.
DEFAULT_DATASETS = ("features", "resnet18/224/feat")
_HDF5_SUFFIXES = (".h5", ".hdf5")
_SAFETENSORS_SUFFIX = ".safetensors"


class FeatureFileError(ValueError):
    """A feature file that cannot be read as a bank; the message names the file and the mend."""


@config_class
class FeatureFile(Config):
    """Features read from an HDF5 or safetensors file.

    Attributes:
        path: The file.
        dataset: Name of the features inside it; None looks for `DEFAULT_DATASETS`.
        transforms: "unrotated" keeps only classes of transform 0, if the file tells.
        classes_per_group: For files that do not say which classes belong together: so many
            neighbouring classes make a group (8 for the authors' file, where the orientations of
            a character follow each other).
    """

    kind: Literal["feature_file"] = field(default="feature_file", kw_only=True, repr=False)
    path: Text
    dataset: Text | None = None
    transforms: TransformChoice = "all"
    classes_per_group: Count = 1

    def load(self) -> FeatureBank:
        """Reads the bank."""
        bank = load_feature_file(self.path, self.dataset, self.classes_per_group)
        return bank.unrotated() if self.transforms == "unrotated" else bank


@dataclass
class _FileContent:
    """What was read, before it is checked and put together."""

    features: Tensor
    dataset: str
    class_names: list[str] | None = None
    characters: list[str] | None = None
    class_character: np.ndarray | None = None
    class_group: np.ndarray | None = None
    class_transform: np.ndarray | None = None
    provenance: dict[str, Any] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


def load_feature_file(
    path: str | Path, dataset: str | None = None, classes_per_group: int = 1
) -> FeatureBank:
    """Reads a bank from HDF5 or safetensors, in the file's own floating-point dtype.

    Args:
        path: A file that `save_feature_file` wrote, or any other holding an array
            [n_classes, n_exemplars, d_feature].
        dataset: Name of that array; None looks for `DEFAULT_DATASETS`.
        classes_per_group: Neighbouring classes that belong together, where the file has no groups
            of its own.

    Returns:
        The bank. Its provenance is the one saved with it; for files from elsewhere, the file's
        name, SHA-256, dataset and attributes.

    Raises:
        FileNotFoundError: There is no such file.
        FeatureFileError: The file is truncated or corrupt, lacks the dataset, or its contents do
            not make a bank (rank, dtype, NaN, groups).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no feature file {path}: check the path")
    try:
        if path.suffix in _HDF5_SUFFIXES or h5py.is_hdf5(path):
            content = _read_hdf5(path, dataset)
        elif path.suffix == _SAFETENSORS_SUFFIX:
            content = _read_safetensors(path, dataset)
        else:
            raise FeatureFileError(f"{path} is neither HDF5 nor named *{_SAFETENSORS_SUFFIX}")
    except FeatureFileError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise FeatureFileError(
            f"{path} is truncated or corrupt ({error}): make or copy it again"
        ) from error
    try:
        return _bank_of(content, path, classes_per_group)
    except ValueError as error:
        raise FeatureFileError(f"{path}, dataset {content.dataset!r}: {error}") from error


def save_feature_file(bank: FeatureBank, path: str | Path) -> None:
    """Writes a bank so that `load_feature_file` gives an equal one; the write is atomic.

    Args:
        bank: The bank.
        path: Where to; the suffix (.h5, .hdf5 or .safetensors) chooses the format.

    Raises:
        ValueError: Another suffix, or a dtype that HDF5 has not (bfloat16).
        OSError: The file could not be written.
    """
    path = Path(path)
    if path.suffix == _SAFETENSORS_SUFFIX:
        write = _write_safetensors
    elif path.suffix in _HDF5_SUFFIXES:
        write = _write_hdf5
        if bank.features.dtype == torch.bfloat16:
            raise ValueError(f"HDF5 has no bfloat16: save {path.stem} as *{_SAFETENSORS_SUFFIX}")
    else:
        known = ", ".join((*_HDF5_SUFFIXES, _SAFETENSORS_SUFFIX))
        raise ValueError(
            f"cannot tell a feature file's format from {path.name!r}: end it in {known}"
        )
    with atomic_file(path) as temporary:
        try:
            write(bank, temporary)
        except (RuntimeError, safetensors.SafetensorError) as error:
            raise OSError(str(error)) from error  # how both libraries report a full disk


def _bank_of(content: _FileContent, path: Path, classes_per_group: int) -> FeatureBank:
    check_features(content.features)
    n_classes = len(content.features)
    check_one_per_class(
        n_classes,
        class_names=content.class_names,
        class_character=content.class_character,
        class_group=content.class_group,
        class_transform=content.class_transform,
    )
    group, names = content.class_group, content.class_names
    if content.class_character is not None:
        group = content.class_character if group is None else group
        if names is None and content.characters is not None:
            names = _transformed_names(
                content.characters, content.class_character, content.class_transform
            )
    if group is not None and classes_per_group != 1:
        raise ValueError("the file has its own class groups: leave classes_per_group at 1")
    if group is None:
        if classes_per_group < 1 or n_classes % classes_per_group:
            raise ValueError(
                f"{n_classes} classes do not fall into groups of {classes_per_group}: "
                "choose classes_per_group so that they do"
            )
        group = np.arange(n_classes) // classes_per_group
    provenance = content.provenance
    if provenance is None:
        provenance = {
            "kind": "feature_file",
            "file": path.name,
            "sha256": _sha256(path),
            "dataset": content.dataset,
            "attributes": content.attributes,
        }
    transform = content.class_transform
    return FeatureBank(
        features=content.features,
        class_names=tuple(names or ()),
        class_group=_as_indices(group),
        provenance=provenance,
        class_transform=None if transform is None else _as_indices(transform),
    )


def _transformed_names(
    characters: list[str], class_character: np.ndarray, class_transform: np.ndarray | None
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


def _as_indices(array: np.ndarray) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            "class groups and transforms must be one integer per class, "
            f"got {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.int64)


def _find_dataset(path: Path, dataset: str | None, available: dict[str, tuple[int, ...]]) -> str:
    """The dataset to read: the one asked for, or the first default that the file has."""
    candidates = DEFAULT_DATASETS if dataset is None else (dataset.strip("/"),)
    for name in candidates:
        if name in available:
            return name
    listing = ", ".join(f"{name} {shape}" for name, shape in available.items()) or "none"
    wanted = " or ".join(repr(name) for name in candidates)
    raise FeatureFileError(
        f"{path} has no dataset {wanted}; it holds: {listing}. Name one of these as the dataset"
    )


def _read_hdf5(path: Path, dataset: str | None) -> _FileContent:
    with h5py.File(path, "r") as file:
        available: dict[str, tuple[int, ...]] = {}

        def note_dataset(name: str, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset):
                available[name] = item.shape

        file.visititems(note_dataset)
        name = _find_dataset(path, dataset, available)
        data = file[name]
        if data.dtype.kind != "f" or data.dtype.itemsize > 8:
            raise FeatureFileError(
                f"{path}, dataset {name!r}: features must be float16, float32 or float64, "
                f"got {data.dtype}: convert them, or name another dataset"
            )
        features = np.empty(data.shape, dtype=data.dtype.newbyteorder("="))
        if data.size:
            data.read_direct(features)
        beside = data.parent

        def read(key: str) -> Any:
            if not isinstance(beside.get(key), h5py.Dataset):
                return None
            column = beside[key]
            if h5py.check_string_dtype(column.dtype):
                return [str(text) for text in column.asstr()[()]]
            return column[()]

        attributes = {**file.attrs, **data.attrs}
        saved_provenance = file.attrs.get("provenance")
        return _FileContent(
            features=torch.from_numpy(features),
            dataset=name,
            class_names=read("class_name"),
            characters=read("character"),
            class_character=read("class_character"),
            class_group=read("class_group"),
            class_transform=read("class_transform"),
            provenance=None if saved_provenance is None else json.loads(saved_provenance),
            attributes={key: _plain(value) for key, value in attributes.items()},
        )


def _write_hdf5(bank: FeatureBank, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=bank.features.contiguous().numpy())
        file.create_dataset("class_group", data=bank.class_group)
        if bank.class_transform is not None:
            file.create_dataset("class_transform", data=bank.class_transform)
        file.create_dataset("class_name", data=list(bank.class_names), dtype=h5py.string_dtype())
        file.attrs["provenance"] = json.dumps(bank.provenance)


def _read_safetensors(path: Path, dataset: str | None) -> _FileContent:
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        available = {key: tuple(file.get_slice(key).get_shape()) for key in sorted(file.keys())}
        compressed = dataset is None and {"codes", "scales"} <= available.keys()
        name = "codes" if compressed else _find_dataset(path, dataset, available)

        def read(key: str) -> np.ndarray | None:
            return file.get_tensor(key).numpy() if key in available else None

        names = metadata.get("class_names")
        provenance = metadata.get("provenance")
        return _FileContent(
            features=decompressed(file.get_tensor("codes"), file.get_tensor("scales"))
            if compressed
            else file.get_tensor(name),
            dataset=name,
            class_names=None if names is None else json.loads(names),
            class_group=read("class_group"),
            class_transform=read("class_transform"),
            provenance=None if provenance is None else json.loads(provenance),
            attributes=dict(metadata),
        )


def _write_safetensors(bank: FeatureBank, path: Path) -> None:
    tensors = {
        "features": bank.features.contiguous(),
        "class_group": torch.from_numpy(bank.class_group),
    }
    if bank.class_transform is not None:
        tensors["class_transform"] = torch.from_numpy(bank.class_transform)
    metadata = {
        "class_names": json.dumps(bank.class_names),
        "provenance": json.dumps(bank.provenance),
    }
    save_file(tensors, path, metadata)


def _plain(value: Any) -> Any:
    """An HDF5 attribute in JSON's types."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool) else str(value)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
