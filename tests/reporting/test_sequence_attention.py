import json
import re

import numpy as np
import pytest
import torch
from small_models import small_model, small_sequences

from coopetition_interp.interventions import PreviousTokenHeads
from coopetition_interp.reporting.sequence_attention import sequence_attention, sequence_tokens
from coopetition_interp.tasks.exemplar_label.sequences import PairRole, Sequences


def shown(widget):
    """What circuitsvis was given: its properties, out of the page."""
    properties = re.search(r"AttentionHeads,\s*(\{.*\})\s*\)\s*</script>", str(widget), re.DOTALL)
    return json.loads(properties[1])


def test_it_shows_the_heads_of_a_layer_on_one_sequence():
    model, sequences = small_model(), small_sequences(5)
    widget = sequence_attention(model, sequences, 3, layer=1)
    _, cache = model.run_with_cache(sequences)
    given = shown(widget)
    # circuitsvis writes numbers of its own precision; the cache ran five sequences at once
    np.testing.assert_allclose(given["attention"], cache["pattern", 1][3], atol=1e-6)
    assert given["attentionHeadNames"] == [f"layer 1 head {head}" for head in range(4)]
    assert [token.replace("_", " ") for token in given["tokens"]] == sequence_tokens(sequences[3:4])
    assert (given["minValue"], given["maxValue"]) == (0, 1)


def test_its_page_names_the_tokens_with_and_without_a_network():
    model, sequences = small_model(), small_sequences(2)
    widget = sequence_attention(model, sequences, 0, layer=0)
    for page in (widget.local_src, widget.cdn_src):
        for token in sequence_tokens(sequences[:1]):
            assert f'"{token.replace(" ", "_")}"' in page


def test_right_labels_and_matches_are_marked():
    sequences = small_sequences(1)
    match = PairRole.MATCH
    roles = torch.tensor([[PairRole.DISTRACTOR, match, PairRole.QUERY]])
    labels = torch.tensor([[4, 2, 2]])
    assert sequence_tokens(Sequences(sequences.exemplars, labels, roles)) == [
        "exemplar A", "label A", "exemplar B (match)", "label B (right)", "query",
    ]  # fmt: skip
    without_match = torch.tensor([[PairRole.LABEL_ONLY, PairRole.FILLER, PairRole.QUERY]])
    ciwl = Sequences(sequences.exemplars, torch.tensor([[2, 4, 2]]), without_match)
    assert sequence_tokens(ciwl) == [
        "exemplar A", "label A (right)", "exemplar B", "label B", "query",
    ]  # fmt: skip


def test_under_clamps():
    model, sequences = small_model(), small_sequences(5)
    clamps = [PreviousTokenHeads([(0, 2)])]
    held = np.array(shown(sequence_attention(model, sequences, 0, 0, clamps))["attention"])
    np.testing.assert_allclose(np.diagonal(held[2], -1), 1, atol=1e-6)
    free = np.array(shown(sequence_attention(model, sequences, 0, 0))["attention"])
    assert np.diagonal(free[2], -1).mean() < 0.5  # and the clamp is off again
    np.testing.assert_allclose(held[[0, 1, 3]], free[[0, 1, 3]], atol=1e-6)


@pytest.mark.parametrize(
    ("index", "layer", "message"),
    [
        (5, 0, "no sequence 5: there are 5"),
        (-1, 0, "no sequence -1"),
        (0, 2, "no block 2, its blocks are 0 to 1"),
    ],
)
def test_what_is_not_there_is_refused(index, layer, message):
    with pytest.raises(ValueError, match=message):
        sequence_attention(small_model(), small_sequences(5), index, layer)
