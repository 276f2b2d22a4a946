"""The model is a HookedTransformer: hooks, caches, return types, errors."""

import pytest
import torch
from small_models import N_LABELS, n_hooks, small_model, small_sequences
from unchecked import without_shape_checks

from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer, ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import Sequences


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def sequences():
    return small_sequences()


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_every_hook_point_that_should_fires_once(positions):
    model = small_model(positions=positions, mlps=True)
    fired = []
    with model.hooks([(lambda name: True, lambda value, hook: fired.append(hook.name))]):
        model(small_sequences())
    # Per-head results and split inputs only exist where TransformerLens is asked for them.
    optional = ("hook_result", "hook_tokens", "_input", "hook_attn_in", "hook_mlp_in")
    expected = {name for name in model.hook_dict if not name.endswith(optional)}
    assert sorted(fired) == sorted(expected)
    assert {"exemplar_embed.hook_in", "exemplar_embed.hook_out", "unembed.hook_out"} <= expected


def test_hook_embed_sees_exemplars_and_labels_in_turn(model, sequences):
    _, cache = model.run_with_cache(sequences)
    embedded = cache["hook_embed"]
    assert embedded.shape == (6, 5, 12)
    for i in range(3):
        exemplar = sequences.exemplars[:, i] @ model.W_exemplar + model.exemplar_embed.b
        torch.testing.assert_close(embedded[:, 2 * i], exemplar)
    for i in range(2):
        assert torch.equal(embedded[:, 2 * i + 1], model.W_E[sequences.labels[:, i]])


def test_the_cache_reconstructs_the_residual_stream(model, sequences):
    _, cache = model.run_with_cache(sequences)
    parts, labels = cache.decompose_resid(layer=-1, return_labels=True)
    assert labels == ["embed", "pos_embed", "0_attn_out", "1_attn_out"]
    torch.testing.assert_close(parts.sum(0), cache["blocks.1.hook_resid_post"])


def test_a_hook_changes_the_output(model, sequences):
    ablated = model.run_with_hooks(
        sequences, fwd_hooks=[("blocks.0.attn.hook_z", lambda z, hook: torch.zeros_like(z))]
    )
    assert not torch.allclose(ablated, model(sequences))
    assert n_hooks(model) == 0


def test_return_types(model, sequences):
    logits = model(sequences)
    assert logits.shape == (6, 5, N_LABELS)
    torch.testing.assert_close(model(sequences, return_type="query_logits"), logits[:, -1])
    expected = torch.nn.functional.cross_entropy(
        logits[:, -1], sequences.right_labels, reduction="none"
    )
    torch.testing.assert_close(model(sequences, return_type="loss"), expected.mean())
    each = model(sequences, return_type="loss", loss_per_token=True)
    torch.testing.assert_close(each, expected)
    both = model(sequences, return_type="both")
    torch.testing.assert_close(both.logits, logits)
    torch.testing.assert_close(both.loss, expected.mean())
    assert model(sequences, return_type=None) is None


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_stopping_and_starting_at_a_layer_is_the_whole_model(model, sequences, layer):
    residual = model(sequences, stop_at_layer=layer)
    if layer < 2:
        torch.testing.assert_close(model(residual, start_at_layer=layer), model(sequences))
        loss = model(
            residual,
            start_at_layer=layer,
            return_type="loss",
            right_labels=sequences.right_labels,
        )
        torch.testing.assert_close(loss, model(sequences, return_type="loss"))
    else:
        _, cache = model.run_with_cache(sequences)
        torch.testing.assert_close(residual, cache["blocks.1.hook_resid_post"])


def test_attention_biases_stay_out_of_training(model, sequences):
    model.zero_grad()
    model(sequences, return_type="loss").backward()
    for name, parameter in model.named_parameters():
        if "attn.b_" in name:
            assert parameter.grad is None
            assert (parameter == 0).all()
        else:
            assert parameter.grad is not None, name


def test_no_attention_to_the_future(model, sequences):
    changed = Sequences(sequences.exemplars.clone(), sequences.labels.clone(), sequences.roles)
    changed.exemplars[:, -1] += 1
    before, after = model(sequences), model(changed)
    torch.testing.assert_close(before[:, :-1], after[:, :-1])
    assert not torch.allclose(before[:, -1], after[:, -1])


def test_label_embedding_gradient_equals_finite_differences(sequences):
    model = small_model()
    model(sequences, return_type="loss").backward()
    step = 1e-6
    for label in range(3):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                model.W_E[label, 0] += sign * step
                values.append(model(sequences, return_type="loss").item())
                model.W_E[label, 0] -= sign * step
        slope = (values[0] - values[1]) / (2 * step)
        assert model.W_E.grad[label, 0].item() == pytest.approx(slope, abs=1e-8)


def test_weights_of_many_checkpoints_run_as_one_batch(model, sequences):
    others = [small_model(init_seed=seed) for seed in (1, 2, 3)]
    stacked = {
        name: torch.stack([dict(other.named_parameters())[name].detach() for other in others])
        for name, _ in model.named_parameters()
    }

    def query_logits(weights):
        return torch.func.functional_call(
            model, weights, (sequences,), {"return_type": "query_logits"}
        )

    together = torch.func.vmap(query_logits)(stacked)
    for i, other in enumerate(others):
        torch.testing.assert_close(together[i], other(sequences, return_type="query_logits"))


def test_errors_name_the_mend(model, sequences):
    with without_shape_checks(), pytest.raises(TypeError, match="takes Sequences"):
        model(torch.zeros(2, 5, dtype=torch.long))
    with pytest.raises(ValueError, match=r"3 context pairs make 7 tokens.*n_ctx = 5"):
        model(small_sequences(n_pairs=3))
    narrow = Sequences(sequences.exemplars[..., :4], sequences.labels, sequences.roles)
    with pytest.raises(ValueError, match="4 features, the model takes 6"):
        model(narrow)
    with without_shape_checks(), pytest.raises(ValueError, match="return_type must be one of"):
        model(sequences, return_type="logit")
    with pytest.raises(ValueError, match="needs right_labels"):
        model(model(sequences, stop_at_layer=1), start_at_layer=1, return_type="loss")


def test_configs_that_cannot_be():
    cfg = ModelConfig().hooked_transformer_config(10, 2)
    with pytest.raises(ValueError, match="d_feature must be at least 1"):
        ExemplarLabelTransformer(cfg, d_feature=0)
    cfg.n_ctx = 4
    with pytest.raises(ValueError, match="odd number"):
        ExemplarLabelTransformer(cfg, d_feature=8)
    rotary = ModelConfig(positions="rotary").hooked_transformer_config(10, 2)
    with pytest.raises(ValueError, match="sinusoidal positions are added"):
        ExemplarLabelTransformer(rotary, d_feature=8, sinusoidal_base=30.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_heads": 0}, "n_heads must be an integer from 1 to 1,000"),
        ({"positions": "alibi"}, "positions must be 'learned' or 'sinusoidal' or 'rotary'"),
        ({"positions": "rotary", "d_head": 3}, "even"),
        ({"positions": "sinusoidal", "d_model": 7}, "even"),
        ({"position_base": 1.0}, "position_base must be a number above 1"),
    ],
)
def test_model_configs_that_cannot_be(changes, message):
    with without_shape_checks(), pytest.raises(ValueError, match=message):
        ModelConfig(**changes)


@pytest.mark.parametrize("return_type", ["query_logits", "normalised_query", "loss"])
@pytest.mark.parametrize(
    "shape",
    [{}, {"positions": "rotary"}, {"mlps": True}, {"n_layers": 1}, {"layer_norm": False}],
)
def test_the_last_block_on_the_query_alone_is_the_last_block(return_type, shape):
    model = ModelConfig(**shape).build(6, 9, 2)
    sequences = Sequences(
        torch.randn(7, 3, 6), torch.randint(0, 9, (7, 3)), torch.zeros(7, 3, dtype=torch.int64)
    )
    alone = model(sequences, return_type=return_type)
    seen = []
    last = f"blocks.{model.cfg.n_layers - 1}.attn.hook_pattern"
    observed = model.run_with_hooks(
        sequences,
        return_type=return_type,
        fwd_hooks=[(last, lambda pattern, hook: seen.append(pattern.shape))],
    )
    assert seen == [(7, 8, 5, 5)]  # a hook always sees all tokens
    torch.testing.assert_close(alone, observed)


@pytest.mark.parametrize("shape", [{}, {"positions": "rotary"}, {"mlps": True}, {"n_layers": 1}])
def test_editing_keys_and_values_of_the_last_block_is_the_same_on_the_query_alone(shape):
    model = ModelConfig(**shape).build(6, 9, 2)
    sequences = Sequences(
        torch.randn(7, 3, 6), torch.randint(0, 9, (7, 3)), torch.zeros(7, 3, dtype=torch.int64)
    )
    attention = f"blocks.{model.cfg.n_layers - 1}.attn"
    shapes = []

    def edit(activation, hook):
        shapes.append(activation.shape)
        return activation.roll(1, dims=1) * 2

    edits = [(f"{attention}.hook_k", edit), (f"{attention}.hook_v", edit)]
    watched = [*edits, (f"{attention}.hook_z", lambda z, hook: None)]
    plain = model(sequences, return_type="query_logits")
    alone = model.run_with_hooks(sequences, return_type="query_logits", fwd_hooks=edits)
    whole = model.run_with_hooks(sequences, return_type="query_logits", fwd_hooks=watched)
    assert shapes == [(7, 5, 8, 8)] * 4  # all tokens, either way
    torch.testing.assert_close(alone, whole)
    assert not torch.allclose(alone, plain)


@pytest.mark.parametrize(
    "given",
    [
        {"parallel_attn_mlp": True},
        {"use_local_attn": True, "window_size": 2, "attn_types": ["local", "local"]},
        {"n_key_value_heads": 1},
        {"use_qk_norm": True},
        {"output_logits_soft_cap": 1.0},
        {"use_normalization_before_and_after": True},
    ],
)
def test_what_it_would_not_go_by_is_refused(given):
    shape = {"n_layers": 2, "d_model": 8, "n_heads": 2, "d_head": 4, "n_ctx": 5, "d_vocab": 7}
    cfg = {**shape, "act_fn": "relu", "device": "cpu"}
    ExemplarLabelTransformer(cfg, d_feature=6)
    (name, *_) = given
    with pytest.raises(ValueError, match=f"{name} is .*, which this model does not go by"):
        ExemplarLabelTransformer({**cfg, **given}, d_feature=6)
