import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from small_models import small_model, small_sequences

from coopetition_interp.analysis.attention_patterns import (
    attention_over_checkpoints,
    mean_attention,
    pair_names,
    query_row_names,
    token_names,
)
from coopetition_interp.analysis.attention_strengths import query_attention
from coopetition_interp.analysis.right_label_places import with_right_label_in
from coopetition_interp.interventions import During, PreviousTokenHeads
from coopetition_interp.tasks.exemplar_label.sequences import Sequences
from coopetition_interp.training import RunError, load_run


def entries(table, layer, head):
    of_head = table[(table.layer == layer) & (table["head"] == head)]
    return of_head.set_index(["query", "key"]).attention


def cached_patterns(model, sequences):
    """Patterns by TransformerLens's own cache: [layer, batch, head, row, column]."""
    _, cache = model.run_with_cache(sequences)
    return torch.stack([cache["pattern", layer] for layer in range(model.cfg.n_layers)]).numpy()


def test_tokens_are_named_by_their_pair():
    assert token_names(2) == ["exemplar A", "label A", "exemplar B", "label B", "query"]
    assert query_row_names(1) == ["query (A right)", "query (none right)"]
    assert pair_names(26)[-1] == "Z"
    assert pair_names(27)[-1] == "27"


def test_patterns_are_means_over_the_sequences_that_have_the_right_pair_there():
    model, sequences = small_model(n_pairs=3), small_sequences(600, n_pairs=3)  # three chunks
    table = mean_attention(model, sequences)
    patterns = cached_patterns(model, sequences)
    right = (sequences.context_labels == sequences.right_labels[:, None]).numpy()
    names = token_names(3)
    for layer, head in ((0, 1), (1, 3)):
        found, of_head = entries(table, layer, head), patterns[layer, :, head]
        for row, query in enumerate(names[:-1]):
            expected = of_head.mean(0)[row, : row + 1]
            np.testing.assert_allclose(found[query], expected, atol=1e-12)
            assert found[query].index.tolist() == names[: row + 1]
        for pair, query in enumerate(query_row_names(3)[:-1]):
            expected = of_head[right[:, pair]].mean(0)[-1]
            np.testing.assert_allclose(found[query], expected, atol=1e-12)
            assert found[query].index.tolist() == names
    assert "query (none right)" not in set(table["query"])
    sums = table.groupby(["layer", "head", "query"]).attention.sum()
    np.testing.assert_allclose(sums, 1)


def test_the_querys_rows_agree_with_attention_by_position():
    model, sequences = small_model(), small_sequences(80)
    found = entries(mean_attention(model, sequences), 1, 2)
    for pair, row in enumerate(("query (A right)", "query (B right)")):
        of_pair = query_attention(model, with_right_label_in(sequences, pair), by="position")
        of_head = of_pair[(of_pair.layer == 1) & (of_pair["head"] == 2)]
        np.testing.assert_allclose(found[row], of_head.attention, atol=1e-12)


def test_sequences_with_several_right_pairs_and_with_none():
    model, sequences = small_model(), small_sequences(9)
    labels = sequences.labels.clone()
    labels[:3, :2] = labels[:3, 2:]  # both are right
    labels[3:6, 2] = (labels[3:6, :2].sum(1) + 1) % 7
    labels[3:6, :2] = torch.where(labels[3:6, :2] == labels[3:6, 2:], 0, labels[3:6, :2])
    labels[3:6, 2] = torch.where((labels[3:6, :2] == labels[3:6, 2:]).any(1), 6, labels[3:6, 2])
    mixed = Sequences(sequences.exemplars, labels, sequences.roles)
    right = mixed.carries_right_label.numpy()
    assert right[:3].all()
    assert not right[3:6].any()
    found = entries(mean_attention(model, mixed), 0, 0)
    rows = cached_patterns(model, mixed)[0, :, 0, -1]
    np.testing.assert_allclose(found["query (A right)"], rows[right[:, 0]].mean(0), atol=1e-12)
    np.testing.assert_allclose(found["query (none right)"], rows[3:6].mean(0), atol=1e-12)


def test_chosen_heads_and_clamps():
    model, sequences = small_model(), small_sequences(20)
    table = mean_attention(model, sequences, [(1, 3), (0, 2)], [PreviousTokenHeads([(0, 2)])])
    assert table[["layer", "head"]].drop_duplicates().to_numpy().tolist() == [[0, 2], [1, 3]]
    assert entries(table, 0, 2)["label B", "exemplar B"] == pytest.approx(1)
    free = entries(mean_attention(model, sequences, [(0, 2)]), 0, 2)
    assert free["label B", "exemplar B"] != pytest.approx(1, abs=0.01)


def test_over_checkpoints(short_run):
    sequences = short_run.evaluation_sequences["icl"][:50]
    table = attention_over_checkpoints(short_run, "icl", [(1, 0)], n_checkpoints=2, n_sequences=50)
    assert table.columns.tolist() == [
        "sequences_seen", "layer", "head", "query", "key", "attention",
    ]  # fmt: skip
    first, last = short_run.checkpoints[0], short_run.checkpoints[-1]
    assert table.sequences_seen.unique().tolist() == [first, last]
    for seen in (first, last):
        expected = mean_attention(short_run.model(seen), sequences, [(1, 0)])
        of_checkpoint = table[table.sequences_seen == seen].drop(columns="sequences_seen")
        # float32, one model object after another: the same computation
        pd.testing.assert_frame_equal(of_checkpoint.reset_index(drop=True), expected, atol=1e-6)
    without_answer = attention_over_checkpoints(short_run, "iwl", [(1, 0)], 1, 50)
    assert [q for q in without_answer["query"].unique() if q.startswith("query")] == [
        "query (none right)"
    ]


def test_a_timed_clamp_is_held_on_the_checkpoints_of_its_time(short_run):
    first, last = short_run.checkpoints[0], short_run.checkpoints[-1]
    held = During(PreviousTokenHeads([(0, 2)]), start=last)
    table = attention_over_checkpoints(short_run, "icl", [(0, 2)], 2, 50, clamps=[held])
    attention = {
        seen: entries(table[table.sequences_seen == seen], 0, 2)["label B", "exemplar B"]
        for seen in (first, last)
    }
    assert attention[last] == pytest.approx(1)
    assert attention[first] != pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluator": "flop"}, "no evaluator 'flop'; it has train, icl"),
        ({"n_checkpoints": 0}, "n_checkpoints must be at least 1; got 0"),
        ({"n_sequences": -1}, "n_sequences must be at least 1; got -1"),
        ({"heads": [(1, 4)]}, "block 1 has no head 4"),
        ({"heads": [(2, 0)]}, "no block 2"),
        ({"heads": []}, "no heads are named"),
        ({"heads": [(1,)]}, "a head is a pair"),
        ({"clamps": [PreviousTokenHeads([(0, 9)])]}, "no head 9"),
        ({"clamps": [During(PreviousTokenHeads([(0, 0)]), start=1, stop=2)]}, "never be held"),
    ],
)
def test_what_the_run_lacks_is_one_clear_error(short_run, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        attention_over_checkpoints(short_run, **changes)
    assert len(str(error.value)) < 600


def test_a_run_without_checkpoints_and_an_average_over_nothing(short_run, tmp_path):
    bare = shutil.copytree(short_run.path, tmp_path / "bare")
    shutil.rmtree(bare / "checkpoints")
    with pytest.raises(RunError, match="no checkpoints"):
        attention_over_checkpoints(load_run(bare))
    with pytest.raises(ValueError, match="no sequences"):
        mean_attention(small_model(), small_sequences()[:0])
