"""Non-additivity of heads: zero where logits add up, by hand elsewhere; coverage of intervals."""

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from coopetition_interp.analysis.bootstrap import bootstrap_interval
from coopetition_interp.analysis.non_additivity import (
    LOGIT_DIFFERENCE,
    ablation_effects,
    logit_difference,
    non_additivity,
    non_additivity_by_sequence,
    pairwise_non_additivity,
)
from coopetition_interp.tasks.exemplar_label.sequences import Sequences
from tests.reference_model import reference_forward
from tests.small_models import SMALL, n_hooks, small_model, small_sequences

HEADS = range(SMALL.n_heads)
METRICS_BY_HAND = (LOGIT_DIFFERENCE, "p_right_in_context", "loss")


@pytest.fixture(scope="module")
def sequences():
    return small_sequences(40)


def measured_by_hand(model, sequences, layer, off):
    weights = {name: value.detach() for name, value in model.named_parameters()}

    def values(v):
        v = v.clone()
        v[:, :, list(off)] = 0
        return v

    logits = reference_forward(
        weights, sequences.exemplars, sequences.context_labels, overrides={f"v.{layer}": values}
    )["logits"][:, -1]
    right = sequences.right_labels
    rows = torch.arange(len(sequences))
    other = sequences.context_labels.sum(1) - right
    difference = logits[rows, right] - logits[rows, other]
    loss = F.cross_entropy(logits, right, reduction="none")
    return dict(zip(METRICS_BY_HAND, (difference, difference.sigmoid(), loss), strict=True))


@pytest.mark.parametrize("layer", [0, 1])
def test_by_hand(sequences, layer):
    model = small_model()
    intact = measured_by_hand(model, sequences, layer, ())

    def effect(name, *heads):
        return (measured_by_hand(model, sequences, layer, heads)[name] - intact[name]).numpy()

    per_sequence = non_additivity_by_sequence(model, sequences, layer, METRICS_BY_HAND)
    means = non_additivity(model, sequences, layer, METRICS_BY_HAND).set_index("metric")
    pairs = pairwise_non_additivity(model, sequences, layer, METRICS_BY_HAND)
    assert n_hooks(model) == 0
    assert len(pairs) == 3 * 6
    pairs = pairs.set_index(["metric", "head", "other_head"])
    for name in METRICS_BY_HAND:
        joint, summed = effect(name, *HEADS), sum(effect(name, head) for head in HEADS)
        assert np.abs(joint - summed).max() > 1e-3
        table = per_sequence[per_sequence.metric == name]
        np.testing.assert_array_equal(table.sequence, range(len(sequences)))
        np.testing.assert_allclose(table.joint_effect, joint, atol=1e-10)
        np.testing.assert_allclose(table.sum_of_effects, summed, atol=1e-10)
        np.testing.assert_allclose(table.non_additivity, joint - summed, atol=1e-10)
        row = means.loc[name]
        assert row.layer == layer
        assert row.joint_effect == pytest.approx(joint.mean(), abs=1e-10)
        assert row.sum_of_effects == pytest.approx(summed.mean(), abs=1e-10)
        assert row.non_additivity == pytest.approx((joint - summed).mean(), abs=1e-10)
        assert row.low < row.non_additivity < row.high
        for i, j in combinations(HEADS, 2):
            row = pairs.loc[(name, i, j)]
            beyond = effect(name, i, j) - effect(name, i) - effect(name, j)
            assert row.joint_effect == pytest.approx(effect(name, i, j).mean(), abs=1e-10)
            assert row.non_additivity == pytest.approx(beyond.mean(), abs=1e-10)
            assert row.low < row.non_additivity < row.high


def test_the_last_layers_logits_add_up_without_layer_norm_and_without_it_alone(sequences):
    model = small_model(layer_norm=False)
    by_metric = non_additivity(model, sequences).set_index("metric")
    additive = by_metric.loc[LOGIT_DIFFERENCE]
    assert abs(additive.joint_effect) > 0.1
    assert additive[["non_additivity", "low", "high"]].abs().max() < 1e-10
    assert abs(by_metric.non_additivity["p_right_in_context"]) > 1e-3  # a curve of the logits
    pairs = pairwise_non_additivity(model, sequences)
    assert pairs[["non_additivity", "low", "high"]].abs().to_numpy().max() < 1e-10
    earlier = non_additivity_by_sequence(model, sequences, layer=0)
    assert earlier.non_additivity.abs().max() > 0.1  # through layer 1
    normed = non_additivity_by_sequence(small_model(), sequences)
    assert normed.non_additivity.abs().max() > 0.1


def test_sign_where_heads_stand_in_for_each_other(sequences):
    """Two heads write the same; the right label wins as long as either is there.

    Each is hardly missed and both together are: negative for what is better higher, positive for
    loss.
    """
    model = small_model(n_heads=2, n_layers=1, layer_norm=False, positions="rotary")
    with torch.no_grad():
        for name in ("W_Q", "W_K", "W_V", "W_O"):
            weight = getattr(model.blocks[0].attn, name)
            weight[1] = weight[0]
    difference = logit_difference(model, sequences)
    sure = sequences[difference > difference.quantile(0.5)]
    with torch.no_grad():
        model.blocks[0].attn.W_O *= 100
    sure = sure[logit_difference(model, sure) > 20]
    assert len(sure) > 3
    table = non_additivity(model, sure, metrics=["p_right_in_context", "loss"])
    table = table.set_index("metric")
    assert table.high["p_right_in_context"] < 0 < table.low["loss"]


def test_logit_difference_with_more_labels():
    model, sequences = small_model(n_pairs=3), small_sequences(20, n_pairs=3)
    with torch.no_grad():
        logits = model(sequences, return_type="query_logits")
    for i, value in enumerate(logit_difference(model, sequences)):
        right = sequences.right_labels[i].item()
        others = [label for label in sequences.context_labels[i].tolist() if label != right]
        expected = logits[i, right] - sum(logits[i, label] for label in others) / len(others)
        assert value.item() == pytest.approx(expected.item())


def test_what_makes_no_sense_is_refused(sequences):
    model = small_model()
    labels = sequences.labels.clone()
    labels[3, -1] = next(label for label in range(7) if label not in labels[3, :-1])
    absent = Sequences(sequences.exemplars, labels, sequences.roles)
    for metric in (LOGIT_DIFFERENCE, "p_right_in_context"):
        with pytest.raises(ValueError, match=f"{metric} is not a finite number"):
            non_additivity(model, absent, metrics=[metric])
    assert np.isfinite(non_additivity(model, absent, metrics=["loss"]).non_additivity).all()
    with pytest.raises(ValueError, match="got \\['margin'\\]"):
        non_additivity(model, sequences, metrics=["margin"])
    with pytest.raises(ValueError, match="heads are 0 to 3"):
        ablation_effects(model, sequences, [[4]])
    with pytest.raises(ValueError, match="no pairs"):
        pairwise_non_additivity(small_model(n_heads=1), sequences)


def test_same_seed_same_interval(sequences):
    model = small_model()
    first, again, other = (non_additivity(model, sequences, seed=seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.low.equals(other.low)
    wide = non_additivity(model, sequences, seed=1, level=0.99)
    assert (wide.low < first.low).all()
    assert (wide.high > first.high).all()


def test_intervals_cover_the_known_mean_about_as_often_as_they_say():
    draws = np.random.default_rng(0).exponential(size=(400, 60))  # mean 1, skewed
    low, high = bootstrap_interval(draws, np.random.default_rng(1), 0.9, 500).T
    covered = ((low < 1) & (high > 1)).mean()
    assert 0.83 < covered < 0.93  # 0.9 less what 60 skewed draws cost; standard error 0.016


def test_interval_is_the_normal_one_where_there_are_many_draws():
    draws = np.random.default_rng(0).normal(3, 2, size=(1, 4000))
    ((low, high),) = bootstrap_interval(draws, np.random.default_rng(1), 0.95, 4000)
    half = 1.96 * draws.std() / 4000**0.5
    assert low == pytest.approx(draws.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(draws.mean() + half, abs=0.1 * half)


@given(value=st.floats(-1e6, 1e6), scale=st.floats(-10, 10), seed=st.integers(0, 2**32 - 1))
def test_interval_moves_with_its_values(value, scale, seed):
    draws = np.random.default_rng(seed).normal(size=12)
    rows = np.stack([draws, scale * draws + value, np.full(12, value)])
    plain, moved, constant = bootstrap_interval(rows, np.random.default_rng(seed), 0.8, 50)
    tolerance = 1e-9 * (1 + abs(value))
    assert sorted(scale * plain + value) == pytest.approx(moved.tolist(), abs=tolerance)
    assert constant.tolist() == pytest.approx([value, value], abs=tolerance)


def test_bootstrap_refuses_what_it_cannot_resample():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval(np.array([[1.0, np.nan]]), generator)
    with pytest.raises(ValueError, match="needs two draws"):
        bootstrap_interval(np.zeros((2, 0)), generator)
    with pytest.raises(ValueError, match=r"level=1\.0"):
        bootstrap_interval(np.ones((1, 3)), generator, level=1.0)
