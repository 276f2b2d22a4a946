"""Clamps on an ordinary HookedTransformer fed with tokens, and what they show of its circuits."""

import warnings

import pytest
import torch
from small_models import n_hooks, small_model
from transformer_lens import HookedTransformer, HookedTransformerConfig
from unchecked import without_shape_checks

from coopetition_interp.interventions import (
    AblateEmbedding,
    AblateHeads,
    BlockPreviousToken,
    CopyFromHead,
    GraftOut,
    HeadTemperature,
    InductionHeads,
    MatchHeads,
    PerfectLayer0,
    Preserve,
    PreviousTokenHeads,
    SelfAttentionHeads,
    SilenceExemplarAttention,
    clamped,
    run_clamped,
    run_clamped_with_cache,
)

VOCABULARY, N_TOKENS, LONGEST_PERIOD = 24, 24, 12


def token_model(**changes) -> HookedTransformer:
    cfg = HookedTransformerConfig(
        **{
            "n_layers": 2,
            "n_heads": 2,
            "d_head": 32,
            "d_model": 64,
            "n_ctx": N_TOKENS,
            "d_vocab": VOCABULARY,
            "attn_only": True,
            "positional_embedding_type": "shortformer",  # positions say where to look, not what
            "normalization_type": "LN",
            "seed": 0,
            "device": "cpu",
            **changes,
        }
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="HookedTransformer is deprecated")
        return HookedTransformer(cfg)


def repeated_tokens(batch: int, generator: torch.Generator) -> torch.Tensor:
    """Random tokens over and over, with a period of 5 to 12 that differs between sequences.

    Were it always the same, the model could copy by position alone, without an induction head.
    """
    tokens = torch.randint(VOCABULARY, (batch, N_TOKENS), generator=generator)
    period = torch.randint(5, LONGEST_PERIOD + 1, (batch, 1), generator=generator)
    return tokens.gather(1, torch.arange(N_TOKENS) % period)


def loss_on_repetitions(model: HookedTransformer, tokens: torch.Tensor) -> torch.Tensor:
    """Next-token loss where every next token has been seen before."""
    logits = model(tokens)[:, LONGEST_PERIOD:-1]
    targets = tokens[:, LONGEST_PERIOD + 1 :]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


@pytest.fixture(scope="module")
def trained() -> HookedTransformer:
    model = token_model()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=7e-3)
    for _ in range(350):
        loss = loss_on_repetitions(model, repeated_tokens(32, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return repeated_tokens(200, torch.Generator().manual_seed(1))


def loss_under(model, tokens, clamps) -> float:
    with torch.no_grad(), clamped(model, tokens, clamps):
        return loss_on_repetitions(model, tokens).item()


def previous_token_attention(model, tokens) -> torch.Tensor:
    """Mean attention of each head of layer 0 to the previous token."""
    _, cache = run_clamped_with_cache(model, tokens, [], names_filter="blocks.0.attn.hook_pattern")
    return cache["pattern", 0].diagonal(-1, -2, -1).mean((0, 2))


def test_blocking_its_previous_token_head_breaks_the_induction_head(trained, tokens):
    plain = loss_under(trained, tokens, [])
    assert plain < 0.7, "the model has learned to continue repetitions (chance: 3.2)"
    attention = previous_token_attention(trained, tokens)
    strongest, other = attention.argmax().item(), attention.argmin().item()
    assert attention[strongest] > 2 * attention[other]
    broken = loss_under(trained, tokens, [BlockPreviousToken([(0, strongest)])])
    control = loss_under(trained, tokens, [BlockPreviousToken([(0, other)])])
    assert control < plain + 0.2
    assert broken > plain + 2


def test_a_perfect_previous_token_head_does_what_the_learned_one_does(trained, tokens):
    strongest = previous_token_attention(trained, tokens).argmax().item()
    head = [(0, strongest)]
    held = loss_under(trained, tokens, [PreviousTokenHeads(head)])
    assert held < loss_under(trained, tokens, [BlockPreviousToken(head)]) - 2
    assert held < loss_under(trained, tokens, [AblateHeads(head)]) - 1


def test_it_is_the_pattern_of_layer_1_that_the_previous_token_head_makes(trained, tokens):
    head = [(0, previous_token_attention(trained, tokens).argmax().item())]
    blocked = BlockPreviousToken(head)
    plain = loss_under(trained, tokens, [])
    patterns_kept = loss_under(trained, tokens, [Preserve(patterns=(1,)), blocked])
    values_kept = loss_under(trained, tokens, [Preserve(values=(1,)), blocked])
    assert patterns_kept - plain < (values_kept - plain) / 2


FOR_ANY_MODEL = [
    PreviousTokenHeads([(0, 1)], strength=0.7),
    BlockPreviousToken([(0, 0)]),
    SelfAttentionHeads([(0, 1)]),
    AblateHeads([(1, 0)]),
    AblateEmbedding(),
    HeadTemperature([(1, 1)], 0.5),
    Preserve(patterns=True),
    PerfectLayer0(),
    GraftOut(token_model(seed=1), 0),
]


@pytest.mark.parametrize("positions", ["standard", "rotary", "shortformer"])
@pytest.mark.parametrize("clamp", FOR_ANY_MODEL, ids=lambda clamp: type(clamp).__name__)
def test_clamps_that_need_no_labels(clamp, positions):
    rotary = {"rotary_dim": 32} if positions == "rotary" else {}
    changes = {"positional_embedding_type": positions, "attn_only": False, "d_mlp": 32, **rotary}
    changes |= {"act_fn": "gelu"}
    if isinstance(clamp, GraftOut):
        clamp = GraftOut(token_model(**changes, seed=1), 0)
    model = token_model(**changes)
    tokens = repeated_tokens(5, torch.Generator().manual_seed(0))
    query_logits = run_clamped(model, tokens, [clamp])
    assert query_logits.shape == (5, VOCABULARY)
    logits = run_clamped(model, tokens, [clamp], return_type="logits")
    assert torch.equal(query_logits, logits[:, -1])
    changed = not torch.allclose(logits, model(tokens), atol=1e-5)
    assert changed == (not isinstance(clamp, Preserve))
    assert n_hooks(model) == 0


@pytest.mark.parametrize(
    "clamp",
    [
        PreviousTokenHeads([(0, 1)], label_rows_only=True),
        BlockPreviousToken([(0, 1)], label_rows_only=True),
        SelfAttentionHeads([(0, 1)], label_rows_only=True),
        InductionHeads([(1, 0)]),
        MatchHeads([(1, 0)]),
        SilenceExemplarAttention([(1, 0)]),
        CopyFromHead((1, 0)),
    ],
    ids=lambda clamp: type(clamp).__name__,
)
def test_clamps_that_need_labels_refuse_tokens(clamp):
    model = token_model()
    tokens = repeated_tokens(2, torch.Generator().manual_seed(0))
    with pytest.raises(TypeError, match="needs Sequences; got Tensor") as error:
        run_clamped(model, tokens, [clamp])
    assert str(clamp) in str(error.value)
    assert n_hooks(model) == 0


def test_clamps_on_a_token_model_are_its_own_hooks_by_hand():
    model = token_model()
    tokens = repeated_tokens(4, torch.Generator().manual_seed(0))

    def zero_head_1(values, hook):
        values = values.clone()
        values[:, :, 1] = 0
        return values

    by_hand = model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_v", zero_head_1)])
    ours = run_clamped(model, tokens, [AblateHeads([(0, 1)])], return_type="logits")
    torch.testing.assert_close(ours, by_hand, rtol=1e-5, atol=1e-5)  # float32, in two ways


def test_heads_that_share_values_cannot_be_ablated_one_by_one():
    model = token_model(n_heads=4, d_head=16, n_key_value_heads=2)
    with pytest.raises(ValueError, match="grouped-query attention"):
        run_clamped(model, torch.zeros(1, 4, dtype=torch.long), [AblateHeads([(0, 1)])])


def test_an_exemplar_model_fed_with_tokens_says_so():
    tokens = torch.zeros(2, 5, dtype=torch.long)
    with without_shape_checks(), pytest.raises(TypeError, match="takes Sequences"):
        run_clamped(small_model(), tokens, [AblateHeads([(0, 0)])])
