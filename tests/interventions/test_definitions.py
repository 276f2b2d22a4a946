"""Each clamp, alone and with two others: logits and all gradients are those of its definition."""

from dataclasses import dataclass, field

import pytest
import torch
from reference_model import reference_forward
from small_models import leaves, query_loss_gradients, small_model, small_sequences

from coopetition_interp.interventions import (
    AblateEmbedding,
    AblateHeads,
    BlockPreviousToken,
    Clamp,
    CopyFromHead,
    During,
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
    TokenInductionHeads,
    known_clamps,
    run_clamped,
)
from coopetition_interp.tasks.exemplar_label.sequences import Sequences

from . import definitions as d

LABEL_ROWS = (1, 3, 5)
CLAMPS_OF_A_MOMENT = {
    kind for kind in known_clamps().values() if kind.__module__.startswith("coopetition_interp.")
} - {During, TokenInductionHeads}
"""Those on exemplar-label sequences; for the others see test_during and tests/tasks/tokens."""
ALL_PATTERNS = d.preserve("pattern.0", "pattern.1")


@dataclass
class Case:
    """Clamps, and the definitions of the same in the order of application."""

    clamps: list[Clamp]
    definitions: list[d.Definition]
    options: dict = field(default_factory=dict)  # of clamped_reference
    model: dict = field(default_factory=dict)


def perfect(detach=False):
    return {"first_pass": d.perfect_layer_0_first_pass(), "detach": detach}


ALONE = {
    "previous token": Case(
        [PreviousTokenHeads([(0, 1), (0, 3), (1, 0)], strength=0.7)],
        [d.previous_token([(0, 1), (0, 3), (1, 0)], 0.7)],
    ),
    "previous token, label rows": Case(
        [PreviousTokenHeads([(0, 1)], label_rows_only=True)],
        [d.previous_token([(0, 1)], rows=LABEL_ROWS)],
    ),
    "block": Case([BlockPreviousToken([(0, 0), (0, 2)])], [d.block_previous_token(0, [0, 2])]),
    "block, label rows": Case(
        [BlockPreviousToken([(0, 2)], label_rows_only=True)],
        [d.block_previous_token(0, [2], LABEL_ROWS)],
    ),
    "self attention": Case(
        [SelfAttentionHeads([(0, 1), (0, 3), (1, 0)])],
        [d.self_attention([(0, 1), (0, 3), (1, 0)])],
    ),
    "self attention, label rows": Case(
        [SelfAttentionHeads([(0, 1)], label_rows_only=True)],
        [d.self_attention([(0, 1)], rows=LABEL_ROWS)],
    ),
    "induction": Case([InductionHeads([(1, 1)])], [d.induction(1, [1])]),
    "weak induction": Case(
        [InductionHeads([(1, 1), (1, 2)], strength=0.2)], [d.induction(1, [1, 2], 0.2)]
    ),
    "match": Case([MatchHeads([(1, 3)])], [d.match(1, [3], 0)]),
    "soft match": Case([MatchHeads([(1, 3)], temperature=0.4)], [d.match(1, [3], 0.4)]),
    "ablate": Case([AblateHeads([(0, 2), (1, 0)])], [d.ablate((0, 2), (1, 0))]),
    "ablate embedding": Case([AblateEmbedding()], [d.ablate_embedding()]),
    "silence": Case([SilenceExemplarAttention([(1, 1)])], [d.silence_exemplars(1, [1])]),
    "temperature": Case([HeadTemperature([(1, 2)], 0.3)], [d.temperature(1, [2], 0.3)]),
    "temperature, detached": Case(
        [HeadTemperature([(1, 2)], 0.3, detach=True)],
        [d.temperature(1, [2], 0.3)],
        {"detach": True},
    ),
    "copy": Case([CopyFromHead((1, 2))], [d.copy_from(1, 2)]),
    "perfect layer 0": Case([PerfectLayer0()], [d.perfect_layer_0()], perfect()),
    "perfect layer 0, detached": Case(
        [PerfectLayer0(detach=True)], [d.perfect_layer_0()], perfect(detach=True)
    ),
}

TOGETHER = {
    "preserved patterns": Case(
        [AblateHeads([(0, 0), (0, 1)]), Preserve(patterns=True)],
        [ALL_PATTERNS, d.ablate((0, 0), (0, 1))],
    ),
    "preserved patterns, detached": Case(
        [AblateHeads([(0, 0), (0, 1)]), Preserve(patterns=True, detach=True)],
        [ALL_PATTERNS, d.ablate((0, 0), (0, 1))],
        {"detach": True},
    ),
    "preserved queries": Case(
        [AblateEmbedding(), Preserve(queries=True)],
        [d.preserve("q.0", "q.1"), d.ablate_embedding()],
    ),
    "preserved keys": Case(
        [AblateEmbedding(), Preserve(keys=True)],
        [d.preserve("k.0", "k.1"), d.ablate_embedding()],
    ),
    "preserved values of one layer": Case(
        [AblateHeads([(0, 3)]), Preserve(values=(1,))], [d.preserve("v.1"), d.ablate((0, 3))]
    ),
    "a head alone at another attention delta (paper, Fig. 2b)": Case(
        [
            InductionHeads([(1, 1)], strength=0.4),
            AblateHeads([(1, 0), (1, 2), (1, 3)]),
            AblateEmbedding(),
            Preserve(patterns=True, values=True),
        ],
        [
            d.preserve("pattern.0", "pattern.1", "v.0", "v.1"),
            d.induction(1, [1], 0.4),
            d.ablate((1, 0), (1, 2), (1, 3)),
            d.ablate_embedding(),
        ],
    ),
    "a head alone at another temperature (paper, Fig. 15b)": Case(
        [
            SilenceExemplarAttention([(1, 1)]),
            HeadTemperature([(1, 1)], 2.0),
            AblateHeads([(1, 0), (1, 2), (1, 3)]),
        ],
        [
            d.temperature(1, [1], 2.0),
            d.silence_exemplars(1, [1]),
            d.ablate((1, 0), (1, 2), (1, 3)),
        ],
    ),
    "match, block and previous token on three heads": Case(
        [
            MatchHeads([(1, 1)]),
            BlockPreviousToken([(0, 1)]),
            PreviousTokenHeads([(0, 2)], strength=0.9),
        ],
        [
            d.block_previous_token(0, [1]),
            d.previous_token([(0, 2)], strength=0.9),
            d.match(1, [1], 0),
        ],
    ),
    "steps 1, 2, 3v, 5 of a single head (thesis, Fig. 4.6b)": Case(
        [PerfectLayer0(), CopyFromHead((1, 3)), AblateHeads([(1, 0), (1, 1), (1, 2)])],
        [d.perfect_layer_0(), d.copy_from(1, 3), d.ablate((1, 0), (1, 1), (1, 2))],
        perfect(),
    ),
    "a clamp on a pattern overrides one on its scores": Case(
        [InductionHeads([(1, 1)]), SilenceExemplarAttention([(1, 1)]), AblateHeads([(0, 0)])],
        [d.silence_exemplars(1, [1]), d.induction(1, [1]), d.ablate((0, 0))],
    ),
    "perfect layer 0 with an induction head": Case(
        [InductionHeads([(1, 1)]), PerfectLayer0(), AblateHeads([(1, 0)])],
        [d.perfect_layer_0(), d.induction(1, [1]), d.ablate((1, 0))],
        perfect(),
    ),
}


def assert_equals_definition(case: Case, sequences: Sequences | None = None, n_pairs: int = 2):
    model = small_model(n_pairs=n_pairs, **case.model)
    sequences = sequences or small_sequences(n_pairs=n_pairs)
    logits = run_clamped(model, sequences, case.clamps)
    loss, gradients = query_loss_gradients(logits, sequences, model.trainable_parameters())
    weights = leaves(model)
    reference = d.clamped_reference(weights, sequences, case.definitions, **case.options)
    expected_loss, expected = query_loss_gradients(reference, sequences, weights)
    torch.testing.assert_close(logits, reference, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-10, atol=1e-10)
    for name in weights:
        torch.testing.assert_close(
            gradients[name],
            expected[name],
            rtol=1e-9,
            atol=1e-10,
            msg=lambda m, n=name: f"{n}: {m}",
        )


@pytest.mark.parametrize("name", [*ALONE, *TOGETHER])
def test_logits_and_gradients(name):
    case = (ALONE | TOGETHER)[name]
    assert_equals_definition(case)
    plain = run_clamped(small_model(), small_sequences(), [])
    clamped = run_clamped(small_model(), small_sequences(), case.clamps)
    assert not torch.allclose(plain, clamped), "the case tests nothing: the clamp has no effect"


@pytest.mark.parametrize("name", list(TOGETHER))
def test_order_of_the_list_does_not_matter_between_different_activations(name):
    case = TOGETHER[name]
    model, sequences = small_model(), small_sequences()
    forwards = run_clamped(model, sequences, case.clamps)
    assert torch.equal(forwards, run_clamped(model, sequences, case.clamps[::-1]))


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal"])
@pytest.mark.parametrize("name", ["preserved queries", "preserved keys", "temperature"])
def test_other_positions(name, positions):
    case = (ALONE | TOGETHER)[name]
    model = small_model(positions=positions)
    sequences = small_sequences()
    reference = d.clamped_reference(leaves(model), sequences, case.definitions, positions=positions)
    tolerance = 1e-10 if positions == "rotary" else 1e-5
    torch.testing.assert_close(
        run_clamped(model, sequences, case.clamps), reference, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", ["weak induction", "soft match", "copy", "perfect layer 0"])
def test_more_pairs(name):
    assert_equals_definition(ALONE[name], n_pairs=4)


@pytest.mark.parametrize(
    "labels",
    [
        [3, 1, 3, 3, 3],  # the right label on several tokens
        [1, 2, 1, 1, 2],  # a wrong one on several
        [0, 1, 2, 4, 5],  # the right one on none
        [6, 6, 6, 6, 6],  # and on all
    ],
)
@pytest.mark.parametrize("name", ["weak induction", "copy"])
def test_labels_that_repeat_or_are_missing(name, labels):
    sequences = small_sequences(n_pairs=4)
    labels = torch.tensor(labels).expand(len(sequences), -1)
    sequences = Sequences(sequences.exemplars, labels, sequences.roles)
    if name == "copy" and not (labels[0, :-1] == labels[0, -1]).any():
        # The right label has logit -1e9: the loss is huge, but its gradient is still defined.
        logits = run_clamped(small_model(n_pairs=4), sequences, ALONE[name].clamps)
        assert (logits.gather(1, labels[:, -1:]) == -1e9).all()
    assert_equals_definition(ALONE[name], sequences, n_pairs=4)


def test_copied_softmax_is_the_heads_attention_over_label_tokens():
    model, sequences = small_model(n_pairs=4), small_sequences(n_pairs=4)
    logits = run_clamped(model, sequences, [CopyFromHead((1, 2))])
    _, cache = model.run_with_cache(sequences)
    scores = cache["blocks.1.attn.hook_attn_scores"][:, 2, -1, 1::2]
    probabilities = logits.softmax(-1).gather(1, sequences.context_labels)
    torch.testing.assert_close(probabilities, scores.softmax(-1))


@pytest.mark.parametrize("layer", [-1, 0, 1])
@pytest.mark.parametrize("graft", [GraftIn, GraftOut])
def test_grafts_take_residual_streams_from_or_to_the_donor(graft, layer):
    model, donor, sequences = small_model(), small_model(init_seed=7), small_sequences()
    logits = run_clamped(model, sequences, [graft(donor, layer)])
    loss, gradients = query_loss_gradients(logits, sequences, model.trainable_parameters())
    weights = leaves(model)
    fixed = {name: value.detach() for name, value in donor.named_parameters()}
    first, second = (fixed, weights) if graft is GraftIn else (weights, fixed)
    handed_over = "resid_pre.0" if layer == -1 else f"resid_post.{layer}"

    def forward(weights, overrides=None):
        return reference_forward(
            weights, sequences.exemplars, sequences.context_labels, overrides=overrides
        )

    residual = forward(first)[handed_over]
    reference = forward(second, {handed_over: lambda _: residual})["logits"][:, -1]
    expected_loss, expected = query_loss_gradients(reference, sequences, weights)
    torch.testing.assert_close(logits, reference, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(loss, expected_loss)
    for name in weights:
        torch.testing.assert_close(gradients[name], expected[name], rtol=1e-9, atol=1e-10)
    assert all(parameter.grad is None for parameter in donor.parameters())


def test_grafts_with_two_others():
    model, donor, sequences = small_model(), small_model(init_seed=7), small_sequences()
    clamps = [GraftOut(donor, 0), HeadTemperature([(1, 1)], 0.5), PreviousTokenHeads([(0, 2)])]
    logits = run_clamped(model, sequences, clamps)
    _, gradients = query_loss_gradients(logits, sequences, model.trainable_parameters())
    weights = leaves(model)
    mixed = {
        name: donor.get_parameter(name).detach()
        if name.startswith(("blocks.1.", "ln_final", "unembed"))
        else value
        for name, value in weights.items()
    }
    reference = d.clamped_reference(
        mixed, sequences, [d.temperature(1, [1], 0.5), d.previous_token([(0, 2)])]
    )
    _, expected = query_loss_gradients(reference, sequences, weights)
    torch.testing.assert_close(logits, reference, rtol=1e-10, atol=1e-10)
    for name in weights:
        torch.testing.assert_close(gradients[name], expected[name], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in ALONE if "detached" not in name])
def test_gradient_equals_finite_differences_along_a_direction(name):
    model, sequences = small_model(), small_sequences()
    weights = leaves(model)

    def loss_at(shift, direction):
        moved = {n: w + shift * direction[n] for n, w in weights.items()}
        logits = run_clamped(model, sequences, ALONE[name].clamps, parameters=moved)
        return torch.nn.functional.cross_entropy(logits, sequences.right_labels)

    generator = torch.Generator().manual_seed(0)
    direction = {
        n: torch.randn(w.shape, generator=generator, dtype=w.dtype) for n, w in weights.items()
    }
    _, gradients = query_loss_gradients(
        run_clamped(model, sequences, ALONE[name].clamps, parameters=weights), sequences, weights
    )
    slope = sum((gradients[n] * direction[n]).sum() for n in weights)
    with torch.no_grad():
        measured = (loss_at(1e-5, direction) - loss_at(-1e-5, direction)) / 2e-5
    torch.testing.assert_close(slope, measured, rtol=1e-6, atol=1e-7)


def test_every_clamp_is_tested_alone_or_together():
    tested = {type(c) for case in (ALONE | TOGETHER).values() for c in case.clamps}
    assert tested | {GraftIn, GraftOut} == CLAMPS_OF_A_MOMENT
