import itertools

import pandas as pd
import pytest
import torch

from coopetition_interp.analysis.weight_composition import composition_scores
from tests.small_models import SMALL, small_model


def test_agrees_with_transformer_lens_where_the_outer_factors_do_not_matter():
    """TransformerLens scores whole circuits, W_V W_O against W_Q W_K^T or W_V W_O.

    Factors with orthonormal columns (or rows) at the outer ends change no Frobenius norm, so then
    its scores are those of the inner factors alone: the thesis's.
    """
    shape = (3, SMALL.n_heads, SMALL.d_model, SMALL.d_head)
    orthonormal = torch.linalg.qr(torch.randn(shape, dtype=torch.float64))[0]
    outer_of_reader = {"Q": "W_K", "K": "W_Q", "V": "W_O"}
    assert len(composition_scores(small_model(n_layers=3))) == 3 * 3 * SMALL.n_heads**2
    for composition, outer in outer_of_reader.items():
        model = small_model(n_layers=3)
        # For V the middle layer would need both W_V free and W_O orthonormal: only the last reads.
        pairs = [(0, 2), (1, 2)] + ([(0, 1)] if composition != "V" else [])
        with torch.no_grad():
            for layer, block in enumerate(model.blocks):
                if composition != "V" or layer < 2:
                    block.attn.W_V.copy_(orthonormal[layer])
                if composition == "V" and layer == 2:
                    block.attn.W_O.copy_(orthonormal[layer].mT)
                elif composition != "V":
                    getattr(block.attn, outer).copy_(orthonormal[layer].roll(1, 0))
        theirs = model.all_composition_scores(composition)
        index = ["composition", "from_layer", "from_head", "to_layer", "to_head"]
        found = composition_scores(model).set_index(index).score
        for (i, j), a, b in itertools.product(pairs, range(4), range(4)):
            assert found[(composition, i, a, j, b)] == pytest.approx(
                theirs[i, a, j, b].item(), abs=1e-10
            )


def test_bounds_and_invariance_to_scale():
    model = small_model()
    before = composition_scores(model)
    assert before.score.between(0, 1).all()
    with torch.no_grad():
        model.blocks[0].attn.W_O *= 7
        model.blocks[1].attn.W_K *= 0.1
    pd.testing.assert_frame_equal(composition_scores(model), before)


def test_aligned_and_disjoint_subspaces():
    model = small_model()
    basis = torch.eye(SMALL.d_model, dtype=torch.float64)
    with torch.no_grad():
        writes, reads = model.blocks[0].attn.W_O, model.blocks[1].attn.W_K
        writes.zero_()
        reads.zero_()
        writes[0, 0], writes[1, 0] = basis[3], basis[4]  # each head writes one direction
        reads[:, :, 0] = basis[3]  # every head reads direction 3
    table = composition_scores(model)
    keys = table[table.composition == "K"].set_index(["from_head", "to_head"]).score
    assert keys[(0, 2)] == pytest.approx(1)
    assert keys[(1, 2)] == 0


def test_a_single_layer_has_no_pairs():
    table = composition_scores(small_model(n_layers=1))
    assert len(table) == 0
    assert "score" in table
