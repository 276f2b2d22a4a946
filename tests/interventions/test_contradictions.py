"""Clamps that cannot be, for a model or beside each other, are refused with both named."""

import pytest
import torch
from small_models import small_model, small_sequences
from unchecked import without_shape_checks

from coopetition_interp.interventions import (
    AblateHeads,
    BlockPreviousToken,
    CopyFromHead,
    GraftIn,
    GraftOut,
    HeadTemperature,
    InductionHeads,
    MatchHeads,
    PerfectLayer0,
    Preserve,
    PreviousTokenHeads,
    SelfAttentionHeads,
    SilenceExemplarAttention,
    bind,
    run_clamped,
)

from .rounding import assert_equal_but_for_rounding

DONOR = small_model(init_seed=7)

CONTRADICTIONS = [
    (InductionHeads([(1, 0)]), PreviousTokenHeads([(1, 0)]), "the attention pattern of head 0"),
    (InductionHeads([(1, 0), (1, 2)]), MatchHeads([(1, 2), (1, 3)]), "head 2 of block 1"),
    (PreviousTokenHeads([(0, 1)]), PreviousTokenHeads([(0, 1)], 0.5), "the attention pattern"),
    (SelfAttentionHeads([(0, 1)]), PreviousTokenHeads([(0, 1)]), "the attention pattern of head 1"),
    (SelfAttentionHeads([(0, 1)]), BlockPreviousToken([(0, 1)]), "previous-token attention"),
    (PreviousTokenHeads([(0, 1)]), BlockPreviousToken([(0, 1)]), "previous-token attention"),
    (HeadTemperature([(1, 0)], 2.0), HeadTemperature([(1, 0)], 3.0), "temperature of head 0"),
    (CopyFromHead((1, 0)), CopyFromHead((1, 1)), "the output logits"),
    (GraftOut(DONOR, 0), GraftOut(DONOR, 1), "the weights of the unembedding"),
    (GraftIn(DONOR, 0), GraftIn(DONOR, 1), "the input of block 1"),
    (GraftIn(DONOR, 1), GraftOut(DONOR, 0), "the weights of block 1"),
    (PerfectLayer0(), GraftIn(DONOR, 0), "the input of block 1"),
    (PerfectLayer0(), PerfectLayer0(detach=True), "the input of block 1"),
]


@pytest.mark.parametrize(("first", "second", "what"), CONTRADICTIONS, ids=str)
def test_contradictions_name_both(first, second, what):
    model, sequences = small_model(), small_sequences()
    for pair in ([first, second], [second, first]):
        with pytest.raises(ValueError, match="contradict each other") as error:
            run_clamped(model, sequences, [pair[0], AblateHeads([(0, 0)]), pair[1]])
        assert f"{pair[0]} and {pair[1]}" in str(error.value)
        assert what in str(error.value)


@pytest.mark.parametrize(
    "clamps",
    [
        [InductionHeads([(1, 0)]), PreviousTokenHeads([(0, 0)])],
        [InductionHeads([(1, 0)]), MatchHeads([(1, 1)])],
        [AblateHeads([(1, 0)]), AblateHeads([(1, 0), (1, 1)]), InductionHeads([(1, 0)])],
        [GraftIn(DONOR, 0), GraftOut(DONOR, 0)],
        [GraftIn(DONOR, -1), PerfectLayer0()],
        [Preserve(patterns=True), Preserve(values=(0,)), HeadTemperature([(1, 0)], 2.0)],
    ],
    ids=lambda clamps: ", ".join(type(c).__name__ for c in clamps),
)
def test_what_may_stand_together(clamps):
    model, sequences = small_model(), small_sequences()
    assert torch.isfinite(run_clamped(model, sequences, clamps)).all()


def test_an_ablated_head_writes_nothing_whatever_its_pattern():
    model, sequences = small_model(), small_sequences()
    ablate = AblateHeads([(1, 0)])
    both = run_clamped(model, sequences, [ablate, InductionHeads([(1, 0)])])
    alone = run_clamped(model, sequences, [ablate])
    # The clamp on the pattern runs block 1 for all tokens, without it the query alone is run:
    # other matrix products, so equal but for rounding.
    assert_equal_but_for_rounding(both, alone)


@pytest.mark.parametrize(
    ("clamp", "message"),
    [
        (AblateHeads([(2, 0)]), "the model has no block 2, its blocks are 0 to 1"),
        (InductionHeads([(1, 4)]), "block 1 has no head 4, its heads are 0 to 3"),
        (CopyFromHead((1, 9)), "block 1 has no head 9"),
        (HeadTemperature([(0, 4)], 1.0), "block 0 has no head 4"),
        (Preserve(patterns=(0, 2)), "the model has no block 2"),
        (GraftIn(DONOR, 2), "the model has no block 2"),
        (GraftOut(DONOR, 2), "the model has no block 2"),
    ],
    ids=str,
)
def test_what_the_model_lacks(clamp, message):
    with pytest.raises(ValueError, match=message) as error:
        bind([clamp], small_model())
    assert str(clamp) in str(error.value)


def test_perfect_layer_0_needs_a_block_1():
    with pytest.raises(ValueError, match="the model has one block"):
        bind([PerfectLayer0()], small_model(n_layers=1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PreviousTokenHeads([(0, 0)], strength=1.1), "PreviousTokenHeads: strength is a"),
        (lambda: InductionHeads([(1, 0)], strength=-0.1), "strength is a fraction from 0 to 1"),
        (lambda: InductionHeads([(1, 0)], strength=float("nan")), "strength"),
        (lambda: InductionHeads([(1, 0)], strength=True), "must be a finite number"),
        (
            lambda: MatchHeads([(1, 0)], temperature=-1.0),
            "temperature is 0, or from 1e-06 to 1e.06",
        ),
        (lambda: MatchHeads([(1, 0)], temperature=float("inf")), "must be a finite number"),
        (lambda: HeadTemperature([(1, 0)], temperature=0.0), "temperature is from 1e-06 to 1e.06"),
        (lambda: HeadTemperature([(1, 0)], temperature=1e-320), "temperature is from 1e-06"),
        (lambda: HeadTemperature([(1, 0)], temperature=1e7), "temperature is from 1e-06"),
        (lambda: HeadTemperature([(1, 0)], temperature=10**400), "must be a finite number"),
        (lambda: MatchHeads([(1, 0)], temperature=1e-320), "temperature is 0, or from 1e-06"),
        (lambda: MatchHeads([(1, 0)], temperature=float("nan")), "must be a finite number"),
        (lambda: HeadTemperature([(1, 0)], temperature=-2.0), "temperature is from 1e-06 to 1e.06"),
        (lambda: AblateHeads([]), "no heads are named"),
        (lambda: AblateHeads(3), "a list of .layer, head. pairs"),
        (lambda: AblateHeads("02"), "a list of .layer, head. pairs"),
        (lambda: AblateHeads([0, 2]), "a head is a pair"),
        (lambda: AblateHeads([(0, -1)]), "a head is a pair"),
        (lambda: AblateHeads([(0, 1.5)]), "a head is a pair"),
        (lambda: AblateHeads([(True, False)]), "a head is a pair"),
        (lambda: AblateHeads(["01"]), "a head is a pair"),
        (lambda: AblateHeads([b"ab"]), "a head is a pair"),
        (lambda: AblateHeads([{0: 1, 1: 2}]), "a head is a pair"),
        (lambda: AblateHeads({(0, 1): 2}), "a list of .layer, head. pairs"),
        (lambda: CopyFromHead((True, False)), "a head is a pair"),
        (lambda: CopyFromHead([(1, 2)]), "a head is a pair"),
        (lambda: CopyFromHead(3), "a head is a pair"),
        (lambda: Preserve(), "preserves nothing"),
        (lambda: Preserve(patterns=3), "True, False or a tuple of layers"),
        (lambda: Preserve(patterns=()), "names layers by number"),
        (lambda: Preserve(patterns=[[0]]), "names layers by number"),
        (lambda: Preserve(patterns={0: 1}), "True, False or a tuple of layers"),
        (lambda: Preserve(patterns=b"ab"), "True, False or a tuple of layers"),
        (lambda: Preserve(values=(-1,)), "names layers by number"),
        (lambda: Preserve(patterns=True, detach=1), "detach must be True or False"),
        (lambda: BlockPreviousToken([(0, 0)], label_rows_only=2), "must be True or False"),
        (lambda: GraftIn("x.safetensors", 0.5), "layer is a block's number"),
        (lambda: GraftOut("x.safetensors", -2), "layer is a block's number"),
        (lambda: GraftOut(None, 0), "checkpoint is the path"),
    ],
)
def test_fields_that_cannot_be(make, message):
    with without_shape_checks(), pytest.raises(ValueError, match=message):
        make()


def test_a_list_of_clamps_is_asked_for():
    with without_shape_checks():
        with pytest.raises(TypeError, match=r"clamps come in a list: \[AblateHeads"):
            bind(AblateHeads([(0, 0)]), small_model())
        with pytest.raises(TypeError, match="'AblateHeads' is not a clamp"):
            bind(["AblateHeads"], small_model())
        with pytest.raises(TypeError, match="AblateHeads is a clamp's class: make one of it"):
            bind([AblateHeads], small_model())


def test_clamps_are_frozen_values():
    clamp = AblateHeads(heads=(pair for pair in [(1, 2), (0, 3), (1, 2)]))
    assert clamp.heads == ((0, 3), (1, 2))
    assert clamp == AblateHeads([[0, 3], [1, 2]])
    assert len({clamp, AblateHeads([(0, 3), (1, 2)]), SilenceExemplarAttention([(1, 2)])}) == 2
    with pytest.raises(AttributeError):
        clamp.heads = ()
