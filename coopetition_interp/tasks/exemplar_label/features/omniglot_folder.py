"""Omniglot's folder: its characters, their drawings, and its download."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from coopetition_interp.tasks.exemplar_label.features.encoders import torchvision

_FOLDER = "omniglot-py"
_SUBSETS = ("images_background", "images_evaluation")


class OmniglotError(ValueError):
    """Omniglot, or a cache of its features, that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Character:
    """One character of one alphabet, and the files of its drawings.

    Attributes:
        name: "SUBSET/ALPHABET/characterNN".
        drawings: Image files, one per drawer, in the drawers' order.
    """

    name: str
    drawings: tuple[Path, ...]


def download_omniglot(root: str | Path) -> None:
    """Downloads both halves of Omniglot by torchvision, unless `root` holds them already.

    Each half is extracted beside its place and moved there when whole.

    Raises:
        OmniglotError: The download failed.
    """
    root = Path(root)
    missing = missing_halves(root)
    if not missing:
        return
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".omniglot-download-", dir=root) as scratch:
        try:
            for subset in missing:
                torchvision().datasets.Omniglot(
                    scratch, background=subset == "images_background", download=True
                )
        except (OSError, RuntimeError) as error:
            raise OmniglotError(
                f"Omniglot could not be downloaded ({error}): connect to the network, or extract "
                f"{' and '.join(_SUBSETS)} into {root / _FOLDER} by hand"
            ) from error
        _folder(root).mkdir(exist_ok=True)
        for subset in missing:
            os.replace(Path(scratch) / _FOLDER / subset, _folder(root) / subset)


def missing_halves(root: str | Path) -> list[str]:
    """Which of images_background and images_evaluation are not there."""
    return [subset for subset in _SUBSETS if not (_folder(Path(root)) / subset).is_dir()]


def find_characters(root: str | Path) -> list[Character]:
    """Lists the characters of an extracted Omniglot folder.

    Args:
        root: The folder that holds images_background/ALPHABET/characterNN/*.png and
            images_evaluation/..., or holds them in its folder omniglot-py.

    Returns:
        All characters by name, images_background before images_evaluation.

    Raises:
        OmniglotError: A half is missing or empty, or drawings are missing.
    """
    folder = _folder(Path(root))
    characters = []
    for subset in _SUBSETS:
        found = sorted(path for path in folder.glob(f"{subset}/*/*") if path.is_dir())
        if not found:
            raise OmniglotError(
                f"{folder} has no {subset}/ALPHABET/characterNN folders: extract both halves of "
                "Omniglot there, or have it downloaded by `coopetition-interp features FILE --root "
                f"{root} --download`"
            )
        for path in found:
            name = path.relative_to(folder).as_posix()
            characters.append(Character(name, tuple(sorted(path.glob("*.png")))))
    n_drawings = max(len(character.drawings) for character in characters)
    for character in characters:
        if n_drawings == 0 or len(character.drawings) != n_drawings:
            raise OmniglotError(
                f"{folder / character.name} has {len(character.drawings)} drawings, others have "
                f"{n_drawings}: extract Omniglot again"
            )
    return characters


def _folder(root: Path) -> Path:
    """Where the two halves are, or belong: torchvision's folder unless they lie in `root`."""
    return root if any((root / subset).is_dir() for subset in _SUBSETS) else root / _FOLDER


def read_drawing(path: Path) -> Float[Tensor, "height width"]:
    """Reads a drawing as grey values, 0 (ink) to 1 (paper).

    Raises:
        OmniglotError: The file is no readable image.
    """
    try:
        with Image.open(path) as image:
            return torch.from_numpy(np.array(image.convert("L"), dtype=np.float32) / 255)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
        raise OmniglotError(
            f"{path} is no readable image ({error}): extract Omniglot again"
        ) from error
