"""The transformer of the coopetition paper in plain torch: what the package is checked against.

No TransformerLens, nothing of the package: only torch and the published description. Weights come
by TransformerLens's names, in any dtype. Every named activation can be overridden.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Overrides = Mapping[str, Callable[[Tensor], Tensor]]


def reference_forward(
    weights: Mapping[str, Tensor],
    exemplars: Tensor,
    context_labels: Tensor,
    positions: str = "learned",
    base: float = 30.0,
    overrides: Overrides | None = None,
) -> dict[str, Tensor]:
    """All activations by name; "logits" are those of every token.

    Names: embedding (before positions), then per block l: resid_pre.l, q.l, k.l, v.l
    [batch, token, head, d_head], scores.l, pattern.l [batch, head, query, key], resid_post.l.
    """
    kept: dict[str, Tensor] = {}

    def named(name: str, activation: Tensor) -> Tensor:
        if overrides and name in overrides:
            activation = overrides[name](activation)
        kept[name] = activation
        return activation

    n_tokens = 2 * context_labels.shape[1] + 1
    tokens = []
    for position in range(n_tokens):
        if position % 2 == 0:
            exemplar = exemplars[:, position // 2]
            tokens.append(exemplar @ weights["exemplar_embed.W"] + weights["exemplar_embed.b"])
        else:
            one_hot = F.one_hot(context_labels[:, position // 2], weights["embed.W_E"].shape[0])
            tokens.append(one_hot.to(weights["embed.W_E"].dtype) @ weights["embed.W_E"])
    residual = named("embedding", torch.stack(tokens, 1))
    if positions == "learned":
        residual = residual + weights["pos_embed.W_pos"][:n_tokens]
    elif positions == "sinusoidal":
        residual = residual + sinusoids(n_tokens, residual.shape[-1], base).to(residual.dtype)

    layer = 0
    while f"blocks.{layer}.attn.W_Q" in weights:
        residual = named(f"resid_pre.{layer}", residual)
        block = {
            name.removeprefix(f"blocks.{layer}."): value
            for name, value in weights.items()
            if name.startswith(f"blocks.{layer}.")
        }
        residual = residual + _attention(residual, block, layer, positions, base, named)
        if "mlp.W_in" in block:
            hidden = _layer_norm(residual, block, "ln2") @ block["mlp.W_in"] + block["mlp.b_in"]
            hidden = F.gelu(hidden, approximate="tanh")
            residual = residual + hidden @ block["mlp.W_out"] + block["mlp.b_out"]
        residual = named(f"resid_post.{layer}", residual)
        layer += 1
    final = _layer_norm(residual, weights, "ln_final")
    named("logits", final @ weights["unembed.W_U"] + weights["unembed.b_U"])
    return kept


def sinusoids(n_tokens: int, d_model: int, base: float) -> Tensor:
    """Sines in the first half of the dimensions, cosines in the second, slower and slower."""
    table = torch.zeros(n_tokens, d_model, dtype=torch.float64)
    for position in range(n_tokens):
        for i in range(d_model // 2):
            angle = position / base ** (2 * i / d_model)
            table[position, i] = math.sin(angle)
            table[position, d_model // 2 + i] = math.cos(angle)
    return table


def _layer_norm(x: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    if f"{name}.w" not in weights:
        return x
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * weights[f"{name}.w"] + weights[f"{name}.b"]


def _attention(
    residual: Tensor,
    block: Mapping[str, Tensor],
    layer: int,
    positions: str,
    base: float,
    named: Callable[[str, Tensor], Tensor],
) -> Tensor:
    x = _layer_norm(residual, block, "ln1")
    q, k, v = (
        named(f"{name.lower()}.{layer}", torch.einsum("bnm,hmd->bnhd", x, block[f"attn.W_{name}"]))
        for name in "QKV"
    )
    if positions == "rotary":
        q, k = _rotated(q, base), _rotated(k, base)
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(q.shape[-1])
    n_tokens = x.shape[1]
    future = torch.tensor([[j > i for j in range(n_tokens)] for i in range(n_tokens)])
    scores = named(f"scores.{layer}", scores.masked_fill(future, -torch.inf))
    pattern = named(f"pattern.{layer}", scores.softmax(-1))
    mixed = torch.einsum("bhij,bjhd->bihd", pattern, v)
    return torch.einsum("bihd,hdm->bim", mixed, block["attn.W_O"])


def _rotated(x: Tensor, base: float) -> Tensor:
    """Adjacent pairs of dimensions as complex numbers, turned in proportion to the position."""
    _, n_tokens, _, d_head = x.shape
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], d_head // 2, 2).contiguous())
    speed = base ** (-2 * torch.arange(d_head // 2, dtype=torch.float64) / d_head)
    angle = torch.arange(n_tokens, dtype=torch.float64)[:, None] * speed
    turn = torch.polar(torch.ones_like(angle), angle).to(pairs.dtype)
    return torch.view_as_real(pairs * turn[None, :, None]).flatten(-2)
