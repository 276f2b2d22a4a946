"""Feature banks made small: fewer directions, one byte per number.

Features are projected on the directions that hold most of their energy: the right singular vectors
of the matrix of all drawings, with no mean taken off (a mean that all classes share is part of what
a model trained on them must cope with; features without it are another task). Each direction is
then rounded to 255 levels of its own scale.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int8
from torch import Tensor

from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank
from coopetition_interp.tasks.exemplar_label.features.feature_file_content import content_digest
from coopetition_interp.tasks.exemplar_label.features.safetensors_features import (
    class_columns,
    dequantised,
    save_sealed,
)
from coopetition_interp.tasks.exemplar_label.features.transforms import (
    TRANSFORM_NAMES,
    transformed_class_name,
)

_LEVELS = 127
_CLASSES_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class CompressedFeatures:
    """A bank's features on few directions, in whole numbers.

    Attributes:
        codes: Features divided by their direction's scale, rounded, -127..127.
        scales: What one step of each direction's codes stands for.
        energy_kept: Share of the features' sum of squares that lies in these directions.
        mean_square: Of the dequantised features' entries.
    """

    codes: Int8[Tensor, "n_classes n_exemplars n_directions"]
    scales: Float32[Tensor, " n_directions"]
    energy_kept: float
    mean_square: float


def compress_features(
    features: Float[Tensor, "n_classes n_exemplars d_feature"], n_directions: int
) -> CompressedFeatures:
    """Projects features on their top directions and rounds them.

    Args:
        features: What to compress.
        n_directions: How many directions to keep.

    Raises:
        ValueError: Fewer than one direction, or more than the features have.
    """
    d_feature = features.shape[-1]
    if not 1 <= n_directions <= d_feature:
        raise ValueError(
            f"cannot keep {n_directions} directions of features of length {d_feature}: choose 1 "
            f"to {d_feature}"
        )
    directions, energy_kept = top_directions(features, n_directions)
    projected = torch.cat(
        [block.double() @ directions for block in features.split(_CLASSES_AT_ONCE)]
    )
    scales = (projected.abs().amax(dim=(0, 1)) / _LEVELS).float()
    # A direction with nothing in it has the scale 0, and codes of 0.
    steps = torch.where(scales > 0, scales.double(), 1.0)
    codes = (projected / steps).round().clamp(-_LEVELS, _LEVELS).to(torch.int8)
    mean_square = float(dequantised(codes, scales).double().square().mean())
    return CompressedFeatures(codes, scales, energy_kept, mean_square)


def top_directions(
    features: Float[Tensor, "n_classes n_exemplars d_feature"], n_directions: int
) -> tuple[Float64[Tensor, "d_feature n_directions"], float]:
    """The first right singular vectors of all feature vectors, uncentred, and their energy's share.

    The sign of each is that which makes its largest entry positive.
    """
    gram = torch.zeros(features.shape[-1], features.shape[-1], dtype=torch.float64)
    for block in features.split(_CLASSES_AT_ONCE):
        rows = block.flatten(0, 1).double()
        gram += rows.T @ rows
    energies, vectors = torch.linalg.eigh(gram)
    directions = vectors.flip(1)[:, :n_directions]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    energy_kept = float(energies.flip(0)[:n_directions].sum() / energies.sum().clamp(min=1e-300))
    return directions * torch.where(largest < 0, -1.0, 1.0), energy_kept


def save_compressed_feature_file(
    bank: FeatureBank, path: str | Path, n_directions: int, licences: tuple[str, ...] = ()
) -> FeatureBank:
    """Compresses a bank into a safetensors file that `load_feature_file` reads as float32.

    Args:
        bank: Any bank.
        path: Where to; the write is atomic.
        n_directions: How many directions to keep.
        licences: Of what the features were made from, for the provenance.

    Returns:
        The bank as it will be read: features `codes * scales`, the provenance that of the
        compression with the bank's own under "source".

    Raises:
        ValueError: Another suffix than .safetensors, or directions that the bank has not.
        OSError: The file could not be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"compressed features are safetensors: end {path.name!r} in .safetensors")
    compressed = compress_features(bank.features, n_directions)
    read_back = FeatureBank(
        features=dequantised(compressed.codes, compressed.scales),
        class_names=bank.class_names,
        class_group=bank.class_group,
        provenance={
            "kind": "compressed_features",
            "method": f"top {n_directions} of {bank.d_feature} uncentred right singular "
            "directions, int8 with one scale per direction",
            "energy_kept": compressed.energy_kept,
            "mean_square": compressed.mean_square,
            "licences": list(licences),
            "source": bank.provenance,
        },
        class_transform=bank.class_transform,
    )
    tensors = {"codes": compressed.codes, "scales": compressed.scales, **class_columns(bank)}
    metadata = {"provenance": json.dumps(read_back.provenance)}
    characters, class_character = _characters(bank)
    if class_character is None:
        metadata["class_names"] = json.dumps(bank.class_names)
    else:
        metadata["characters"] = json.dumps(characters)
        tensors["class_character"] = class_character
    with atomic_file(path) as temporary:
        save_sealed(tensors, metadata, content_digest(read_back), temporary)
    return read_back


def _characters(bank: FeatureBank) -> tuple[list[str], Tensor | None]:
    """Names without their transforms and which is each class's, if names are made so."""
    if bank.class_transform is None:
        return [], None
    names: dict[str, int] = {}
    index = []
    for name, transform in zip(bank.class_names, bank.class_transform.tolist(), strict=True):
        if not 0 <= transform < len(TRANSFORM_NAMES):
            return [], None
        character = name.removesuffix(f" {TRANSFORM_NAMES[transform]}")
        if transformed_class_name(character, transform) != name:
            return [], None
        index.append(names.setdefault(character, len(names)))
    return list(names), torch.from_numpy(np.array(index, dtype=np.int32))
