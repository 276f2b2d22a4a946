"""TransformerLens's processing of weights gives the same model in a simpler form."""

import copy

import pytest
import torch
from small_models import small_model, small_sequences

from coopetition_interp.interventions import PreviousTokenHeads, run_clamped

SHAPES = [
    {},
    {"mlps": True},
    {"positions": "sinusoidal", "mlps": True},
    {"positions": "rotary"},
    {"layer_norm": False},
    {"n_layers": 3},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_processed_weights_give_the_same_answers(shape, dtype):
    model, sequences = small_model(dtype=dtype, **shape), small_sequences(dtype=dtype)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    folded, centred = copy.deepcopy(model), copy.deepcopy(model)
    folded.process_weights_(center_unembed=False)
    rotary = shape.get("positions") == "rotary"
    centred.process_weights_(refactor_factored_attn_matrices=not rotary)
    near = {"atol": 1e-4, "rtol": 1e-4}  # TransformerLens folds in float32
    logits = model(sequences)
    torch.testing.assert_close(folded(sequences), logits, **near)
    torch.testing.assert_close(folded(sequences, "query_logits"), logits[:, -1], **near)
    torch.testing.assert_close(folded(sequences, "loss"), model(sequences, "loss"), **near)
    off_mean = logits - logits.mean(-1, keepdim=True)
    torch.testing.assert_close(centred(sequences), off_mean, **near)
    torch.testing.assert_close(centred(sequences, "query_logits"), off_mean[:, -1], **near)
    torch.testing.assert_close(centred(sequences, "loss"), model(sequences, "loss"), **near)
    held = [PreviousTokenHeads([(0, 2)])]
    torch.testing.assert_close(
        run_clamped(folded, sequences, held), run_clamped(model, sequences, held), **near
    )
    after = model.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_processed_weights_have_the_form_asked_for():
    model = small_model()
    model.process_weights_(refactor_factored_attn_matrices=True)
    assert not any("ln" in name for name in model.state_dict())
    assert not any("ln2" in name for name in model.hook_dict)  # there is no MLP to normalise for
    for writes in (model.W_exemplar, model.W_E, model.W_pos, model.W_O, model.b_O):
        torch.testing.assert_close(
            writes.mean(-1), torch.zeros_like(writes[..., 0]), atol=1e-5, rtol=0
        )
    torch.testing.assert_close(model.exemplar_embed.b.mean().item(), 0.0, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        model.W_U.mean(-1), torch.zeros(12, dtype=torch.float64), atol=1e-6, rtol=0
    )
    products = model.W_O @ model.W_O.transpose(-1, -2)
    torch.testing.assert_close(
        products, torch.eye(4, dtype=torch.float64).expand_as(products), atol=1e-4, rtol=0
    )
    assert (model.b_V == 0).all()


def test_weights_without_layer_norm_are_left_uncentred(caplog):
    model, sequences = small_model(layer_norm=False), small_sequences()
    written = model.W_exemplar.clone(), model.W_E.clone()
    model.process_weights_()
    for weight, before in zip((model.W_exemplar, model.W_E), written, strict=True):
        torch.testing.assert_close(weight, before, atol=1e-6, rtol=0)  # by way of float32
    assert not caplog.records
    assert model(sequences).isfinite().all()


def test_the_single_steps_of_weight_processing():
    model = small_model()
    centred = model.center_writing_weights(model.state_dict())
    for name in ("exemplar_embed.W", "embed.W_E", "pos_embed.W_pos"):
        assert centred[name].mean(-1).abs().max() < 1e-12
        assert model.state_dict()[name].mean(-1).abs().max() > 1e-3
    unembedded = model.center_unembed(model.state_dict())["unembed.W_U"]
    torch.testing.assert_close(unembedded, model.W_U - model.W_U.mean(-1, keepdim=True))
    norm_folded = model.fold_layer_norm(model.state_dict())["unembed.W_U"]
    scaled = model.ln_final.w[:, None] * model.W_U
    torch.testing.assert_close(norm_folded, scaled - scaled.mean(0, keepdim=True))
    even = model.refactor_factored_attn_matrices(model.state_dict())
    for layer in range(2):
        old = model.W_Q[layer] @ model.W_K[layer].transpose(-1, -2)
        q, k = (even[f"blocks.{layer}.attn.W_{name}"] for name in "QK")
        torch.testing.assert_close(q @ k.transpose(-1, -2), old)
    with pytest.raises(ValueError, match="rotary positions turn queries and keys"):
        small_model(positions="rotary").process_weights_(refactor_factored_attn_matrices=True)
