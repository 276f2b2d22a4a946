"""Safetensors feature files, whole or compressed."""

import json
from pathlib import Path

import numpy as np
import safetensors
import torch
from jaxtyping import Float32, Int8
from safetensors.torch import save_file
from torch import Tensor

from coopetition_interp.files.hdf5_reading.header import (
    DEFAULT_DATASETS,
    DIGEST,
    MAX_LISTED,
    UnusableDataError,
    check_shape,
    check_size,
    no_such_dataset,
)
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank
from coopetition_interp.tasks.exemplar_label.features.feature_file_content import (
    FeatureFileContent,
    content_digest,
    parsed_json,
)

CODES = "codes"
SCALES = "scales"
_FLOATS = ("F16", "BF16", "F32", "F64")
_INTEGERS = ("I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64")


def read_safetensors(path: Path, dataset: str | None) -> FeatureFileContent:
    """Reads a file; the tensors are copies, so that it may change afterwards.

    Args:
        path: The file.
        dataset: Name of the features; None looks for the default ones.

    Raises:
        UnusableDataError: It holds no features, or in a way that is refused.
        safetensors.SafetensorError: It is damaged.
    """
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        available = {key: file.get_slice(key) for key in sorted(file.keys())}
        shapes = {key: tuple(part.get_shape()) for key, part in available.items()}
        dtypes = {key: part.get_dtype() for key, part in available.items()}
        compressed = dataset is None and CODES in available and SCALES in available
        name = CODES if compressed else _find_features(dataset, shapes)
        allowed = ("I8",) if compressed else _FLOATS
        if dtypes[name] not in allowed:
            raise UnusableDataError(
                f"has an entry {name!r} of type {dtypes[name]}; features must be float16, "
                "bfloat16, float32 or float64: convert them, or name another entry"
            )
        check_shape(name, shapes[name])
        file_bytes = path.stat().st_size
        check_size(name, file_bytes, file_bytes)
        features = file.get_tensor(name).clone()
        if compressed:
            if (dtypes[SCALES], shapes[SCALES]) != ("F32", shapes[CODES][2:]):
                raise UnusableDataError(
                    f"has {SCALES} that are {dtypes[SCALES]} of shape {shapes[SCALES]}; they must "
                    f"be one F32 per direction of {CODES}: compress the features again"
                )
            features = dequantised(features, file.get_tensor(SCALES))

        def integers(key: str) -> np.ndarray | None:
            if key not in available:
                return None
            if dtypes[key] not in _INTEGERS or len(shapes[key]) != 1:
                raise UnusableDataError(
                    f"has a {key} that is {dtypes[key]} of shape {shapes[key]}; it must be one "
                    "integer per class: mend or leave it out"
                )
            return file.get_tensor(key).clone().numpy()

        def parsed(key: str) -> object:
            return parsed_json(key, metadata[key]) if key in metadata else None

        sealed = integers(DIGEST)
        return FeatureFileContent(
            features=features,
            dataset=name,
            class_names=parsed("class_names"),
            characters=parsed("characters"),
            class_character=integers("class_character"),
            class_group=integers("class_group"),
            class_transform=integers("class_transform"),
            provenance=metadata.get("provenance"),
            digests=(metadata.get(DIGEST), None if sealed is None else sealed.tobytes().hex()),
            attributes=dict(metadata),
        )


def _find_features(dataset: str | None, shapes: dict[str, tuple[int, ...]]) -> str:
    candidates = DEFAULT_DATASETS if dataset is None else (dataset.strip("/"),)
    for name in candidates:
        if name in shapes:
            return name
    listed = [f"{name} {shape}" for name, shape in shapes.items()]
    raise UnusableDataError(no_such_dataset(candidates, listed[: MAX_LISTED + 1]))


def dequantised(
    codes: Int8[Tensor, "n_classes n_exemplars n_directions"],
    scales: Float32[Tensor, " n_directions"],
) -> Float32[Tensor, "n_classes n_exemplars n_directions"]:
    """Features of a compressed file. One product each, so the same bits on every machine."""
    return codes.float().mul_(scales)


def write_safetensors(bank: FeatureBank, path: Path) -> None:
    """Writes a bank; its digest among the tensors and in the metadata, as in HDF5 twice."""
    tensors = {"features": bank.features.contiguous(), **class_columns(bank)}
    metadata = {
        "class_names": json.dumps(bank.class_names),
        "provenance": json.dumps(bank.provenance),
    }
    save_sealed(tensors, metadata, content_digest(bank), path)


def class_columns(bank: FeatureBank) -> dict[str, Tensor]:
    """Groups and, if the bank tells them, transforms."""
    columns = {"class_group": torch.from_numpy(bank.class_group)}
    if bank.class_transform is not None:
        columns["class_transform"] = torch.from_numpy(bank.class_transform)
    return columns


def save_sealed(
    tensors: dict[str, Tensor], metadata: dict[str, str], digest: str, path: Path
) -> None:
    """Writes tensors and metadata with the digest of the bank that they make, in both."""
    seal = torch.frombuffer(bytearray.fromhex(digest), dtype=torch.uint8)
    save_file({**tensors, DIGEST: seal}, path, {**metadata, DIGEST: digest})
