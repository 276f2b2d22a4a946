"""TransformerLens's block and attention, with queries, keys and values from one matrix product.

Same parameters, same hook points, same numbers (to rounding). TransformerLens normalises the
block's input three times and projects it three times; at the widths studied here that is most of
the time a training step takes outside the unembedding.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformerConfig
from transformer_lens.components import Attention, TransformerBlock


class JoinedAttention(Attention):
    """`Attention` that projects to q, k and v together when all three read the same input."""

    def calculate_qkv_matrices(
        self, query_input: Tensor, key_input: Tensor, value_input: Tensor
    ) -> tuple[
        Float[Tensor, "batch n_tokens n_heads d_head"],
        Float[Tensor, "batch n_tokens n_heads d_head"],
        Float[Tensor, "batch n_tokens n_heads d_head"],
    ]:
        """Queries, keys and values, through `hook_q`, `hook_k` and `hook_v`."""
        if not (query_input is key_input and key_input is value_input):
            return super().calculate_qkv_matrices(query_input, key_input, value_input)
        weights = torch.cat([self.W_Q, self.W_K, self.W_V])  # [3 * n_heads, d_model, d_head]
        biases = torch.cat([self.b_Q, self.b_K, self.b_V])
        joined = torch.addmm(
            biases.flatten(),
            query_input.flatten(0, 1),
            weights.permute(1, 0, 2).reshape(self.cfg.d_model, -1),
        )
        q, k, v = joined.view(*query_input.shape[:2], 3, self.cfg.n_heads, -1).unbind(2)
        return self.hook_q(q), self.hook_k(k), self.hook_v(v)


class JoinedBlock(TransformerBlock):
    """`TransformerBlock` that normalises its input once for queries, keys and values.

    With `use_attn_in` or `use_split_qkv_input`, where the three may differ, it is exactly
    TransformerLens's block.
    """

    def __init__(self, cfg: HookedTransformerConfig, block_index: int):
        super().__init__(cfg, block_index)
        self.attn = JoinedAttention(self.cfg, "global", block_index)

    def forward(
        self, resid_pre: Float[Tensor, "batch n_tokens d_model"], *args: Any, **kwargs: Any
    ) -> Float[Tensor, "batch n_tokens d_model"]:
        """Residual stream before the block to residual stream after it."""
        if self.cfg.use_attn_in or self.cfg.use_split_qkv_input or self.cfg.use_hook_mlp_in:
            return super().forward(resid_pre, *args, **kwargs)
        resid_pre = self.hook_resid_pre(resid_pre)
        normalized = self.ln1(resid_pre)
        attn_out = self.hook_attn_out(self.attn(normalized, normalized, normalized))
        if self.cfg.attn_only:
            return self.hook_resid_post(resid_pre + attn_out)
        resid_mid = self.hook_resid_mid(resid_pre + attn_out)
        mlp_out = self.apply_mlp(self.ln2(resid_mid))
        return self.hook_resid_post(resid_mid + mlp_out)
