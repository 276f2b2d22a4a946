"""The eight fixed transforms that make eight classes of one Omniglot character.

Transform t rotates by 90 * (t // 2) degrees counter-clockwise, then flips left and right if t is
odd. A class is one character under one transform, all of its drawings in that one orientation.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

TRANSFORM_NAMES = (
    "",
    "flip",
    "rot90",
    "rot90 flip",
    "rot180",
    "rot180 flip",
    "rot270",
    "rot270 flip",
)

TransformChoice = Literal["all", "unrotated"]
"""Which transforms a bank holds: all eight, or only transform 0."""


def n_transforms(choice: TransformChoice) -> int:
    """How many transforms a choice stands for: 8 or 1.

    Raises:
        ValueError: Neither "all" nor "unrotated".
    """
    if choice not in ("all", "unrotated"):
        raise ValueError(f"transforms must be 'all' or 'unrotated', got {choice!r}")
    return len(TRANSFORM_NAMES) if choice == "all" else 1


def transform_images(
    images: Float[Tensor, "*batch height width"], transform: int
) -> Float[Tensor, "*batch new_height new_width"]:
    """Applies transform 0..7 to images whose first row is the top one."""
    turned = torch.rot90(images, transform // 2, dims=(-2, -1))
    return turned.flip(-1) if transform % 2 else turned


def transformed_class_name(character: str, transform: int) -> str:
    """The name of a class, as "Futurama/character05 rot90 flip".

    Args:
        character: "ALPHABET/characterNN", with or without a folder before it.
        transform: 0..7.
    """
    short = "/".join(character.split("/")[-2:])
    return f"{short} {TRANSFORM_NAMES[transform]}".rstrip()
