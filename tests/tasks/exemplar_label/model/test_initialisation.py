"""Initial weights have the published distributions."""

import math

import pytest
import torch

from coopetition_interp.tasks.exemplar_label.model import ModelConfig
from coopetition_interp.tasks.exemplar_label.model.initialisation import TRUNCATED_NORMAL_SD

WIDE = ModelConfig(d_model=256, n_heads=16, d_head=16, mlps=True)


@pytest.fixture(scope="module")
def model():
    return WIDE.build(d_feature=512, n_labels=1000, n_pairs=2)


def weight(model, name):
    return model.get_parameter(name).detach()


@pytest.mark.parametrize(
    ("name", "fan_in"),
    [
        ("exemplar_embed.W", 512),
        ("blocks.0.attn.W_Q", 256),
        ("blocks.0.attn.W_K", 256),
        ("blocks.1.attn.W_V", 256),
        ("blocks.1.attn.W_O", 256),
        ("blocks.0.mlp.W_in", 256),
        ("blocks.0.mlp.W_out", 1024),
        ("unembed.W_U", 256),
    ],
)
def test_matrices_are_lecun_normal_cut_at_two_sd(model, name, fan_in):
    w = weight(model, name)
    assert abs(w.mean()) < 5 / math.sqrt(fan_in * w.numel())
    torch.testing.assert_close(w.std().item(), 1 / math.sqrt(fan_in), rtol=0.02, atol=0)
    cut = 2 / math.sqrt(fan_in) / 0.8796
    assert w.abs().max() <= cut * 1.001
    assert w.abs().max() > 0.98 * cut  # it is a cut normal, not a narrower distribution


def test_the_constant_is_the_sd_of_a_unit_normal_cut_at_two():
    density_at_2 = math.exp(-2) / math.sqrt(2 * math.pi)
    mass = math.erf(2 / math.sqrt(2))
    assert math.sqrt(1 - 4 * density_at_2 / mass) == pytest.approx(TRUNCATED_NORMAL_SD, abs=1e-12)


def test_label_embeddings_are_cut_but_not_rescaled(model):
    w = weight(model, "embed.W_E")
    assert w.shape == (1000, 256)
    assert w.std().item() == pytest.approx(0.02 * 0.8796, rel=0.02)
    assert w.abs().max() <= 0.04


def test_learned_positions_are_uniform(model):
    w = weight(model, "pos_embed.W_pos")
    bound = 1 / math.sqrt(32)
    assert w.shape == (5, 256)
    assert w.abs().max() <= bound
    assert w.abs().max() > 0.98 * bound
    assert w.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_layer_norms_and_biases(model):
    for name, parameter in model.named_parameters():
        if name.endswith((".ln1.w", ".ln2.w", "ln_final.w")):
            assert (parameter == 1).all(), name
        elif name.rpartition(".")[2].startswith("b"):
            assert (parameter == 0).all(), name


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_what_is_trained(positions):
    model = ModelConfig(positions=positions).build(16, 10, 2)
    fixed = {n for n, p in model.named_parameters() if not p.requires_grad}
    biases = {f"blocks.{i}.attn.b_{x}" for i in range(2) for x in "QKVO"}
    assert fixed == biases | ({"pos_embed.W_pos"} if positions == "sinusoidal" else set())
    assert set(model.trainable_parameters()).isdisjoint(fixed)
    assert ("pos_embed.W_pos" in dict(model.named_parameters())) == (positions != "rotary")


def test_the_seed_decides_the_weights():
    first, again, other = (ModelConfig(init_seed=seed).build(16, 10, 2) for seed in (3, 3, 4))
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
    assert not torch.equal(first.unembed.W_U, other.unembed.W_U)


def test_building_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    ModelConfig().build(16, 10, 2)
    assert torch.equal(before, torch.random.get_rng_state())
