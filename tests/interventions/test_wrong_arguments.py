"""What cannot be meant is refused where it is given; numpy's numbers are numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from small_models import small_model, small_sequences
from transformer_lens import HookedTransformer, HookedTransformerConfig
from unchecked import without_shape_checks

from coopetition_interp.interventions import (
    AblateHeads,
    Clamp,
    CopyFromHead,
    During,
    GraftIn,
    InductionHeads,
    Preserve,
    PreviousTokenHeads,
    bind,
    form_of,
    layer_heads,
    run_clamped,
)


@pytest.fixture
def unchecked():
    with without_shape_checks():
        yield


def test_weights_that_the_model_has_not_are_refused():
    model, sequences = small_model(), small_sequences()
    for name in ("blocks.0.attn.WV", "model.unembed.W_U", "unembed"):
        with pytest.raises(ValueError, match=rf"parameters names '{name}', but the model has no"):
            run_clamped(model, sequences, [], parameters={name: torch.zeros(1)})


@pytest.mark.parametrize("clamps", [[], [InductionHeads([(1, 0)])]])
def test_no_sequences_are_refused(clamps):
    with pytest.raises(ValueError, match="there are no sequences to run the model on"):
        run_clamped(small_model(), small_sequences()[:0], clamps)


@pytest.mark.parametrize(
    "change",
    [
        {"attn_only": True},
        {"d_mlp": 48},
        {"n_key_value_heads": 1},
        {"positional_embedding_type": "shortformer"},
    ],
)
def test_bound_clamps_fit_no_model_of_another_architecture(change):
    def token_model(**changes):
        shape = {"d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32, "d_vocab": 11, "n_ctx": 8}
        cfg = {**shape, "n_layers": 2, "act_fn": "relu", "device": "cpu", **changes}
        return HookedTransformer(HookedTransformerConfig(**cfg))

    bound = bind([AblateHeads([(0, 1)])], token_model())
    assert bind(bound, token_model()) is bound
    with pytest.raises(ValueError, match="bound to a model of another shape"):
        bind(bound, token_model(**change))


@pytest.mark.parametrize(
    ("layer", "but", "told"),
    [
        (1, [-1], "numbers from 0 up"),
        (1, [(1, 2)], "numbers from 0 up"),
        (1, [9], "no head 9"),
        (1, 2, "but is a list"),
        (7, [], "no block 7"),
        (-1, [], "no block -1"),
    ],
)
def test_layer_heads_that_are_not_there_are_refused(layer, but, told):
    with without_shape_checks(), pytest.raises(ValueError, match=told):
        layer_heads(small_model().cfg, layer, but)


@pytest.mark.usefixtures("unchecked")
def test_numpys_numbers_do_as_fields():
    assert Preserve(patterns=(np.int64(1), 0)).patterns == (0, 1)
    assert GraftIn("x", np.int64(0)).layer == 0
    assert PreviousTokenHeads([(0, 0)], strength=np.float32(0.5)).strength == 0.5
    held = During(AblateHeads([(0, 0)]), start=np.int64(32), stop=np.float32(64))
    assert str(held) == "During(clamp=AblateHeads(heads=[(0, 0)]), start=32, stop=64)"
    with pytest.raises(ValueError, match="start is a number of sequences seen, whole"):
        During(AblateHeads([(0, 0)]), start=np.float64(0.5))


@dataclass(frozen=True)
class ZeroesQueries(Clamp):
    """Replaces weights, as grafts do, and has a text that is no donor's."""

    mode: str

    def replaced_weights(self, model):
        return {"blocks.0.attn.W_Q": torch.zeros_like(model.W_Q[0])}

    def edits(self, batch):
        yield "blocks.0.attn.hook_z", torch.zeros_like if self.mode == "zero" else torch.relu


def test_texts_of_own_clamps_are_no_donors():
    assert form_of([GraftIn("a", 0)]) == form_of([GraftIn("b", 0)])
    assert form_of([ZeroesQueries("zero")]) != form_of([ZeroesQueries("relu")])


def test_a_heads_scores_are_copied_in_half_precision():
    model, sequences = small_model(dtype=torch.float32), small_sequences(dtype=torch.float32)
    copied = [CopyFromHead((1, 0))]
    expected = run_clamped(model, sequences, copied)
    half = run_clamped(model.to(torch.float16, print_details=False), sequences, copied)
    assert half.dtype == torch.float16
    shown = expected > -1e8
    torch.testing.assert_close(half.float()[shown], expected[shown], atol=0.05, rtol=0.05)
    assert (half[~shown] == torch.finfo(torch.float16).min).all()
