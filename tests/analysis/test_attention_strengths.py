import numpy as np
import pandas as pd
import pytest
import torch

from coopetition_interp.analysis.attention_strengths import (
    QUERY_TARGETS,
    attention_deltas,
    head_strengths,
    induction_strength,
    label_attention,
    previous_token_strength,
    query_attention,
)
from coopetition_interp.analysis.right_label_places import with_right_label_in
from coopetition_interp.interventions import InductionHeads, PreviousTokenHeads
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, concatenate
from tests.reference_model import reference_forward
from tests.small_models import SMALL, n_hooks, small_model, small_sequences


def of_head(table, layer, head, column="strength"):
    chosen = table[(table.layer == layer) & (table["head"] == head)]
    assert len(chosen) == 1
    return chosen[column].item()


def reference_patterns(model, sequences):
    """[layer, batch, head, query, key], from the plain-torch model."""
    weights = {name: value.detach() for name, value in model.named_parameters()}
    kept = reference_forward(weights, sequences.exemplars, sequences.context_labels)
    return torch.stack([kept["pattern.0"], kept["pattern.1"]]).numpy()


def test_clamped_heads_have_the_strength_they_are_clamped_at():
    model, sequences = small_model(), small_sequences(20)
    clamps = [PreviousTokenHeads([(0, 1)], strength=0.7), InductionHeads([(1, 2)], strength=0.9)]
    for rows in ("label", "all"):
        table = previous_token_strength(model, sequences, rows, clamps)
        assert of_head(table, 0, 1) == pytest.approx(0.7, abs=1e-12)
        untouched = previous_token_strength(model, sequences, rows)
        assert of_head(table, 0, 0) == pytest.approx(of_head(untouched, 0, 0), abs=1e-12)
    strength = of_head(induction_strength(model, sequences, clamps), 1, 2)
    assert strength == pytest.approx(2 * 0.9 - 1, abs=1e-12)
    assert n_hooks(model) == 0


def test_a_head_without_queries_is_uniform():
    model, sequences = small_model(), small_sequences(9)
    with torch.no_grad():
        model.blocks[0].attn.W_Q[3] = 0.0
    assert of_head(induction_strength(model, sequences), 0, 3) == pytest.approx(0, abs=1e-12)
    labels = previous_token_strength(model, sequences, "label")
    assert of_head(labels, 0, 3) == pytest.approx((1 / 2 + 1 / 4) / 2)
    everywhere = previous_token_strength(model, sequences, "all")
    assert of_head(everywhere, 0, 3) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 4)
    attention = query_attention(model, sequences)
    uniform = attention[(attention.layer == 0) & (attention["head"] == 3)]
    np.testing.assert_allclose(uniform.attention, [0.2] * len(QUERY_TARGETS))


def test_a_previous_token_head_built_from_weights_has_strength_one():
    config = SMALL.replace(d_head=6, layer_norm=False)
    model, sequences = small_model(config), small_sequences(5)
    with torch.no_grad():
        model.exemplar_embed.W.zero_()
        model.exemplar_embed.b.zero_()
        model.W_E.zero_()
        model.W_pos.copy_(torch.eye(5, config.d_model))  # token i is the i-th unit vector
        attention = model.blocks[0].attn
        attention.W_Q[1] = 40 * torch.eye(config.d_model, 6)  # asks for i
        attention.W_K[1] = torch.eye(config.d_model, 6).roll(1, dims=1)  # j answers to j + 1
    for rows in ("label", "all"):
        table = previous_token_strength(model, sequences, rows)
        assert of_head(table, 0, 1) == pytest.approx(1, abs=1e-4)


def test_strengths_are_means_of_the_reference_models_patterns_over_all_chunks():
    model, sequences = small_model(), small_sequences(600)  # more than two chunks
    patterns = reference_patterns(model, sequences)
    right = (sequences.context_labels == sequences.right_labels[:, None]).numpy()
    first = right[:, 0][None, :, None]
    to_first, to_second = patterns[..., -1, 1], patterns[..., -1, 3]
    delta = np.where(first, to_first - to_second, to_second - to_first)
    previous = (patterns[..., 1, 0] + patterns[..., 3, 2]) / 2
    found = head_strengths(model, sequences)
    np.testing.assert_allclose(found.induction_strength, delta.mean(1).ravel(), atol=1e-12)
    np.testing.assert_allclose(found.previous_token_strength, previous.mean(1).ravel(), atol=1e-12)
    pd.testing.assert_series_equal(
        induction_strength(model, sequences).strength, found.induction_strength, check_names=False
    )
    pd.testing.assert_series_equal(
        previous_token_strength(model, sequences).strength,
        found.previous_token_strength,
        check_names=False,
    )
    deltas = attention_deltas(model, sequences)
    assert len(deltas) == 600 * 2 * 4
    one = deltas[(deltas.sequence == 599) & (deltas.layer == 1) & (deltas["head"] == 2)]
    assert one.delta.item() == pytest.approx(delta[1, 599, 2])
    means = deltas.groupby(["layer", "head"]).delta.mean().to_numpy()
    np.testing.assert_allclose(means, found.induction_strength, atol=1e-12)


def test_attention_from_the_query_and_from_labels():
    model, sequences = small_model(), small_sequences(50)
    patterns = reference_patterns(model, sequences)
    by_position = query_attention(model, sequences, by="position")
    np.testing.assert_allclose(
        by_position.attention, patterns.mean(1)[:, :, -1].ravel(), atol=1e-12
    )
    assert by_position.to.tolist()[:5] == [0, 1, 2, 3, 4]
    for pair, order in ((0, [1, 3, 0, 2, 4]), (1, [3, 1, 2, 0, 4])):  # positions of the roles
        chosen = with_right_label_in(sequences, pair)
        roles = query_attention(model, chosen)
        positions = query_attention(model, chosen, by="position")
        np.testing.assert_allclose(
            roles.attention.to_numpy().reshape(2, 4, 5),
            positions.attention.to_numpy().reshape(2, 4, 5)[..., order],
        )
    labels = label_attention(model, sequences)
    row = labels[(labels.layer == 1) & (labels["head"] == 3) & (labels.position == 3)]
    expected = patterns.mean(1)[1, 3, 3]
    assert row[row.to == "previous"].attention.item() == pytest.approx(expected[2])
    assert row[row.to == "itself"].attention.item() == pytest.approx(expected[3])
    assert len(labels) == 2 * 4 * 2 * 2


def test_attention_with_three_pairs():
    model, sequences = small_model(n_pairs=3), small_sequences(30, n_pairs=3)
    patterns = reference_patterns(model, sequences)
    right = (sequences.context_labels == sequences.right_labels[:, None]).numpy()
    to_labels = patterns[..., -1, 1::2]  # [layer, batch, head, pair]
    signed = to_labels * np.where(right, 1, -1)[None, :, None]
    np.testing.assert_allclose(
        induction_strength(model, sequences).strength, signed.sum(-1).mean(1).ravel(), atol=1e-12
    )
    sums = query_attention(model, sequences).groupby(["layer", "head"]).attention.sum()
    np.testing.assert_allclose(sums, 1)


def test_selecting_by_the_place_of_the_right_label():
    sequences = small_sequences(40)
    first, second = (with_right_label_in(sequences, pair) for pair in (0, 1))
    assert len(first) + len(second) == 40
    assert (first.labels[:, 0] == first.right_labels).all()
    assert (second.labels[:, 1] == second.right_labels).all()
    with pytest.raises(ValueError, match="pairs 0 to 1"):
        with_right_label_in(sequences, 2)
    with pytest.raises(ValueError, match="pair 1 alone"):
        with_right_label_in(first, 1)


def test_sequences_without_the_right_label_have_no_strength():
    model, sequences = small_model(), small_sequences(12)
    absent = Sequences(
        sequences.exemplars,
        torch.cat([sequences.context_labels, torch.full_like(sequences.labels[:, -1:], 6)], 1),
        sequences.roles,
    )
    absent = absent[(absent.context_labels != 6).all(1)]
    mixed = concatenate([sequences, absent])
    pd.testing.assert_frame_equal(
        induction_strength(model, mixed), induction_strength(model, sequences)
    )
    with pytest.raises(ValueError, match="nothing for an induction head"):
        induction_strength(model, absent)
    with pytest.raises(ValueError, match="some sequences lack"):
        attention_deltas(model, mixed)


def test_an_average_over_nothing_is_refused():
    model, sequences = small_model(), small_sequences()
    with pytest.raises(ValueError, match="no sequences"):
        label_attention(model, sequences[:0])
    with pytest.raises(ValueError, match="no sequences"):
        query_attention(model, sequences[:0], by="position")
