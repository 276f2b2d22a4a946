"""Ablations against the plain-torch model with the ablated activations overridden by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from coopetition_interp.analysis.ablation import (
    ablate_preserving,
    all_but_one_ablations,
    head_alone,
    head_to_head_connectivity,
    layer_to_layer_ablation,
    layer_to_output_cut,
    single_head_ablations,
)
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.sequences import METRICS, summarise
from tests.reference_model import reference_forward
from tests.small_models import SMALL, n_hooks, small_model, small_sequences

HEADS = range(SMALL.n_heads)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def sequences():
    return small_sequences(40)


@pytest.fixture(scope="module")
def reference(model, sequences):
    """Runs the reference model with heads (layer, head) off and some activations kept."""
    weights = {name: value.detach() for name, value in model.named_parameters()}

    def run(off=(), keep=()):
        overrides = {}
        plain = reference_forward(weights, sequences.exemplars, sequences.context_labels)
        for layer in (0, 1):
            heads = [head for at, head in off if at == layer]
            kept = plain[f"v.{layer}"] if f"v.{layer}" in keep else None

            def values(v, heads=heads, kept=kept):
                v = (v if kept is None else kept).clone()
                v[:, :, heads] = 0
                return v

            overrides[f"v.{layer}"] = values
        for name in keep:
            if not name.startswith("v."):
                overrides[name] = lambda _, name=name: plain[name]
        kept = reference_forward(
            weights, sequences.exemplars, sequences.context_labels, overrides=overrides
        )
        return kept["logits"][:, -1]

    return run


def expected(logits, sequences):
    right = sequences.right_labels
    loss = F.cross_entropy(logits, right).item()
    return loss, (logits.argmax(-1) == right).double().mean().item()


def assert_row(row, logits, intact_logits, sequences):
    loss, accuracy = expected(logits, sequences)
    whole_loss, whole_accuracy = expected(intact_logits, sequences)
    assert row["loss"] == pytest.approx(loss, abs=1e-10)
    assert row["accuracy"] == pytest.approx(accuracy)
    assert row["loss_change"] == pytest.approx(loss - whole_loss, abs=1e-10)
    assert row["accuracy_change"] == pytest.approx(accuracy - whole_accuracy)


@pytest.mark.parametrize("layer", [0, 1])
def test_single_and_all_but_one(model, sequences, reference, layer):
    one = single_head_ablations(model, sequences, layer)
    rest = all_but_one_ablations(model, sequences, layer)
    assert set(METRICS) <= set(one.columns)
    for head in HEADS:
        assert_row(one.loc[head], reference([(layer, head)]), reference(), sequences)
        others = [(layer, other) for other in HEADS if other != head]
        assert_row(rest.loc[head], reference(others), reference(), sequences)
    assert one["head"].tolist() == rest["head"].tolist() == list(HEADS)
    assert n_hooks(model) == 0


def test_clamps_are_held_in_the_intact_model_too(model, sequences, reference):
    off = (1, 2)
    heads = {f"head {head}": [(0, head)] for head in HEADS}
    table = ablate_preserving(model, sequences, heads, ["nothing"], clamps=[AblateHeads([off])])
    for head in HEADS:
        assert_row(table.loc[head], reference([(0, head), off]), reference([off]), sequences)


def loss_cut_from_output(model, sequences, layer):
    return summarise(score_model(model, sequences, layer_to_output_cut(model, layer)))["loss"]


def test_layer_to_output(model, sequences, reference):
    kept = {0: ["pattern.1", "v.1"], 1: []}  # after the last layer there is nothing to keep
    for layer in (0, 1):
        logits = reference([(layer, head) for head in HEADS], kept[layer])
        loss, _ = expected(logits, sequences)
        assert loss_cut_from_output(model, sequences, layer) == pytest.approx(loss, abs=1e-10)


def test_layer_to_output_takes_the_layers_output_from_the_final_residual(model, sequences):
    """What block 0 writes passes to the output along the residual stream: take it away there."""
    _, cache = model.run_with_cache(sequences)
    residual = cache["blocks.1.hook_resid_post"] - cache["blocks.0.hook_attn_out"]
    with torch.no_grad():
        logits = model.unembed(model.ln_final(residual))[:, -1]
    loss, _ = expected(logits, sequences)
    assert loss_cut_from_output(model, sequences, 0) == pytest.approx(loss)


def test_layer_to_layer(model, sequences, reference):
    layer_0 = [(0, head) for head in HEADS]
    table = layer_to_layer_ablation(model, sequences, 0).set_index("composition")
    kept = {"Q": ["k.1", "v.1"], "K": ["q.1", "v.1"], "V": ["q.1", "k.1"]}
    for composition, keep in kept.items():
        assert_row(table.loc[composition], reference(layer_0, keep), reference(), sequences)
    with pytest.raises(ValueError, match="no block follows block 1"):
        layer_to_layer_ablation(model, sequences, 1)


def test_sets_of_heads_under_preservation(model, sequences, reference):
    sets = {"first two": [(0, 0), (0, 1)], "rest": [(0, 2), (0, 3)]}
    table = ablate_preserving(model, sequences, sets, ["nothing", "patterns", "values"])
    table = table.set_index(["heads", "preserved"])
    keep = {"nothing": [], "patterns": ["pattern.1"], "values": ["v.1"]}
    for name, heads in sets.items():
        for kind, kept in keep.items():
            assert_row(table.loc[(name, kind)], reference(heads, kept), reference(), sequences)
    with pytest.raises(ValueError, match=r"preserve 'keys'.*all but keys"):
        ablate_preserving(model, sequences, sets, ["keys"])


def test_connectivity(model, sequences, reference):
    table = head_to_head_connectivity(model, sequences)
    assert len(table) == 2 * 2 * SMALL.n_heads**2
    table = table.set_index(["from_head", "to_head", "ablated", "preserved"])
    for from_head, to_head in ((0, 3), (2, 1)):
        others = [(1, head) for head in HEADS if head != to_head]
        ablated = {
            "one": [(0, from_head)],
            "all but one": [(0, head) for head in HEADS if head != from_head],
        }
        for how, off in ablated.items():
            for kind, kept in (("values", ["v.1"]), ("patterns", ["pattern.1"])):
                row = table.loc[(from_head, to_head, how, kind)]
                assert_row(row, reference([*off, *others], kept), reference(others), sequences)
    with pytest.raises(ValueError, match="got 1 to 0"):
        head_to_head_connectivity(model, sequences, 1, 0)


def test_a_model_with_one_head_per_block_has_no_others():
    with pytest.raises(ValueError, match="one head each"):
        head_alone(small_model(n_heads=1), 0, 0)


def test_a_head_that_writes_nothing_changes_nothing(sequences):
    model = small_model()
    with torch.no_grad():
        model.blocks[1].attn.W_O[2] = 0.0
    table = single_head_ablations(model, sequences)
    assert abs(table.loss_change[2]) < 1e-12
    assert (np.abs(table.loss_change[[0, 1, 3]]) > 1e-6).all()


@pytest.mark.parametrize(("layer", "head"), [(1, -1), (1, 9), (2, 0)])
def test_a_head_that_is_not_there_is_never_alone(model, layer, head):
    with pytest.raises(ValueError, match=r"numbers from 0 up|no head 9|no block 2"):
        head_alone(model, layer, head)
