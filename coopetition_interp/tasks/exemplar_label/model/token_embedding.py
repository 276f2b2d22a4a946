"""From sequences to token embeddings: what every model of exemplar-label sequences begins with."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import HookedTransformerConfig
from transformer_lens.components import Unembed
from transformer_lens.hook_points import HookPoint

from coopetition_interp.tasks.exemplar_label.model.image_embedding import ImageEmbed
from coopetition_interp.tasks.exemplar_label.model.initialisation import lecun_normal
from coopetition_interp.tasks.exemplar_label.model.label_lookup import lookup_labels
from coopetition_interp.tasks.exemplar_label.sequences.sequences import Sequences


class ExemplarEmbed(nn.Module):
    """Linear map from an exemplar's features into the residual stream.

    Hook points: `exemplar_embed.hook_in` [batch, n_pairs + 1, d_feature] and
    `exemplar_embed.hook_out` [batch, n_pairs + 1, d_model].
    """

    def __init__(self, d_feature: int, cfg: HookedTransformerConfig):
        super().__init__()
        self.W = nn.Parameter(torch.empty(d_feature, cfg.d_model, dtype=cfg.dtype))
        self.b = nn.Parameter(torch.zeros(cfg.d_model, dtype=cfg.dtype))
        self.hook_in = HookPoint()
        self.hook_out = HookPoint()

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the initial weights."""
        lecun_normal(self.W, self.W.shape[0], generator)
        self.b.zero_()

    def forward(
        self, exemplars: Float[Tensor, "batch n_exemplars d_feature"]
    ) -> Float[Tensor, "batch n_exemplars d_model"]:
        """Embeds exemplars."""
        exemplars = exemplars.to(self.W.dtype)
        if self.hook_in._forward_hooks:
            exemplars = exemplars.clone()  # a hook that writes in place must not reach the input
        return self.hook_out(self.hook_in(exemplars) @ self.W + self.b)


def make_exemplar_embed(
    kind: Literal["linear", "resnet"], d_feature: int, cfg: HookedTransformerConfig
) -> ExemplarEmbed | ImageEmbed:
    """The embedding of exemplars that a config names."""
    return ImageEmbed(d_feature, cfg) if kind == "resnet" else ExemplarEmbed(d_feature, cfg)


class PlainUnembed(Unembed):
    """TransformerLens's unembedding without its copy of W_U on every call."""

    def forward(
        self, residual: Float[Tensor, "batch n_tokens d_model"]
    ) -> Float[Tensor, "batch n_tokens n_labels"]:
        """Residual stream to logits."""
        residual = self.hook_in(residual)
        flat = residual.reshape(-1, residual.shape[-1])
        logits = torch.addmm(self.b_U, flat, self.W_U)
        return self.hook_out(logits.reshape(*residual.shape[:-1], -1))


def embed_sequences(model: Any, input: object) -> Float[Tensor, "batch n_tokens d_model"]:
    """Token embeddings with positions, through `hook_embed` and `hook_pos_embed`.

    Args:
        model: With `exemplar_embed`, `embed.W_E`, `pos_embed.W_pos` (if positions are added), their
            hook points, `cfg` and `d_feature`.
        input: Sequences; moved to the model's device.

    Raises:
        TypeError: They are no sequences.
        ValueError: They have too many pairs for the model, or exemplars of another width.
    """
    if not isinstance(input, Sequences):
        raise TypeError(
            f"{type(model).__name__} takes Sequences(exemplars, labels, roles); got "
            f"{type(input).__name__}. To start from a residual stream use start_at_layer."
        )
    if input.n_tokens > model.cfg.n_ctx:
        raise ValueError(
            f"{input.n_pairs} context pairs make {input.n_tokens} tokens, but the model was "
            f"built for n_ctx = {model.cfg.n_ctx}"
        )
    if input.exemplars.shape[-1] != model.d_feature:
        raise ValueError(
            f"exemplars have {input.exemplars.shape[-1]} features, the model takes "
            f"{model.d_feature}"
        )
    if input.device != model.embed.W_E.device:
        input = input.to(model.embed.W_E.device)
    exemplars = model.exemplar_embed(input.exemplars)  # [batch, n_pairs + 1, d_model]
    labels = lookup_labels(model.embed.W_E, input.context_labels)  # [batch, n_pairs, d_model]
    pairs = torch.stack([exemplars[:, :-1], labels], dim=2).flatten(1, 2)
    tokens = model.hook_embed(torch.cat([pairs, exemplars[:, -1:]], dim=1))
    if model.cfg.positional_embedding_type == "standard":
        positions = model.pos_embed.W_pos[: input.n_tokens].expand(len(input), -1, -1)
        if model.hook_pos_embed._forward_hooks:
            positions = positions.clone()  # nor the weights, which these are a view of
        tokens = tokens + model.hook_pos_embed(positions)
    return tokens
