"""A small residual network that embeds drawings, trained with the rest (thesis, section 2.2.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import HookedTransformerConfig
from transformer_lens.hook_points import HookPoint

from coopetition_interp.tasks.exemplar_label.model.initialisation import lecun_normal

STEM_CHANNELS = 64
GROUP_CHANNELS = (16, 32, 32)
"""Of the first three groups of two blocks; the fourth has the width of the residual stream."""
STRIDES = (1, 2, 2, 2)
BLOCKS_PER_GROUP = 2
BOTTLENECK = 4
DECAY = 0.9
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Batch normalisation: of the batch in training mode, by running statistics otherwise."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, dtype: torch.dtype):
        super().__init__()
        self.w = nn.Parameter(torch.ones(channels, dtype=dtype))
        self.b = nn.Parameter(torch.zeros(channels, dtype=dtype))
        self.register_buffer("mean", torch.zeros(channels, dtype=dtype))
        self.register_buffer("variance", torch.ones(channels, dtype=dtype))

    def forward(
        self, images: Float[Tensor, "n channels height width"]
    ) -> Float[Tensor, "n channels height width"]:
        """Normalises each channel."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean = images.mean(dim=(0, 2, 3))
            variance = (images - mean[:, None, None]).square().mean(dim=(0, 2, 3))
            with torch.no_grad():
                for running, now in ((self.mean, mean), (self.variance, variance)):
                    running.mul_(DECAY).add_(now, alpha=1 - DECAY)
        scale = self.w * (variance + EPSILON).rsqrt()
        return images * scale[:, None, None] + (self.b - mean * scale)[:, None, None]


class Convolution(nn.Module):
    """A convolution without bias, then batch normalisation."""

    def __init__(self, enter: int, leave: int, size: int, stride: int, dtype: torch.dtype):
        super().__init__()
        self.W = nn.Parameter(torch.empty(leave, enter, size, size, dtype=dtype))
        self.batch_norm = BatchNorm(leave, dtype)
        self.stride = stride

    def forward(
        self, images: Float[Tensor, "n enter height width"]
    ) -> Float[Tensor, "n leave new_height new_width"]:
        """Convolves and normalises; the edge is padded by half the kernel's size."""
        padding = self.W.shape[-1] // 2
        return self.batch_norm(F.conv2d(images, self.W, stride=self.stride, padding=padding))


class Bottleneck(nn.Module):
    """A ResNet-v1 block: 1x1 to a quarter of the channels, 3x3 with the stride, 1x1 back."""

    def __init__(self, enter: int, leave: int, stride: int, dtype: torch.dtype):
        super().__init__()
        narrow = leave // BOTTLENECK
        self.narrow = Convolution(enter, narrow, 1, 1, dtype)
        self.middle = Convolution(narrow, narrow, 3, stride, dtype)
        self.wide = Convolution(narrow, leave, 1, 1, dtype)
        self.shortcut: nn.Module = nn.Identity()

    def forward(
        self, images: Float[Tensor, "n enter height width"]
    ) -> Float[Tensor, "n leave new_height new_width"]:
        """Adds what the three convolutions make to the shortcut."""
        made = self.wide(self.middle(self.narrow(images).relu()).relu())
        return (made + self.shortcut(images)).relu()


class ImageGroup(nn.Module):
    """Two blocks; the first has the stride, and a projection as its shortcut.

    Hook point: `hook_out` [batch * (n_pairs + 1), channels, height, width].
    """

    def __init__(self, enter: int, leave: int, stride: int, dtype: torch.dtype):
        super().__init__()
        first = Bottleneck(enter, leave, stride, dtype)
        first.shortcut = Convolution(enter, leave, 1, stride, dtype)
        rest = [Bottleneck(leave, leave, 1, dtype) for _ in range(BLOCKS_PER_GROUP - 1)]
        self.blocks = nn.Sequential(first, *rest)
        self.hook_out = HookPoint()

    def forward(
        self, images: Float[Tensor, "n enter height width"]
    ) -> Float[Tensor, "n leave new_height new_width"]:
        """Runs both."""
        return self.hook_out(self.blocks(images))


class ImageEmbed(nn.Module):
    """A residual network from an exemplar's pixels into the residual stream.

    Convolution 7x7 of stride 2 and 64 channels, max-pool 3x3 of stride 2, four groups of two
    bottleneck blocks, mean over the image. Its batch normalisations use the batch's statistics in
    training mode (`TrainingStep` records the step so) and running ones otherwise, which is how a
    model is built and evaluated. Under a two-pass clamp they note each batch twice.

    Hook points: `exemplar_embed.hook_in` [batch, n_pairs + 1, side * side], `hook_out` [batch,
    n_pairs + 1, d_model], and `exemplar_embed.groups.0.hook_out` to `groups.3`.

    Args:
        d_feature: Pixels of an image, row after row: a square number.
        cfg: Of the model; `d_model` is the last group's channels.

    Raises:
        ValueError: Images are not square, or the width is no multiple of 4.
    """

    def __init__(self, d_feature: int, cfg: HookedTransformerConfig):
        super().__init__()
        self.side = math.isqrt(d_feature)
        if self.side**2 != d_feature:
            raise ValueError(
                f"an image embedding reads square images, pixel by pixel; {d_feature} features are "
                "none: take a source of images, such as OmniglotImages, or a linear embedding"
            )
        if cfg.d_model % BOTTLENECK:
            raise ValueError(f"an image embedding needs a d_model in fours; got {cfg.d_model}")
        channels = (*GROUP_CHANNELS, cfg.d_model)
        self.hook_in = HookPoint()
        self.stem = Convolution(1, STEM_CHANNELS, 7, 2, cfg.dtype)
        self.groups = nn.Sequential(
            *(
                ImageGroup(enter, leave, stride, cfg.dtype)
                for enter, leave, stride in zip(
                    (STEM_CHANNELS, *channels), channels, STRIDES, strict=False
                )
            )
        )
        self.hook_out = HookPoint()

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the convolutions' initial weights."""
        for name, weight in self.named_parameters():
            if name.endswith(".W"):
                lecun_normal(weight, weight[0].numel(), generator)

    def forward(
        self, exemplars: Float[Tensor, "batch n_exemplars d_feature"]
    ) -> Float[Tensor, "batch n_exemplars d_model"]:
        """Embeds images."""
        exemplars = exemplars.to(self.stem.W.dtype)
        if self.hook_in._forward_hooks:
            exemplars = exemplars.clone()  # a hook that writes in place must not reach the input
        images = self.hook_in(exemplars).reshape(-1, 1, self.side, self.side)
        pooled = F.max_pool2d(self.stem(images).relu(), 3, stride=2, padding=1)
        embedded = self.groups(pooled).mean(dim=(2, 3))
        return self.hook_out(embedded.view(*exemplars.shape[:2], -1))
