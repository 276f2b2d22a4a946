import pytest
import torch
import torch.nn.functional as F

from coopetition_interp.analysis.mistakes import (
    heads_on_mistakes_of,
    mistake_rates_by_head_and_label,
    mistake_rates_by_label,
)
from coopetition_interp.analysis.perfected_heads import perfected_heads
from tests.reference_model import reference_forward
from tests.small_models import N_LABELS, SMALL, small_model, small_sequences

HEADS = range(SMALL.n_heads)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def sequences():
    return small_sequences(120)


def head_alone_logits(model, sequences, head, perfect_match):
    """The reference model with only this layer-1 head, its pattern set by hand if wanted."""
    weights = {name: value.detach() for name, value in model.named_parameters()}

    def alone(v):
        kept = torch.zeros_like(v)
        kept[:, :, head] = v[:, :, head]
        return kept

    def pattern(p):
        p = p.clone()
        p[:, head, -1] = 0
        for i in range(len(sequences)):
            right = (sequences.labels[i, :-1] == sequences.labels[i, -1]).nonzero().item()
            p[i, head, -1, 2 * right + 1] = 1
        return p

    overrides = {"v.1": alone} | ({"pattern.1": pattern} if perfect_match else {})
    return reference_forward(
        weights, sequences.exemplars, sequences.context_labels, overrides=overrides
    )


def test_perfected_heads_are_as_defined(model, sequences):
    right = sequences.right_labels
    table = perfected_heads(model, sequences).set_index(["head", "perfected"])
    assert len(table) == 3 * SMALL.n_heads
    for head in HEADS:
        for perfected in ("nothing", "match"):
            kept = head_alone_logits(model, sequences, head, perfected == "match")
            logits = kept["logits"][:, -1]
            row = table.loc[(head, perfected)]
            assert row["loss"] == pytest.approx(F.cross_entropy(logits, right).item())
            hits = (logits.argmax(-1) == right).double().mean().item()
            assert row["accuracy"] == pytest.approx(hits)
        scores = kept["scores.1"][:, head, -1, 1::2]
        chosen = sequences.context_labels.gather(1, scores.argmax(1, keepdim=True))[:, 0]
        assert table.loc[(head, "copy")]["accuracy"] == pytest.approx(
            (chosen == right).double().mean().item()
        )
        right_pair = (sequences.context_labels == right[:, None]).long().argmax(1)
        assert table.loc[(head, "copy")]["loss"] == pytest.approx(
            F.cross_entropy(scores, right_pair).item()
        )


def test_a_model_that_always_says_one_label_is_wrong_about_all_others(sequences):
    model = small_model()
    with torch.no_grad():
        model.b_U[3] += 1e6
    table = mistake_rates_by_label(model, sequences).set_index("label")
    assert table.n_sequences.sum() == len(sequences)
    for label in table.index:
        n = int((sequences.right_labels == label).sum())
        assert table.n_sequences[label] == n
        assert table.mistakes[label] == (0 if label == 3 else n)
        assert table.mistake_rate[label] == (0 if label == 3 else 1)
        others = len(table) - 1
        assert table.relative_mistake_rate[label] == pytest.approx(
            0 if label == 3 else len(table) / others
        )


def test_no_mistakes_have_no_relative_rate(sequences):
    model = small_model()
    with torch.no_grad():
        model.b_U[3] += 1e6
    table = mistake_rates_by_label(model, sequences[sequences.right_labels == 3])
    assert table.mistake_rate.tolist() == [0]
    assert table.relative_mistake_rate.isna().all()


@pytest.mark.parametrize("perfected", ["nothing", "match"])
def test_mistakes_of_heads(model, sequences, perfected):
    right = sequences.right_labels
    wrong = [
        head_alone_logits(model, sequences, head, perfected == "match")["logits"][:, -1].argmax(-1)
        != right
        for head in HEADS
    ]
    rates = mistake_rates_by_head_and_label(model, sequences, perfected=perfected)
    rates = rates.set_index(["head", "label"])
    for head in HEADS:
        for label in range(N_LABELS):
            assert rates.mistakes[(head, label)] == int((wrong[head] & (right == label)).sum())
    table = heads_on_mistakes_of(model, sequences, head=2, perfected=perfected).set_index("head")
    assert table.index.tolist() == [0, 1, 3]
    for other in table.index:
        subset = 1 - wrong[other][wrong[2]].double().mean().item()
        assert table.n_mistakes[other] == int(wrong[2].sum())
        assert table.accuracy_on_mistakes[other] == pytest.approx(subset)
        assert table.accuracy[other] == pytest.approx(1 - wrong[other].double().mean().item())


def test_a_head_that_is_not_there_is_refused(model, sequences):
    with pytest.raises(ValueError, match="heads are 0 to 3"):
        heads_on_mistakes_of(model, sequences, head=4)
