"""Omniglot's drawings themselves, for a model that embeds images."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field

from coopetition_interp.config_class import Config, Flag, Integer, PathText, config_class
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank
from coopetition_interp.tasks.exemplar_label.features.omniglot import fetch_if_asked
from coopetition_interp.tasks.exemplar_label.features.omniglot_folder import (
    OmniglotError,
    find_characters,
    read_drawing,
)
from coopetition_interp.tasks.exemplar_label.features.transforms import (
    TransformChoice,
    n_transforms,
    transform_images,
    transformed_class_name,
)

MOST_BYTES = 6 * 2**30


@config_class
class OmniglotImages(Config):
    """Grey values of every drawing, 0 (ink) to 1 (paper), row after row.

    A bank of the 1,623 upright characters at 105 pixels takes 0.7 GB of memory, with all eight
    transforms 5.7 GB; noise on pixels is `sequences.input_noise_sd`.

    Attributes:
        root: Folder that holds (or, with `download`, will hold) Omniglot.
        image_size: Height and width in pixels; 105 is that of the files.
        transforms: "unrotated", or "all" eight, which make 8 classes of a character.
        download: Fetch Omniglot by torchvision if `root` does not hold it, where downloads are
            allowed (see `downloads.allow_downloads`).
    """

    kind: Literal["omniglot_images"] = field(default="omniglot_images", kw_only=True, repr=False)
    root: PathText
    image_size: Annotated[Integer, Field(ge=8, le=1000)] = 105
    transforms: TransformChoice = "unrotated"
    download: Flag = False

    def load(self) -> FeatureBank:
        """Reads all drawings.

        Returns:
            A float16 bank; class = n_transforms * character + transform, as of `OmniglotFeatures`.

        Raises:
            OmniglotError: The folder is not Omniglot's, a drawing is no readable image, or they
                would take over `MOST_BYTES`.
        """
        fetch_if_asked(self.root, self.download)
        characters = find_characters(Path(self.root))
        n, side = n_transforms(self.transforms), self.image_size
        n_drawings = len(characters[0].drawings)
        shape = (n * len(characters), n_drawings, side * side)
        if 2 * int(np.prod(shape)) > MOST_BYTES:
            raise OmniglotError(
                f"{shape[0]} classes x {n_drawings} drawings of {side} x {side} pixels take over "
                f"{MOST_BYTES / 2**30:.0f} GiB: lower image_size, or take the unrotated ones"
            )
        features = torch.empty(shape, dtype=torch.float16)
        for index, character in enumerate(characters):
            drawings = torch.stack([read_drawing(path) for path in character.drawings])[:, None]
            if drawings.shape[-2:] != (side, side):
                drawings = F.interpolate(
                    drawings, size=(side, side), mode="bilinear", antialias=True
                ).clamp(0, 1)
            for transform in range(n):
                images = transform_images(drawings, transform)
                features[n * index + transform] = images.flatten(1).half()
        return FeatureBank(
            features,
            class_names=tuple(
                transformed_class_name(character.name, transform)
                for character in characters
                for transform in range(n)
            ),
            class_group=np.repeat(np.arange(len(characters)), n),
            provenance={"kind": "omniglot_images", "image_size": side, "transforms": n},
            class_transform=np.tile(np.arange(n), len(characters)),
        )
