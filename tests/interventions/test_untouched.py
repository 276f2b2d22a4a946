"""What a clamp does not name is bitwise what it was; what it names is what it says.

The same bits may be asked for: both runs are cached whole, so each product runs again at the same
shape, and what is compared has the same inputs in both.
"""

import pytest
import torch
from small_models import small_model, small_sequences

from coopetition_interp.interventions import (
    AblateHeads,
    BlockPreviousToken,
    HeadsClamp,
    HeadTemperature,
    InductionHeads,
    MatchHeads,
    PreviousTokenHeads,
    SelfAttentionHeads,
    SilenceExemplarAttention,
    TokenInductionHeads,
    known_clamps,
    run_clamped_with_cache,
)

from .test_tokens import N_TOKENS, token_model

HEAD_CLAMPS = [
    PreviousTokenHeads,
    lambda heads: PreviousTokenHeads(heads, label_rows_only=True),
    BlockPreviousToken,
    SelfAttentionHeads,
    InductionHeads,
    MatchHeads,
    SilenceExemplarAttention,
    AblateHeads,
    lambda heads: HeadTemperature(heads, 0.5),
    TokenInductionHeads,
]
OF_A_HEAD = ("hook_q", "hook_k", "hook_v", "hook_z")  # [batch, token, head, d_head]
OF_ATTENTION = ("hook_attn_scores", "hook_pattern")  # [batch, head, query, key]


def model_and_input(make):
    """A model of 2 layers of 4 heads, and what it reads."""
    if make is TokenInductionHeads:
        tokens = torch.randint(6, (8, N_TOKENS), generator=torch.Generator().manual_seed(0))
        return token_model(n_heads=4), tokens
    return small_model(dtype=torch.float32), small_sequences(dtype=torch.float32)


def test_every_clamp_on_heads_is_checked_here():
    on_heads = {
        kind
        for kind in known_clamps().values()
        if issubclass(kind, HeadsClamp) and kind.__module__.startswith("coopetition_interp.")
    }
    assert {type(make([(0, 1)])) for make in HEAD_CLAMPS} == on_heads


@pytest.mark.parametrize("make", HEAD_CLAMPS)
@pytest.mark.parametrize("layer", [0, 1])
def test_other_heads_are_bitwise_untouched(make, layer):
    model, sequences = model_and_input(make)
    _, plain = run_clamped_with_cache(model, sequences, [])
    _, held = run_clamped_with_cache(model, sequences, [make([(layer, 1), (layer, 3)])])
    others = [0, 2]
    for at in range(layer + 1):
        prefix = f"blocks.{at}."
        assert torch.equal(plain[f"{prefix}hook_resid_pre"], held[f"{prefix}hook_resid_pre"])
        heads = others if at == layer else range(4)
        for head in heads:
            for name in OF_A_HEAD:
                name = f"{prefix}attn.{name}"
                assert torch.equal(plain[name][:, :, head], held[name][:, :, head]), name
            for name in OF_ATTENTION:
                name = f"{prefix}attn.{name}"
                assert torch.equal(plain[name][:, head], held[name][:, head]), name
    z = f"blocks.{layer}.attn.hook_z"
    assert not torch.equal(plain[z][:, :, [1, 3]], held[z][:, :, [1, 3]])


@pytest.mark.parametrize(
    ("make", "rows"),
    [
        (InductionHeads, [4]),
        (MatchHeads, [4]),
        (SilenceExemplarAttention, [4]),
        (lambda heads: PreviousTokenHeads(heads, label_rows_only=True), [1, 3]),
        (lambda heads: BlockPreviousToken(heads, label_rows_only=True), [1, 3]),
        (lambda heads: SelfAttentionHeads(heads, label_rows_only=True), [1, 3]),
    ],
)
def test_other_rows_of_a_held_head_are_bitwise_untouched(make, rows):
    model, sequences = small_model(dtype=torch.float32), small_sequences(dtype=torch.float32)
    name = "blocks.0.attn.hook_pattern"
    _, plain = run_clamped_with_cache(model, sequences, [], names_filter=name)
    _, held = run_clamped_with_cache(model, sequences, [make([(0, 1)])], names_filter=name)
    for row in range(5):
        same = torch.equal(plain[name][:, 1, row], held[name][:, 1, row])
        assert same == (row not in rows)


@pytest.mark.parametrize("make", [clamp for clamp in HEAD_CLAMPS if clamp is not AblateHeads])
def test_held_patterns_stay_distributions_over_the_past(make):
    model, sequences = model_and_input(make)
    _, cache = run_clamped_with_cache(model, sequences, [make([(1, 0), (1, 2)])])
    pattern = cache["blocks.1.attn.hook_pattern"]
    torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern[..., 0]))
    assert (pattern >= 0).all()
    assert (pattern.triu(1) == 0).all()


def test_ablated_values_and_masked_attention_are_exactly_zero():
    model, sequences = small_model(), small_sequences()
    clamps = [AblateHeads([(0, 2)]), SilenceExemplarAttention([(1, 1)])]
    clamps.append(BlockPreviousToken([(0, 1)]))
    _, cache = run_clamped_with_cache(model, sequences, clamps)
    assert (cache["blocks.0.attn.hook_v"][:, :, 2] == 0).all()
    assert (cache["blocks.0.attn.hook_z"][:, :, 2] == 0).all()
    assert (cache["blocks.1.attn.hook_pattern"][:, 1, -1, ::2] == 0).all()
    assert (cache["blocks.0.attn.hook_pattern"][:, 1].diagonal(-1, -2, -1) == 0).all()
