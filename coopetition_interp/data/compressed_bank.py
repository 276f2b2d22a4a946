"""Feature banks in a few megabytes: the top singular directions of the features, in 8 bits.

The directions are those of the features as they are, NOT centred: taking off the mean makes another
task of it (in-context learning then comes at CIWL's expense). The file is safetensors: `codes`
[n_classes, n_exemplars, n_directions] in int8, `scales` [n_directions] in float32, whose product
are the features; `class_group`, `class_transform`, `class_character`; names and provenance as text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int8
from safetensors.torch import save_file
from torch import Tensor

from coopetition_interp.data.atomic_file import atomic_file
from coopetition_interp.data.feature_bank import FeatureBank

LARGEST_CODE = 127
_ROWS_AT_A_TIME = 50_000


@dataclass(frozen=True, eq=False)
class CompressedFeatures:
    """Features on their top singular directions, in 8 bits each.

    Attributes:
        codes: Rounded coordinates.
        scales: What a code of 1 stands for, by direction.
        energy: Share of the features' sum of squares that the directions hold.
    """

    codes: Int8[Tensor, "n_classes n_exemplars n_directions"]
    scales: Float32[Tensor, " n_directions"]
    energy: float

    @property
    def features(self) -> Float32[Tensor, "n_classes n_exemplars n_directions"]:
        """The features again, up to rounding."""
        return decompressed(self.codes, self.scales)


def decompressed(
    codes: Int8[Tensor, "n_classes n_exemplars n_directions"],
    scales: Float32[Tensor, " n_directions"],
) -> Float32[Tensor, "n_classes n_exemplars n_directions"]:
    """Features from their codes."""
    return codes * scales


def compress(
    features: Float[Tensor, "n_classes n_exemplars d_feature"], n_directions: int
) -> CompressedFeatures:
    """Projects features on their top singular directions and rounds each to 8 bits.

    A direction's sign is that of its largest entry, so that the same features give the same codes.

    Args:
        features: The features.
        n_directions: How many directions are kept.

    Raises:
        ValueError: More directions than the features have, or fewer than 1.
    """
    d_feature = features.shape[-1]
    if not 1 <= n_directions <= d_feature:
        raise ValueError(
            f"cannot keep {n_directions} directions of features of {d_feature}: choose 1 to "
            f"{d_feature}"
        )
    rows = features.reshape(-1, d_feature)
    gram = sum(part.double().T @ part.double() for part in rows.split(_ROWS_AT_A_TIME))
    squares, directions = torch.linalg.eigh(gram)  # ascending
    kept: Float64[Tensor, "d_feature n_directions"] = directions.flip(1)[:, :n_directions]
    largest = kept.abs().argmax(dim=0)
    kept = kept * torch.sign(kept[largest, torch.arange(n_directions)])
    projected = torch.cat([part.double() @ kept for part in rows.split(_ROWS_AT_A_TIME)])
    scales = (projected.abs().amax(dim=0) / LARGEST_CODE).float()
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    codes = (projected / scales).round().to(torch.int8)
    return CompressedFeatures(
        codes.reshape(*features.shape[:2], n_directions),
        scales,
        float(squares.flip(0)[:n_directions].sum() / squares.sum()),
    )


def save_compressed_bank(
    bank: FeatureBank, path: str | Path, n_directions: int, licences: str = ""
) -> CompressedFeatures:
    """Writes a compressed copy of a bank, which `load_feature_file` reads as a bank.

    Args:
        bank: The bank.
        path: Where to; must end in .safetensors.
        n_directions: How many directions are kept.
        licences: Of what the features were made from, kept in the file.

    Returns:
        What was written.

    Raises:
        ValueError: Another suffix, or see `compress`.
        OSError: The file could not be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"a compressed bank is a safetensors file: end {path.name!r} in that")
    compressed = compress(bank.features, n_directions)
    tensors = {
        "codes": compressed.codes.contiguous(),
        "scales": compressed.scales,
        "class_group": torch.from_numpy(bank.class_group.astype(np.int32)),
    }
    if bank.class_transform is not None:
        tensors["class_transform"] = torch.from_numpy(bank.class_transform.astype(np.int8))
    provenance: dict[str, Any] = {
        "kind": "compressed",
        "of": bank.provenance,
        "n_directions": n_directions,
        "centred": False,
        "share_of_energy": round(compressed.energy, 6),
        "licences": licences,
    }
    metadata = {
        "class_names": json.dumps(list(bank.class_names)),
        "provenance": json.dumps(provenance),
    }
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata)
    return compressed
