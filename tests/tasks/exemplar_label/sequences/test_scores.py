"""Scores against a sequence-by-sequence computation in plain Python."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition_interp.tasks.exemplar_label.sequences import (
    IN_CONTEXT_METRICS,
    METRICS,
    Sequences,
    context_scores,
    context_scores_of_logits,
    score_sequences,
    summarise,
)


def sequences_with_labels(labels):
    labels = torch.as_tensor(labels)
    return Sequences(torch.zeros(*labels.shape, 1), labels, torch.zeros_like(labels))


def expected_scores(logits, context, right):
    exponentials = [math.exp(logit - max(logits)) for logit in logits]
    p = [e / sum(exponentials) for e in exponentials]
    p_context = sum(p[label] for label in set(context))
    inside = right in context
    best_inside = max(set(context), key=lambda label: logits[label])
    # From logits, not from p: next to a far larger logit outside, both would underflow.
    inside_sum = sum(math.exp(logits[label] - logits[best_inside]) for label in set(context))
    p_inside = math.exp(logits[right] - logits[best_inside]) / inside_sum if inside else math.nan
    return {
        "loss": max(logits) + math.log(sum(exponentials)) - logits[right],
        "accuracy": float(max(range(len(logits)), key=lambda label: logits[label]) == right),
        "in_context_accuracy": float(best_inside == right) if inside else math.nan,
        "p_right": p[right],
        "p_right_in_context": p_inside,
        "p_context": p_context,
    }


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(2, 12), st.sampled_from([0.1, 3, 60]))
def test_scores_are_those_of_a_plain_softmax(seed, n_pairs, n_labels, scale):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(n_labels, (7, n_pairs + 1), generator=generator)
    logits = scale * torch.randn(7, n_labels, generator=generator, dtype=torch.float64)
    before = logits.clone()
    scores = score_sequences(logits, sequences_with_labels(labels))
    assert tuple(scores) == METRICS
    assert torch.equal(logits, before)
    for row in range(7):
        *context, right = labels[row].tolist()
        expected = expected_scores(logits[row].tolist(), context, right)
        got = {name: values[row].item() for name, values in scores.items()}
        assert got == pytest.approx(expected, abs=1e-9, nan_ok=True)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([2, 8]), st.booleans())
def test_context_scores_are_those_of_the_full_logits(seed, n_pairs, transposed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(30, (20, n_pairs + 1), generator=generator)
    sequences = sequences_with_labels(labels)
    query = torch.randn(20, 16, generator=generator)
    W_U, b_U = torch.randn(16, 30, generator=generator), torch.randn(30, generator=generator)
    columns = W_U.T.contiguous().T if transposed else W_U
    alone = context_scores(query, columns, b_U, sequences)
    full = score_sequences(query @ W_U + b_U, sequences)
    of_logits = context_scores_of_logits(query @ W_U + b_U, sequences)
    assert tuple(alone) == tuple(of_logits) == IN_CONTEXT_METRICS
    for name in IN_CONTEXT_METRICS:
        torch.testing.assert_close(alone[name], full[name], atol=1e-5, rtol=0, equal_nan=True)
        torch.testing.assert_close(of_logits[name], full[name], atol=1e-5, rtol=0, equal_nan=True)


def test_a_label_shown_twice_counts_once():
    scores = score_sequences(torch.zeros(1, 4), sequences_with_labels([[2, 2, 1, 2]]))
    assert scores["p_context"].item() == pytest.approx(0.5)
    assert scores["p_right_in_context"].item() == pytest.approx(0.5)


def test_in_context_scores_are_nan_where_the_right_label_is_not_in_context():
    scores = score_sequences(torch.randn(2, 5), sequences_with_labels([[0, 1, 2], [0, 1, 1]]))
    for name in METRICS:
        assert scores[name].isnan().tolist() == [name in IN_CONTEXT_METRICS, False]


def test_logits_of_minus_1e9_outside_the_context_are_handled():
    logits = torch.full((1, 5), -1e9)
    logits[0, 3], logits[0, 1] = 0.0, 1.0
    scores = score_sequences(logits, sequences_with_labels([[3, 1, 3]]))
    expected = 1 / (1 + math.e)
    assert scores["p_right"].item() == pytest.approx(expected)
    assert scores["p_right_in_context"].item() == pytest.approx(expected)
    assert scores["p_context"].item() == pytest.approx(1)


def test_scores_can_be_vmapped_over_models():
    labels = torch.randint(9, (6, 3))
    sequences, logits = sequences_with_labels(labels), torch.randn(4, 6, 9)
    batched = torch.vmap(lambda each: score_sequences(each, sequences))(logits)
    W_U, b_U, query = torch.randn(4, 5, 9), torch.randn(4, 9), torch.randn(4, 6, 5)
    context = torch.vmap(lambda q, w, b: context_scores(q, w, b, sequences))(query, W_U, b_U)
    for model in range(4):
        one = score_sequences(logits[model], sequences)
        one_context = context_scores(query[model], W_U[model], b_U[model], sequences)
        for name in METRICS:
            torch.testing.assert_close(batched[name][model], one[name], equal_nan=True)
        for name in IN_CONTEXT_METRICS:
            torch.testing.assert_close(context[name][model], one_context[name], equal_nan=True)


def test_the_loss_can_be_differentiated():
    logits = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    sequences = sequences_with_labels([[0, 1, 1], [2, 3, 2], [4, 5, 0]])
    assert torch.autograd.gradcheck(lambda x: score_sequences(x, sequences)["loss"], (logits,))


def test_summary_leaves_out_what_makes_no_sense_but_hides_no_broken_loss():
    nan = math.nan
    summary = summarise(
        {
            "loss": torch.tensor([1.0, nan]),
            "accuracy": torch.tensor([1.0, 0.0]),
            "in_context_accuracy": torch.tensor([1.0, nan]),
            "p_right_in_context": torch.tensor([nan, nan]),
        }
    )
    assert math.isnan(summary["loss"])
    assert summary["accuracy"] == 0.5
    assert summary["in_context_accuracy"] == 1.0
    assert math.isnan(summary["p_right_in_context"])


def test_logits_of_another_batch_are_refused():
    with pytest.raises(ValueError, match="3 queries were given for 2 sequences"):
        score_sequences(torch.zeros(3, 4), sequences_with_labels([[0, 1, 0], [1, 0, 0]]))


def test_any_label_of_the_class_is_right():
    sequences = Sequences(
        torch.zeros(3, 2, 1), torch.tensor([[0, 4], [0, 4], [0, 5]]), torch.zeros(3, 2).long()
    )
    logits = torch.eye(6)[[5, 3, 5]]
    scores = score_sequences(logits, sequences, labels_per_class=2)
    assert scores["class_accuracy"].tolist() == [1, 0, 1]
    assert scores["accuracy"].tolist() == [0, 0, 1]
