"""Tempered heads against the plain-torch model with that head's pattern made by hand."""

from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError

from coopetition_interp.analysis.head_temperature import (
    TEMPERATURES,
    Active,
    temperature_response,
    tempered,
)
from coopetition_interp.interventions import HeadTemperature, run_clamped
from coopetition_interp.tasks.exemplar_label.sequences import METRICS
from tests.reference_model import reference_forward
from tests.small_models import SMALL, n_hooks, small_model, small_sequences

HEADS = range(SMALL.n_heads)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def sequences():
    return small_sequences(50)


def by_hand(model, sequences, head, temperature, alone, layer=1):
    """Query logits with every query row of the layer on labels alone, one head's at a temperature.

    Weights on two labels are a sigmoid of the difference of their scores.
    """
    weights = {name: value.detach() for name, value in model.named_parameters()}
    inputs = (weights, sequences.exemplars, sequences.context_labels)
    scores = reference_forward(*inputs)[f"scores.{layer}"][:, :, -1]
    difference = scores[:, :, 3] - scores[:, :, 1]
    difference[:, head] /= temperature

    def pattern(p):
        p = p.clone()
        p[:, :, -1] = 0
        p[:, :, -1, 1], p[:, :, -1, 3] = torch.sigmoid(-difference), torch.sigmoid(difference)
        return p

    def values(v):
        kept = torch.zeros_like(v)
        kept[:, :, head] = v[:, :, head]
        return kept if alone else v

    overrides = {f"pattern.{layer}": pattern, f"v.{layer}": values}
    return reference_forward(*inputs, overrides=overrides)["logits"][:, -1]


def test_temperatures_are_those_of_the_figure():
    assert (min(TEMPERATURES), max(TEMPERATURES)) == (0.1, 8)
    assert 1 not in TEMPERATURES
    assert list(TEMPERATURES) == sorted(set(TEMPERATURES))
    below = [t for t in TEMPERATURES if t < 1]
    above = [t for t in TEMPERATURES if t > 1]
    assert (np.diff(np.diff(np.log([*below, 1]))) < 1e-9).all()  # ever denser up to 1
    assert (np.diff(np.diff([1, *above])) > -1e-9).all()  # and ever sparser from there


def test_table(model, sequences):
    temperatures = [0.1, 3.0]
    table = temperature_response(model, sequences, temperatures=temperatures)
    assert len(table) == 2 * 3 * SMALL.n_heads
    assert set(METRICS) <= set(table.columns)
    assert n_hooks(model) == 0
    right = sequences.right_labels
    place = (sequences.context_labels == right[:, None]).long().argmax(1, keepdim=True)
    table = table.set_index(["active", "head", "temperature"])
    for active in ("alone", "all"):
        for head in HEADS:
            p = {}
            for temperature in (1.0, 0.1, 3.0):
                logits = by_hand(model, sequences, head, temperature, active == "alone")
                in_context = logits.gather(1, sequences.context_labels).softmax(1)
                p[temperature] = in_context.gather(1, place).mean().item()
                row = table.loc[(active, head, temperature)]
                assert row.p_right_in_context == pytest.approx(p[temperature], abs=1e-10)
                assert row.loss == pytest.approx(F.cross_entropy(logits, right).item())
                change = p[temperature] - p[1.0]
                assert row.p_right_in_context_change == pytest.approx(change, abs=1e-10)


def test_temperature_1_is_the_untempered_model(model, sequences):
    for active in get_args(Active):
        plain = tempered(model, 1, 2, 1.0, active)
        assert not any(isinstance(clamp, HeadTemperature) for clamp in plain)
        with_clamp = [HeadTemperature([(1, 2)], 1.0), *plain]
        # Another computation, with a first pass for the scores: equal but for rounding.
        torch.testing.assert_close(
            run_clamped(model, sequences, plain), run_clamped(model, sequences, with_clamp)
        )


def test_only_writer(model, sequences):
    """The final residual is a position vector and the head's output, at that temperature."""
    _, cache = model.run_with_cache(sequences)
    scores = cache["blocks.1.attn.hook_attn_scores"][:, 2, -1, 1::2]
    mixed = (scores / 0.3).softmax(-1)[:, :, None] * cache["blocks.1.attn.hook_v"][:, 1::2, 2]
    residual = model.W_pos[-1] + mixed.sum(1) @ model.blocks[1].attn.W_O[2]
    with torch.no_grad():
        expected = model.unembed(model.ln_final(residual[:, None]))[:, 0]
    logits = run_clamped(model, sequences, tempered(model, 1, 2, 0.3, "only writer"))
    torch.testing.assert_close(logits, expected)


def test_a_head_far_too_hot_or_cold(model, sequences):
    """Attention to two labels becomes a step, or even."""
    hot, cold = (run_clamped(model, sequences, tempered(model, 1, 0, t)) for t in (1e6, 1e-6))
    torch.testing.assert_close(hot, by_hand(model, sequences, 0, 1e6, True))
    torch.testing.assert_close(cold, by_hand(model, sequences, 0, 1e-6, True))
    assert not torch.allclose(hot, cold, atol=1e-3)


def test_one_layer_and_one_head(sequences):
    model = small_model(n_layers=1, n_heads=1)
    table = temperature_response(model, sequences, temperatures=[0.5], metrics="in_context")
    assert "loss" not in table
    alone, whole = (table[table.active == which] for which in ("alone", "all"))
    assert (table.layer == 0).all()
    np.testing.assert_allclose(alone.p_right_in_context, whole.p_right_in_context, rtol=1e-9)


def test_mistakes_are_named(model, sequences):
    with pytest.raises(ValueError, match="from 1e-06 to"):
        temperature_response(model, sequences, temperatures=[0.0])
    with pytest.raises((ValueError, TypeCheckError), match="alone"):
        tempered(model, 1, 0, 0.5, "some")
    with pytest.raises(ValueError, match="no block 2"):
        temperature_response(model, sequences, layer=2, temperatures=[0.5])
