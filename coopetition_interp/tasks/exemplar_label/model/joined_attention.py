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
from transformer_lens.hook_points import HookPoint


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

    def forward_query(
        self, normalized: Float[Tensor, "batch n_tokens d_model"]
    ) -> Float[Tensor, "batch 1 d_model"]:
        """What attention writes at the last token alone, through `hook_k` and `hook_v` only."""
        n_tokens, width = normalized.shape[1], self.cfg.n_heads * self.cfg.d_head
        heads = self.cfg.n_heads
        weights = torch.cat([self.W_K, self.W_V]).permute(1, 0, 2).reshape(self.cfg.d_model, -1)
        biases = torch.cat([self.b_K, self.b_V]).flatten()
        joined = torch.addmm(biases, normalized.flatten(0, 1), weights)
        k, v = joined.view(*normalized.shape[:2], 2, heads, -1).unbind(2)
        k, v = self.hook_k(k), self.hook_v(v)
        W_Q = self.W_Q.permute(1, 0, 2).reshape(self.cfg.d_model, -1)
        q = torch.addmm(self.b_Q.flatten(), normalized[:, -1], W_Q).view(-1, 1, heads, k.shape[-1])
        if self.cfg.positional_embedding_type == "rotary":
            q = self.apply_rotary(q, n_tokens - 1, None)
            k = self.apply_rotary(k, 0, None)
        pattern = self.calculate_attention_scores(q, k).softmax(-1)  # it may attend to all tokens
        z = self.calculate_z_scores(v, pattern)
        out = torch.addmm(self.b_O, z.reshape(-1, width), self.W_O.reshape(width, -1))
        return out[:, None]


class JoinedBlock(TransformerBlock):
    """`TransformerBlock` that normalises its input once for queries, keys and values.

    With `use_attn_in` or `use_split_qkv_input`, where the three may differ, it is exactly
    TransformerLens's block. Without an MLP there is `hook_resid_mid` all the same, and
    `hook_mlp_out` sees zeros, so that `transformer_lens.patching` works on every model.
    """

    def __init__(self, cfg: HookedTransformerConfig, block_index: int):
        super().__init__(cfg, block_index)
        self.attn: JoinedAttention = JoinedAttention(self.cfg, "global", block_index)
        self.hook_resid_mid = HookPoint()

    def forward(
        self, resid_pre: Float[Tensor, "batch n_tokens d_model"], *args: Any, **kwargs: Any
    ) -> Float[Tensor, "batch n_tokens d_model"]:
        """Residual stream before the block to residual stream after it."""
        if self.cfg.use_attn_in or self.cfg.use_split_qkv_input or self.cfg.use_hook_mlp_in:
            return super().forward(resid_pre, *args, **kwargs)
        resid_pre = self.hook_resid_pre(resid_pre)
        normalized = self.ln1(resid_pre)
        attn_out = self.hook_attn_out(self.attn(normalized, normalized, normalized))
        resid_mid = self.hook_resid_mid(resid_pre + attn_out)
        if self.cfg.attn_only:
            if not self.hook_mlp_out._forward_hooks:
                return self.hook_resid_post(resid_mid)
            nothing = torch.zeros_like(resid_mid)  # what no MLP writes, for who reads or edits it
            return self.hook_resid_post(resid_mid + self.hook_mlp_out(nothing))
        mlp_out = self.apply_mlp(self.ln2(resid_mid))
        return self.hook_resid_post(resid_mid + mlp_out)

    def forward_query(
        self, resid_pre: Float[Tensor, "batch n_tokens d_model"]
    ) -> Float[Tensor, "batch 1 d_model"]:
        """The residual stream after the block at the last token alone.

        No hook point fires but those of keys and values, which all tokens still have.
        """
        resid_post = resid_pre[:, -1:] + self.attn.forward_query(self.ln1(resid_pre))
        if self.cfg.attn_only:
            return resid_post
        return resid_post + self.apply_mlp(self.ln2(resid_post))

    @property
    def query_alone_suffices(self) -> bool:
        """Whether nothing is hooked to the block that `forward_query` would not run."""
        cfg = self.cfg
        unusual = (cfg.use_attn_in, cfg.use_split_qkv_input, cfg.use_hook_mlp_in)
        if any(unusual) or cfg.use_attn_result:
            return False
        tables = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        still_run = (self.attn.hook_k, self.attn.hook_v)
        return not any(
            getattr(module, table)
            for module in self.modules()
            if module not in still_run
            for table in tables
        )
