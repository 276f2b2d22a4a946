"""The heads found are those that the ICL of a hand-built circuit hangs on."""

import copy

import pytest
import torch
from induction_circuit import induction_circuit, induction_config

from coopetition_interp.analysis.icl_heads import icl_heads
from coopetition_interp.tasks.exemplar_label.evaluation import evaluate
from coopetition_interp.tasks.exemplar_label.task import build_task


@pytest.fixture(scope="module")
def sequences():
    task = build_task(induction_config())
    return task.evaluation_sequences["icl"]


def accuracy_without(model, sequences, heads):
    """ICL accuracy with these heads' values wiped out of the weights, no clamp involved."""
    wiped = copy.deepcopy(model)
    with torch.no_grad():
        wiped.blocks[0].attn.W_V[heads] = 0.0
    return evaluate(wiped, {"icl": sequences}).in_context_accuracy.item()


def test_the_fewest_heads_without_which_icl_is_gone(sequences):
    model = induction_circuit()
    found = icl_heads(model, sequences)
    # Either of 2 and 0 carries it alone; 1 attends to the previous token but copies nothing.
    assert sorted(found) == [0, 2]
    assert accuracy_without(model, sequences, found) == pytest.approx(0.5, abs=0.05)
    for head in found:
        assert accuracy_without(model, sequences, [head]) > 0.9


def test_one_head_is_enough_where_one_carries_it_all(sequences):
    model = induction_circuit()
    with torch.no_grad():
        model.blocks[0].attn.W_V[0] = 0.0
    assert icl_heads(model, sequences) == [2]


def test_a_model_that_does_not_learn_in_context_is_refused(sequences):
    model = build_task(induction_config()).model
    with pytest.raises(ValueError, match="does not learn in context"):
        icl_heads(model, sequences)


def test_icl_that_does_not_come_from_layer_0_is_refused(sequences):
    with pytest.raises(ValueError, match="even with all heads of layer 0 off"):
        icl_heads(induction_circuit(n_layers=3), sequences)
