"""Initial weights, with the distributions of the published model (paper section 2.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from coopetition_interp.tasks.exemplar_label.model.exemplar_label_transformer import (
        ExemplarLabelTransformer,
    )

TRUNCATED_NORMAL_SD = 0.87962566103423978
"""Standard deviation of a unit normal cut at 2: what LeCun-normal draws are divided by."""

LABEL_EMBEDDING_SD = 0.02
LEARNED_POSITION_BOUND = 1 / math.sqrt(32)


def truncated_normal(tensor: Tensor, sd: float, generator: torch.Generator) -> None:
    """Fills `tensor` with a normal of parameter `sd` cut at 2 sd (not rescaled)."""
    torch.nn.init.trunc_normal_(tensor, std=sd, a=-2 * sd, b=2 * sd, generator=generator)


def lecun_normal(tensor: Tensor, fan_in: int, generator: torch.Generator) -> None:
    """Fills `tensor` with a truncated normal of variance 1 / fan_in after the cut."""
    truncated_normal(tensor, math.sqrt(1 / fan_in) / TRUNCATED_NORMAL_SD, generator)


def sinusoidal_positions(n_ctx: int, d_model: int, base: float) -> Float[Tensor, "n_ctx d_model"]:
    """Sinusoids of Vaswani et al. (2017) with time constant `base`: sines, then cosines."""
    frequency = base ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    angle = torch.arange(n_ctx, dtype=torch.float64)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


def initialise_embeddings(model: Any, generator: torch.Generator) -> None:
    """Embeddings of exemplars and labels, and positions; sinusoidal ones are frozen."""
    cfg = model.cfg
    model.exemplar_embed.initialise(generator)
    truncated_normal(model.embed.W_E, LABEL_EMBEDDING_SD, generator)
    if cfg.positional_embedding_type == "standard":
        if model.sinusoidal_base is not None:
            model.pos_embed.W_pos.copy_(
                sinusoidal_positions(cfg.n_ctx, cfg.d_model, model.sinusoidal_base)
            )
            model.pos_embed.W_pos.requires_grad_(False)
        else:
            model.pos_embed.W_pos.uniform_(
                -LEARNED_POSITION_BOUND, LEARNED_POSITION_BOUND, generator=generator
            )


def initialise_unembedding(model: Any, generator: torch.Generator) -> None:
    """The unembedding and its bias."""
    lecun_normal(model.unembed.W_U, model.cfg.d_model, generator)
    model.unembed.b_U.zero_()


@torch.no_grad()
def initialise(
    model: ExemplarLabelTransformer, seed: int, trains_attention_biases: bool = False
) -> None:
    """Sets every weight of `model`, in a fixed order, from `seed`.

    Weight matrices are LeCun normal (truncated at 2 sd, variance 1 / fan_in); label embeddings are
    truncated normal with sd parameter 0.02; learned positions are uniform in +-1 / sqrt(32);
    LayerNorms are 1 and 0; biases are 0. Sinusoidal positions are frozen at their values, and
    attention biases, unless they are trained, at 0.
    """
    generator = torch.Generator().manual_seed(seed)
    cfg = model.cfg
    initialise_embeddings(model, generator)
    for block in model.blocks:
        attention = block.attn
        for weight in (attention.W_Q, attention.W_K, attention.W_V):
            lecun_normal(weight, cfg.d_model, generator)
        lecun_normal(attention.W_O, cfg.n_heads * cfg.d_head, generator)
        for bias in (attention.b_Q, attention.b_K, attention.b_V, attention.b_O):
            bias.zero_()
            bias.requires_grad_(trains_attention_biases)
        if not cfg.attn_only:
            mlp: Any = block.mlp
            lecun_normal(mlp.W_in, cfg.d_model, generator)
            mlp.b_in.zero_()
            lecun_normal(mlp.W_out, mlp.W_out.shape[0], generator)
            mlp.b_out.zero_()
    initialise_unembedding(model, generator)
