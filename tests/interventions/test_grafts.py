"""Donors: from files or memory, of the right shape, and fixed from the moment they are bound."""

import re

import pytest
import safetensors.torch
import torch
from small_models import small_model, small_sequences
from transformer_lens import HookedTransformer, HookedTransformerConfig

from coopetition_interp.files.tensor_file import write_tensor_file
from coopetition_interp.interventions import (
    AblateHeads,
    GraftIn,
    GraftOut,
    Preserve,
    bind,
    clamped,
    run_clamped,
)

from .rounding import assert_equal_but_for_rounding


@pytest.fixture
def donor():
    return small_model(init_seed=7)


@pytest.fixture
def donor_file(donor, tmp_path):
    path = tmp_path / "donor.safetensors"
    safetensors.torch.save_file(donor.state_dict(), path)
    return path


@pytest.mark.parametrize("graft", [GraftIn, GraftOut])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_a_file_and_a_model_in_memory_are_the_same_donor(graft, positions, tmp_path):
    donor = small_model(init_seed=7, positions=positions)
    model, sequences = small_model(positions=positions), small_sequences()
    path = tmp_path / "donor.safetensors"
    safetensors.torch.save_file(donor.state_dict(), path)
    in_memory = run_clamped(model, sequences, [graft(donor, 0)])
    assert torch.equal(run_clamped(model, sequences, [graft(path, 0)]), in_memory)
    # What training never changes may be left out of a file.
    safetensors.torch.save_file(dict(donor.trainable_parameters()), path)
    assert torch.equal(run_clamped(model, sequences, [graft(str(path), 0)]), in_memory)


@pytest.mark.parametrize("layer", [0, 1])
def test_grafting_a_model_on_itself_changes_nothing(layer):
    model, sequences = small_model(), small_sequences()
    plain = run_clamped(model, sequences, [])
    assert_equal_but_for_rounding(run_clamped(model, sequences, [GraftIn(model, layer)]), plain)
    assert_equal_but_for_rounding(run_clamped(model, sequences, [GraftOut(model, layer)]), plain)


def test_two_grafts_make_the_donor(donor):
    sequences = small_sequences()
    other = small_model(init_seed=8)
    grafts = [GraftIn(donor, 0), GraftOut(other, 0)]
    logits = run_clamped(small_model(), sequences, grafts)
    assert_equal_but_for_rounding(logits, run_clamped(donor, sequences, [GraftOut(other, 0)]))


def test_grafts_hold_in_the_first_pass_too(donor):
    model, sequences = small_model(), small_sequences()
    ablate = AblateHeads([(0, 0)])
    logits = run_clamped(model, sequences, [GraftIn(donor, 0), Preserve(values=(1,)), ablate])
    hybrid = small_model()
    hybrid.load_state_dict(
        {
            name: donor.state_dict()[name]
            if name.startswith(("exemplar_embed", "embed", "pos_embed", "blocks.0"))
            else value
            for name, value in model.state_dict().items()
        }
    )
    assert_equal_but_for_rounding(
        logits, run_clamped(hybrid, sequences, [Preserve(values=(1,)), ablate])
    )


def test_a_bound_donor_does_not_follow_its_model(donor):
    model, sequences = small_model(), small_sequences()
    bound = bind([GraftOut(donor, 0)], model)
    before = run_clamped(model, sequences, bound)
    with torch.no_grad():
        donor.unembed.W_U += 1
    assert torch.equal(run_clamped(model, sequences, bound), before)
    assert not torch.equal(run_clamped(model, sequences, [GraftOut(donor, 0)]), before)


def test_bound_donors_are_read_once(donor_file):
    model, sequences = small_model(), small_sequences()
    bound = bind([GraftOut(donor_file, 0)], model)
    donor_file.unlink()
    run_clamped(model, sequences, bound)


def test_a_donor_in_another_precision_runs_in_the_models(donor):
    model = small_model(dtype=torch.float32)
    logits = run_clamped(model, small_sequences(dtype=torch.float32), [GraftOut(donor, 0)])
    assert logits.dtype == torch.float32


def test_optimizer_state_beside_the_weights_is_ignored(donor, tmp_path):
    path = tmp_path / "resume.safetensors"
    extra = {"packed.first_moments": torch.zeros(3), "step": torch.zeros(1)}
    safetensors.torch.save_file({**donor.state_dict(), **extra}, path)
    model, sequences = small_model(), small_sequences()
    logits = run_clamped(model, sequences, [GraftOut(path, 0)])
    assert torch.equal(logits, run_clamped(model, sequences, [GraftOut(donor, 0)]))


@pytest.mark.parametrize(
    ("graft", "changes", "named"),
    [
        (GraftOut, {"d_model": 16}, "[4, 16, 4] in the donor and [4, 12, 4] in the model"),
        (GraftOut, {"n_labels": 9}, "unembed.W_U is [12, 9] in the donor and [12, 7] in the model"),
        (GraftIn, {"n_labels": 9}, "[9, 12] in the donor and [7, 12] in the model"),
        (GraftIn, {"n_heads": 2}, "[2, 12, 4] in the donor and [4, 12, 4] in the model"),
        (GraftIn, {"n_pairs": 3}, "[7, 12] in the donor and [5, 12] in the model"),
        (GraftIn, {"positions": "rotary"}, "the donor has a blocks.0.attn.rotary_cos"),
        (GraftOut, {"positions": "rotary"}, "the model has none"),
        (GraftOut, {"n_layers": 3}, "the donor has a blocks.2"),
        (GraftOut, {"n_layers": 1}, "the donor has no blocks.1"),
        (GraftOut, {"mlps": True}, "the donor has a blocks.1.ln2.b"),
        (GraftOut, {"layer_norm": False}, "the donor has no blocks.1.ln1.b"),
    ],
)
def test_a_donor_of_another_shape_is_named_with_both_shapes(graft, changes, named):
    with pytest.raises(ValueError, match=re.escape(named)) as error:
        bind([graft(small_model(**changes), 0)], small_model())
    assert "a donor is a model of the same shape" in str(error.value)


def test_files_that_are_no_checkpoints(donor_file, tmp_path):
    model = small_model()
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*missing"):
        bind([GraftOut(tmp_path / "missing.safetensors", 0)], model)
    whole = donor_file.read_bytes()
    for damaged in (whole[: len(whole) // 2], b""):
        donor_file.write_bytes(damaged)
        with pytest.raises(ValueError, match="truncated or not a safetensors file"):
            bind([GraftOut(donor_file, 0)], model)


def test_a_donor_that_is_not_what_was_written_is_refused(donor, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_tensor_file(path, donor.state_dict(), {})
    bind([GraftOut(path, 0)], small_model())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged: .* no checkpoint to graft from"):
        bind([GraftOut(path, 0)], small_model())


def test_a_with_block_gives_the_weights_back(donor):
    model, sequences = small_model(positions="rotary"), small_sequences()
    donor = small_model(positions="rotary", position_base=10000.0, init_seed=7)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    with clamped(model, sequences, [GraftOut(donor, 0)]):
        assert torch.equal(model.W_U, donor.W_U)
        inside = model(sequences, return_type="query_logits")
        model.zero_grad()
        model(sequences, return_type="loss").backward()
        assert model.W_U.grad is None
        assert model.W_exemplar.grad.abs().max() > 0
    assert_equal_but_for_rounding(inside, run_clamped(model, sequences, [GraftOut(donor, 0)]))
    assert [name for name, _ in model.named_parameters()] == names
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, own[name]), name
    assert all(p.requires_grad for p in model.trainable_parameters().values())
    assert "unembed.W_U" in model.trainable_parameters()


@pytest.mark.parametrize("graft", [GraftIn, GraftOut])
@pytest.mark.parametrize(
    "change",
    [{"act_fn": "gelu"}, {"attn_scale": 1.0}, {"eps": 1e-3}, {"attn_scores_soft_cap": 5.0}],
)
def test_a_donor_in_memory_that_computes_otherwise_is_refused(graft, change):
    def token_model(**changes):
        shape = {"d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32, "d_vocab": 11, "n_ctx": 8}
        cfg = {**shape, "n_layers": 2, "act_fn": "relu", "device": "cpu", **changes}
        return HookedTransformer(HookedTransformerConfig(**cfg))

    (name,) = change
    model = token_model()
    bind([graft(token_model(seed=3), 0)], model)
    with pytest.raises(ValueError, match=rf"{name} is .* in the donor and .* in the model, so its"):
        bind([graft(token_model(**change), 0)], model)
