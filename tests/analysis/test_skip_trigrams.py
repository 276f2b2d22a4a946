"""A head alone at a clamped attention delta, against a forward pass written out by hand."""

import pandas as pd
import pytest
import torch

from coopetition_interp.analysis.skip_trigrams import (
    DELTAS,
    copying_by_delta,
    copying_summary,
    only_writer,
)
from coopetition_interp.interventions import run_clamped
from coopetition_interp.tasks.exemplar_label.sequences import Sequences
from tests.reference_model import reference_forward
from tests.small_models import SMALL, n_hooks, small_model, small_sequences

HEADS = range(SMALL.n_heads)


@pytest.fixture(scope="module")
def sequences():
    return small_sequences(60)


def written_by_hand(model, sequences, layer, head, delta, positions="learned", earlier=()):
    """Query logits from nothing but one head's output (and a position vector), in plain torch."""
    weights = {name: value.detach() for name, value in model.named_parameters()}
    intact = reference_forward(weights, sequences.exemplars, sequences.context_labels, positions)
    residuals = []
    for i in range(len(sequences)):
        right = (sequences.labels[i, :-1] == sequences.labels[i, -1]).nonzero().item()
        values = intact[f"v.{layer}"][i, :, head]
        to_right, to_other = values[2 * right + 1], values[2 * (1 - right) + 1]
        mixed = (1 + delta) / 2 * to_right + (1 - delta) / 2 * to_other
        residuals.append(mixed @ weights[f"blocks.{layer}.attn.W_O"][head])
    residual = torch.stack(residuals)
    if positions == "learned":
        residual = residual + weights["pos_embed.W_pos"][sequences.query_position]
    for each in earlier:
        mixed = torch.einsum("bhj,bjhd->bhd", intact[f"pattern.{each}"][:, :, -1], intact["v.0"])
        residual += torch.einsum("bhd,hdm->bm", mixed, weights[f"blocks.{each}.attn.W_O"])
    centred = residual - residual.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    final = centred / scale * weights["ln_final.w"] + weights["ln_final.b"]
    return final @ weights["unembed.W_U"] + weights["unembed.b_U"]


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize(("n_layers", "layer"), [(2, 1), (2, 0), (1, 0)])
@pytest.mark.parametrize("delta", [-1.0, 0.2, 1.0])
def test_the_output_is_the_heads_alone(sequences, positions, n_layers, layer, delta):
    model = small_model(n_layers=n_layers, positions=positions)
    for head in HEADS:
        logits = run_clamped(model, sequences, only_writer(model, layer, head, delta))
        expected = written_by_hand(model, sequences, layer, head, delta, positions)
        torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    assert n_hooks(model) == 0


def test_earlier_heads_can_keep_their_direct_path(sequences):
    model = small_model()
    clamps = only_writer(model, 1, 2, 0.6, earlier_heads=True)
    expected = written_by_hand(model, sequences, 1, 2, 0.6, earlier=[0])
    torch.testing.assert_close(run_clamped(model, sequences, clamps), expected)


def test_without_a_delta_the_head_keeps_its_own_pattern(sequences):
    model = small_model(positions="rotary")
    logits = run_clamped(model, sequences, only_writer(model, 1, 3))
    _, cache = model.run_with_cache(sequences)
    mixed = cache["blocks.1.attn.hook_z"][:, -1, 3] @ model.blocks[1].attn.W_O[3]
    with torch.no_grad():
        expected = model.unembed(model.ln_final(mixed[:, None]))[:, 0]
    torch.testing.assert_close(logits, expected)


def test_table(sequences):
    model = small_model()
    table = copying_by_delta(model, sequences).set_index(["head", "delta"])
    assert len(table) == 11 * SMALL.n_heads
    assert (table.layer == 1).all()
    correct = sequences.right_labels[:, None]
    other = sequences.context_labels.sum(1, keepdim=True) - correct
    for head in HEADS:
        for delta in DELTAS:
            logits = written_by_hand(model, sequences, 1, head, delta)
            gap = (logits.gather(1, correct) - logits.gather(1, other))[:, 0]
            row = table.loc[(head, delta)]
            assert row.in_context_accuracy == pytest.approx((gap > 0).double().mean().item())
            assert row.p_right_in_context == pytest.approx(gap.sigmoid().mean().item())


def copier(positions="rotary", sign=1.0):
    """One layer; a label's own direction of the residual stream is copied to its logit.

    Labels are embedded in directions of their own with mean 0, so LayerNorm keeps them apart.
    """
    model = small_model(n_layers=1, positions=positions, d_model=16, d_head=16, n_heads=2)
    directions = torch.eye(16, dtype=torch.float64)[:7] - 1 / 16
    with torch.no_grad():
        model.blocks[0].ln1.w.fill_(1)
        model.blocks[0].ln1.b.zero_()
        model.ln_final.w.fill_(1)
        model.ln_final.b.zero_()
        model.embed.W_E.copy_(directions)
        model.blocks[0].attn.W_V.copy_(torch.eye(16).expand(2, 16, 16))
        model.blocks[0].attn.W_O.copy_(sign * torch.eye(16).expand(2, 16, 16))
        model.unembed.W_U.copy_(directions.T)
        model.unembed.b_U.zero_()
    return model


def test_a_copying_head_goes_from_always_wrong_to_always_right(sequences):
    summary = copying_summary(copying_by_delta(copier(), sequences))
    assert summary.at_minus_1.tolist() == [0, 0]
    assert summary.at_plus_1.tolist() == [1, 1]
    assert summary.monotone.all()
    assert (summary.largest_drop == 0).all()
    assert (summary.spearman > 0.8).all()  # under 1 as 0, 0, ..., 1, 1 has ties
    p = copying_summary(copying_by_delta(copier(), sequences), metric="p_right_in_context")
    assert p.spearman.tolist() == pytest.approx([1, 1])
    anti = copying_summary(copying_by_delta(copier(sign=-1.0), sequences))
    assert anti.at_minus_1.tolist() == [1, 1]
    assert anti.at_plus_1.tolist() == [0, 0]
    assert not anti.monotone.any()
    assert (anti.spearman < -0.8).all()


def test_summary_of_a_known_sweep():
    values = {0: [0.1, 0.4, 0.25, 0.9], 1: [0.5, 0.5, 0.5, 0.5]}
    deltas = [-1.0, -0.2, 0.2, 1.0]
    table = pd.DataFrame(
        [
            {"layer": 1, "head": head, "delta": delta, "in_context_accuracy": value}
            for head, sweep in values.items()
            for delta, value in zip(deltas, sweep, strict=True)
        ]
    ).sample(frac=1, random_state=0)
    summary = copying_summary(table).set_index("head")
    assert summary.at_minus_1.to_dict() == {0: 0.1, 1: 0.5}
    assert summary.at_plus_1.to_dict() == {0: 0.9, 1: 0.5}
    assert summary.spearman[0] == pytest.approx(1 - 6 * 2 / (4 * 15))  # two neighbours swapped
    assert pd.isna(summary.spearman[1])
    assert summary.largest_drop.to_dict() == {0: pytest.approx(0.15), 1: 0}
    assert summary.monotone.to_dict() == {0: False, 1: True}
    over_checkpoints = pd.concat([table.assign(sequences_seen=n) for n in (0, 32)])
    by = ["sequences_seen", "layer", "head"]
    assert len(copying_summary(over_checkpoints, by=by)) == 4
    with pytest.raises(ValueError, match="each delta once"):
        copying_summary(over_checkpoints)
    with pytest.raises(ValueError, match="deltas -1 and 1"):
        copying_summary(table[table.delta < 1])


def test_one_head_per_block_needs_nobody_ablated(sequences):
    model = small_model(n_heads=1, n_layers=1)
    (row,) = copying_by_delta(model, sequences, deltas=[1]).itertuples()
    logits = written_by_hand(model, sequences, 0, 0, 1.0)
    right = logits.gather(1, sequences.context_labels).argmax(1, keepdim=True)
    hits = sequences.context_labels.gather(1, right)[:, 0] == sequences.right_labels
    assert row.in_context_accuracy == pytest.approx(hits.double().mean().item())


def test_mistakes_are_named(sequences):
    model = small_model()
    with pytest.raises(ValueError, match=r"from -1 to 1; got 1\.5"):
        copying_by_delta(model, sequences, deltas=[1.5])
    with pytest.raises(ValueError, match="no block 2"):
        copying_by_delta(model, sequences, layer=2)
    labels = sequences.labels.clone()
    labels[0, -1] = next(label for label in range(7) if label not in labels[0, :-1])
    with pytest.raises(ValueError, match="another in context"):
        copying_by_delta(model, Sequences(sequences.exemplars, labels, sequences.roles))
