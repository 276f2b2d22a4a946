"""TransformerLens's own tools on an `ExemplarLabelTransformer` say what is true of it."""

import re
import warnings
from pathlib import Path

import pytest
import torch
from drills.lens_tools import drill
from small_models import small_model, small_sequences
from transformer_lens.utilities import composition_scores
from unchecked import without_shape_checks

from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.model.initialisation import initialise
from coopetition_interp.tasks.exemplar_label.model.sequence_hooked_transformer import INSTEAD
from coopetition_interp.training import load_run

ROOT = Path(__file__).parents[4]
SHAPES = [
    {},
    {"mlps": True},
    {"positions": "sinusoidal", "mlps": True},
    {"positions": "rotary"},
    {"layer_norm": False},
    {"n_layers": 3},
]


@pytest.mark.parametrize("batch", [1, 5, 6])  # 5: as many as tokens
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_decompositions_sum_to_the_residual_stream(shape, batch):
    model, sequences = small_model(**shape), small_sequences(batch)
    _, cache = model.run_with_cache(sequences)
    n_layers = model.cfg.n_layers
    for layer in range(1, n_layers + 1):
        after = cache["resid_post", layer - 1]
        for parts in (
            cache.get_full_resid_decomposition(layer),
            cache.get_full_resid_decomposition(layer, expand_neurons=False),
            cache.decompose_resid(layer),
            cache.stack_head_results(layer, incl_remainder=True),
        ):
            torch.testing.assert_close(parts.sum(0), after)
    torch.testing.assert_close(cache.get_full_resid_decomposition(0).sum(0), cache["resid_pre", 0])
    if "mlps" in shape:
        middle = cache.get_full_resid_decomposition(1, mlp_input=True)
        torch.testing.assert_close(middle.sum(0), cache["resid_mid", 1])

    heads, names = cache.stack_head_results(return_labels=True)
    assert names == model.all_head_labels()
    for layer in range(n_layers):
        own = heads[4 * layer : 4 * layer + 4].sum(0) + model.b_O[layer]
        torch.testing.assert_close(own, cache["attn_out", layer])
    patterns = cache.stack_activation("pattern")
    assert patterns.shape == (n_layers, batch, 4, 5, 5)
    torch.testing.assert_close(patterns.sum(-1), torch.ones_like(patterns[..., 0]))

    stream, names = cache.accumulated_resid(return_labels=True)
    assert names == [*(f"{layer}_pre" for layer in range(n_layers)), "final_post"]
    assert len(cache.accumulated_resid(incl_mid=True)) == 2 * n_layers + 1
    for layer in range(n_layers):
        assert torch.equal(stream[layer], model(sequences, stop_at_layer=layer))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer_norm_applied_to_a_stack_is_the_layers_own(shape):
    model, sequences = small_model(**shape), small_sequences()
    logits, cache = model.run_with_cache(sequences)
    lens = model.unembed(cache.accumulated_resid(apply_ln=True)[-1])
    torch.testing.assert_close(lens, logits)
    if model.cfg.normalization_type is not None:
        for layer in range(model.cfg.n_layers):
            own = cache.apply_ln_to_stack(cache["resid_pre", layer][None], layer)[0]
            norm = model.blocks[layer].ln1
            own = own * norm.w + norm.b
            torch.testing.assert_close(own, norm(cache["resid_pre", layer]))


@pytest.mark.parametrize("return_type", ["logits", "query_logits"])
@pytest.mark.parametrize("batch", [1, 5, 6])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logit_attributions_of_a_folded_model_sum_to_the_logit(shape, batch, return_type):
    model, sequences = small_model(**shape), small_sequences(batch)
    logits = model(sequences, "query_logits")
    model.process_weights_(center_unembed=False)
    right = sequences.right_labels
    _, cache = model.run_with_cache(sequences, return_type=return_type)
    parts = cache.get_full_resid_decomposition(pos_slice=-1)
    shares = cache.logit_attrs(parts, right, pos_slice=-1)
    assert shares.shape == parts.shape[:2]
    expected = logits.gather(1, right[:, None])[:, 0] - model.b_U[right]
    torch.testing.assert_close(shares.sum(0), expected, atol=1e-4, rtol=0)
    other = (right + 1) % 7
    differences = cache.logit_attrs(parts, right, other, pos_slice=-1)
    each = shares - cache.logit_attrs(parts, other, pos_slice=-1)
    torch.testing.assert_close(differences, each)


def test_logit_attributions_of_an_unfolded_model_warn_that_they_do_not_sum():
    model, sequences = small_model(), small_sequences()
    logits, cache = model.run_with_cache(sequences)
    parts, right = cache.decompose_resid(pos_slice=-1), sequences.right_labels
    with pytest.warns(UserWarning, match=r"process_weights_\(center_unembed=False\)"):
        shares = cache.logit_attrs(parts, right, pos_slice=-1)
    sums = shares.sum(0) + model.b_U[right]
    assert (sums - logits[:, -1].gather(1, right[:, None])[:, 0]).abs().max() > 0.1


@pytest.mark.parametrize("mode", ["Q", "K", "V"])
def test_composition_scores_are_ratios_of_frobenius_norms(mode):
    model = small_model(n_layers=3)
    scores = model.all_composition_scores(mode)
    assert scores.shape == (3, 4, 3, 4)
    for writer in range(3):
        for reader in range(3):
            for first in range(4):
                for second in range(4):
                    written = model.W_V[writer, first] @ model.W_O[writer, first]
                    reads = model.W_Q[reader, second] @ model.W_K[reader, second].T
                    if mode == "K":
                        reads = reads.T
                    if mode == "V":
                        reads = model.W_V[reader, second] @ model.W_O[reader, second]
                    ratio = (written @ reads).norm() / written.norm() / reads.norm()
                    expected = ratio.item() if writer < reader else 0.0
                    found = scores[writer, first, reader, second].item()
                    assert found == pytest.approx(expected, abs=1e-9)
    right = {"Q": model.QK, "K": model.QK.T, "V": model.OV}[mode]
    pairs = composition_scores(model.OV, right)
    torch.testing.assert_close(pairs[0, :, 1:], scores[0, :, 1:])


def test_caches_of_one_sequence_of_one_position_and_of_gradients():
    model, sequences = small_model(), small_sequences()
    _, whole = model.run_with_cache(sequences)
    _, one = model.run_with_cache(sequences[2:3], remove_batch_dim=True)
    torch.testing.assert_close(one["pattern", 1], whole["pattern", 1][2])
    for position in range(5):
        _, at = model.run_with_cache(sequences, pos_slice=position)
        assert torch.equal(at["resid_pre", 1], whole["resid_pre", 1][:, [position]])
        assert torch.equal(at["exemplar_embed.hook_in"], sequences.exemplars)
    rotary = small_model(positions="rotary")
    _, whole = rotary.run_with_cache(sequences)
    _, at = rotary.run_with_cache(sequences, pos_slice=4)  # more than it has heads
    assert torch.equal(at["blocks.0.attn.hook_rot_k"], whole["blocks.0.attn.hook_rot_k"])
    assert torch.equal(at["k", 0], whole["k", 0][:, [4]])
    loss, with_gradients = model.run_with_cache(sequences, return_type="loss", incl_bwd=True)
    model.zero_grad()
    model(sequences, return_type="loss").backward()
    torch.testing.assert_close(
        with_gradients["hook_pos_embed_grad"].sum(0), model.pos_embed.W_pos.grad
    )
    assert loss.ndim == 0


@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_hook_that_writes_in_place_changes_the_run_and_nothing_else(shape, batch):
    model, sequences = small_model(**shape), small_sequences(batch)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    exemplars = sequences.exemplars.clone()
    with torch.no_grad():
        _, cache = model.run_with_cache(sequences)
        for name in cache:

            def in_place(activation, hook):
                activation[:, 1] = 0.5
                return activation

            def out_of_place(activation, hook):
                return in_place(activation.clone(), hook)

            edited, expected = (
                model.run_with_hooks(sequences, fwd_hooks=[(name, edit)])
                for edit in (in_place, out_of_place)
            )
            torch.testing.assert_close(edited, expected, msg=name)
    assert torch.equal(sequences.exemplars, exemplars)
    after = model.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in weights.items())


ON_CLASS = ("from_pretrained", "from_pretrained_no_processing")


@pytest.mark.parametrize("name", INSTEAD)
def test_what_needs_text_refuses_in_one_sentence(name):
    owner = ExemplarLabelTransformer if name in ON_CLASS else small_model()
    with pytest.raises(NotImplementedError, match=f"^{name}: ") as refusal:
        getattr(owner, name)(small_sequences())
    message = str(refusal.value)
    assert "\n" not in message
    assert len(message) < 300


def test_what_the_refusals_name_instead_works():
    model, sequences = small_model(), small_sequences()
    answers = model(sequences, return_type="query_logits").argmax(-1)
    assert answers.shape == sequences.right_labels.shape
    assert sequences.labels.shape == sequences.roles.shape
    assert model(sequences, return_type="loss").ndim == 0
    assert sequences.exemplar_positions + sequences.label_positions == [0, 2, 4, 1, 3]
    fresh, other = small_model(), small_model()
    initialise(fresh, 3)
    initialise(other, 3)
    assert torch.equal(fresh.W_exemplar, other.W_exemplar)
    assert not torch.equal(fresh.W_exemplar, model.W_exemplar)


def test_sequences_answer_what_is_asked_of_tokens():
    sequences = small_sequences()
    assert sequences.shape == (6, 5)
    assert sequences.ndim == len(sequences.shape)
    assert sequences.device == torch.device("cpu")
    for which in (slice(1, 3), [1, 2], torch.tensor([1, 2]), torch.arange(6).sub(1.5).abs() < 1):
        assert torch.equal(sequences[which].exemplars, sequences.exemplars[1:3])
        assert torch.equal(sequences[which].labels, sequences.labels[1:3])
    for one in (0, -1, torch.tensor(2), None, ...):
        with without_shape_checks(), pytest.raises(TypeError, match="index Sequences by a slice"):
            sequences[one]
    with without_shape_checks(), pytest.raises(TypeError, match="tokens are chosen of activations"):
        sequences[:, -1]


def test_sequences_are_moved_to_the_model_as_tokens_are():
    model, sequences = small_model(), small_sequences()
    model.to("meta", print_details=False)
    assert model(sequences).device.type == "meta"
    assert model(sequences, return_type="loss").device.type == "meta"
    assert sequences.device.type == "cpu"


@pytest.mark.parametrize("return_type", ["logits", "query_logits"])
def test_layers_that_are_not_there_are_refused(return_type):
    model, sequences = small_model(), small_sequences()
    residual = model(sequences, stop_at_layer=1)
    whole = model(sequences, return_type=return_type)
    torch.testing.assert_close(model(residual, return_type, start_at_layer=-1), whole)
    for layer in (3, -3):
        with pytest.raises(ValueError, match="start_at_layer must be within"):
            model(residual, return_type, start_at_layer=layer)
        with pytest.raises(ValueError, match="stop_at_layer must be within"):
            model(sequences, return_type, stop_at_layer=layer)
    with pytest.raises(TypeError, match="the input is the residual stream"):
        model(sequences, return_type, start_at_layer=1)


def test_the_readme_section_runs_and_says_what_is_so(monkeypatch):
    readme = (ROOT / "README.md").read_text()
    section = readme.split("## TransformerLens's own tools")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    run = load_run(ROOT / "checkpoints" / "tiny")
    model, sequences = run.model(32_000), run.evaluation_sequences["icl"]
    names = {"run": run, "model": model, "sequences": sequences}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(code, "README.md", "exec"), names)
    n_tokens, n_layers, n_heads = 5, 2, 4
    assert names["by_token"].shape == (n_layers, n_tokens)
    assert names["by_head"].shape == (5, n_layers, n_heads)
    assert names["composition"].shape == (n_layers, n_heads) * 2
    torch.testing.assert_close(names["logits"], model(sequences), atol=1e-4, rtol=0)
    right = names["logits"][:, -1].gather(1, names["right"])[:, 0]
    torch.testing.assert_close(names["right_logit"], right, atol=1e-4, rtol=0)
    assert names["shares"].shape == (len(names["names"]), len(sequences))
    assert names["heads"].shape == (n_layers * n_heads, len(sequences), 32)
    assert len(names["blocks"]) == 2 + n_layers
    lens = names["stream"] @ names["folded"].W_U + names["folded"].b_U
    torch.testing.assert_close(lens[-1], model(sequences)[:, -1], atol=1e-4, rtol=0)
    difference = names["logit_difference"](model(names["corrupted"])).item()
    assert names["by_token"][0, [0, 2, 4]].tolist() == pytest.approx([difference] * 3, abs=1e-5)


def test_more_than_a_hundred_random_calls_hold():
    with without_shape_checks():
        held, broke = drill(n_cases=9, seed=1)
    assert not broke
    assert held.total() > 120
