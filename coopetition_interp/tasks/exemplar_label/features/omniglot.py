"""Omniglot (Lake, Salakhutdinov & Tenenbaum 2015) through a frozen encoder.

A class is one character under one of eight transforms, with that character's 20 drawings all in
the one orientation (coopetition paper, section 3). The transforms of a character form a group, so
a held-out character is held out in every transform.

Encoding takes from minutes (GPU) to hours (CPU), so it is cached: chunk by chunk while it runs,
then as one feature file. A killed encoding goes on from its last whole chunk.
"""

import hashlib
import json
import os
import shutil
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import filelock
import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from jaxtyping import Float16
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from coopetition_interp.config_class import Config, Flag, Integer, PathText, Text, config_class
from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.files.downloads import downloads_allowed
from coopetition_interp.tasks.exemplar_label.features.encoders import (
    DEFAULT_ENCODER,
    FrozenEncoder,
    load_encoder,
)
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank
from coopetition_interp.tasks.exemplar_label.features.feature_file import (
    load_feature_file,
    save_feature_file,
)
from coopetition_interp.tasks.exemplar_label.features.omniglot_folder import (
    Character,
    OmniglotError,
    download_omniglot,
    find_characters,
    missing_halves,
    read_drawing,
)
from coopetition_interp.tasks.exemplar_label.features.transforms import (
    TransformChoice,
    n_transforms,
    transform_images,
    transformed_class_name,
)

_CHARACTERS_PER_CHUNK = 4
_CACHE_VERSION = 2


@config_class
class OmniglotFeatures(Config):
    """Penultimate-layer features of Omniglot's drawings.

    Attributes:
        root: Folder that holds (or, with `download`, will hold) Omniglot.
        encoder: Name of the frozen encoder (see `encoders.load_encoder`).
        image_size: Height and width in pixels that drawings are scaled to.
        transforms: "all" eight make 8 classes of a character; "unrotated" one.
        pretrained: ImageNet weights for the encoder; False gives fixed random ones.
        download: Fetch Omniglot by torchvision if `root` does not hold it, where downloads are
            allowed (see `downloads.allow_downloads`).
        cache_dir: Where features are kept; None is `root`/features.
    """

    kind: Literal["omniglot"] = field(default="omniglot", kw_only=True, repr=False)
    root: PathText
    encoder: Text = DEFAULT_ENCODER
    image_size: Annotated[Integer, Field(ge=1, le=10_000)] = 224
    transforms: TransformChoice = "all"
    pretrained: Flag = True
    download: Flag = False
    cache_dir: PathText | None = None

    def load(self, device: str | None = None, progress: bool = True) -> FeatureBank:
        """Gives the bank, from the cache or by encoding all drawings (see `omniglot_features`)."""
        return omniglot_features(self, device, progress)


def omniglot_features(
    source: OmniglotFeatures, device: str | None = None, progress: bool = True
) -> FeatureBank:
    """Encodes Omniglot, or reads the cache of an earlier encoding.

    Args:
        source: What to encode, and how.
        device: Where the encoder runs; None is the GPU if there is one.
        progress: Show a progress bar over the characters.

    Returns:
        A float16 bank; class = n_transforms * character + transform, characters by name, those of
        images_background first.

    Raises:
        OmniglotError: The folder is not Omniglot's, or the cache belongs to another request, or
            downloads are not allowed.
        EncoderUnavailableError: The encoder's weights cannot be had.
        ValueError: Unknown encoder or transforms, or an image size the encoder cannot read.
    """
    fetch_if_asked(source.root, source.download)
    characters = find_characters(source.root)
    request = _request(source, characters)
    cache_dir = Path(source.cache_dir or Path(source.root) / "features")
    cache = cache_dir / f"{_cache_name(source, request)}.safetensors"
    if not cache.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        # A second run that wants the same features waits, then reads them. The lock goes with
        # its process, however that ends.
        with filelock.FileLock(cache.with_suffix(".lock")):
            if not cache.exists():
                _encode_into(cache, source, characters, request, device, progress)
    bank = load_feature_file(cache)
    _check_request(cache, bank.provenance.get("request"), request)
    return bank


def fetch_if_asked(root: str, download: bool) -> None:
    """Downloads Omniglot if that is asked for, allowed, and it is not there.

    Raises:
        OmniglotError: Downloads are not allowed, or it failed.
    """
    if download and missing_halves(root):
        if not downloads_allowed():
            raise OmniglotError(
                f"Omniglot is not in {root}, and a config's `download` alone fetches nothing: run "
                f"`coopetition-interp features FILE --root {root} --download`, or load inside "
                "`with allow_downloads():`"
            )
        download_omniglot(root)


def encode_characters(
    characters: list[Character],
    encoder: FrozenEncoder,
    image_size: int,
    transforms: TransformChoice = "all",
) -> Float16[Tensor, "n_classes n_drawings d_feature"]:
    """Encodes every drawing of some characters under every transform.

    Args:
        characters: The characters.
        encoder: The frozen encoder; drawings are moved to its device.
        image_size: Height and width in pixels that drawings are scaled to.
        transforms: Which transforms.

    Returns:
        Features on the CPU; class = n_transforms * character + transform.

    Raises:
        OmniglotError: A drawing that is no readable image, or of another size than the rest.
    """
    classes = []
    for character in characters:
        read = [read_drawing(path) for path in character.drawings]
        if len({drawing.shape for drawing in read}) > 1:
            raise OmniglotError(f"the drawings of {character.name} are not all of one size")
        drawings = torch.stack(read).to(encoder.mean.device)
        for transform in range(n_transforms(transforms)):
            images = transform_images(drawings, transform)[:, None]
            images = F.interpolate(
                images, size=(image_size, image_size), mode="bilinear", antialias=True
            )
            # float16 keeps three digits of a feature and halves the bank.
            classes.append(encoder(images.expand(-1, 3, -1, -1)).half().cpu())
    return torch.stack(classes)


def _encode_into(
    cache: Path,
    source: OmniglotFeatures,
    characters: list[Character],
    request: dict[str, Any],
    device: str | None,
    progress: bool,
) -> None:
    """Encodes chunk after chunk, but those that a killed run has left, then joins them."""
    chunk_dir = cache.with_suffix(".chunks")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    encoder: FrozenEncoder | None = None
    chunks = []
    with tqdm(
        total=len(characters), desc=f"encoding with {source.encoder}", disable=not progress
    ) as bar:
        for start in range(0, len(characters), _CHARACTERS_PER_CHUNK):
            members = characters[start : start + _CHARACTERS_PER_CHUNK]
            path = chunk_dir / f"{start:05d}.safetensors"
            if not path.exists():
                if encoder is None:
                    encoder = load_encoder(source.encoder, source.pretrained).to(device)
                features = encode_characters(members, encoder, source.image_size, source.transforms)
                with atomic_file(path) as temporary:
                    metadata = {"request": json.dumps(request, sort_keys=True)}
                    save_file({"features": features}, temporary, metadata)
            chunks.append(_read_chunk(path, request))
            bar.update(len(members))

    n = n_transforms(source.transforms)
    bank = FeatureBank(
        features=torch.cat(chunks),
        class_names=tuple(
            transformed_class_name(character.name, transform)
            for character in characters
            for transform in range(n)
        ),
        class_group=np.repeat(np.arange(len(characters)), n),
        provenance={"kind": "omniglot", "request": request},
        class_transform=np.tile(np.arange(n), len(characters)),
    )
    # Written among the chunks, so that what a kill leaves unfinished goes with them.
    joined = chunk_dir / "joined.safetensors"
    save_feature_file(bank, joined)
    os.replace(joined, cache)
    shutil.rmtree(chunk_dir)


def _read_chunk(path: Path, request: dict[str, Any]) -> Tensor:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            _check_request(path, json.loads((file.metadata() or {})["request"]), request)
            return file.get_tensor("features")
    except (KeyError, json.JSONDecodeError, safetensors.SafetensorError) as error:
        raise OmniglotError(
            f"{path} is no chunk of encoded drawings ({error}): delete it, and it is made again"
        ) from error


def _request(source: OmniglotFeatures, characters: list[Character]) -> dict[str, Any]:
    """What decides the features: the options, and the names and sizes of the image files."""
    files = [
        f"{character.name}/{path.name} {path.stat().st_size}"
        for character in characters
        for path in character.drawings
    ]
    return {
        "version": _CACHE_VERSION,
        "encoder": source.encoder,
        "pretrained": source.pretrained,
        "image_size": source.image_size,
        "transforms": source.transforms,
        "n_characters": len(characters),
        "files_sha256": hashlib.sha256("\n".join(files).encode()).hexdigest(),
    }


def _cache_name(source: OmniglotFeatures, request: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    return f"omniglot-{source.encoder}-{source.image_size}px-{source.transforms}-{digest[:12]}"


def _check_request(path: Path, found: Any, request: dict[str, Any]) -> None:
    if found != request:
        found = found if isinstance(found, dict) else {}
        differences = ", ".join(
            f"{key}: {found.get(key)} there, {value} here"
            for key, value in request.items()
            if found.get(key) != value
        )
        raise OmniglotError(
            f"the cached features {path} were made for another request ({differences}): "
            "delete the file, or choose another cache_dir"
        )
