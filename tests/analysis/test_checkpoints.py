import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import vmap

from coopetition_interp.analysis.attention_strengths import (
    head_strengths,
    induction_strength,
)
from coopetition_interp.analysis.checkpoints import (
    checkpoint_models,
    evaluate_checkpoints,
    over_checkpoints,
    strengths_over_checkpoints,
)
from coopetition_interp.interventions import (
    AblateHeads,
    GraftIn,
    Preserve,
    PreviousTokenHeads,
    run_clamped,
)
from coopetition_interp.tasks.exemplar_label.evaluation import evaluate
from coopetition_interp.training.run_directory import RunError


@pytest.fixture(scope="module")
def sequences(short_run):
    return short_run.evaluation_sequences["train"][:300]


def test_each_checkpoint_is_measured_with_its_own_weights(short_run, sequences):
    found = over_checkpoints(short_run, sequences, induction_strength)
    expected = []
    for seen in short_run.checkpoints:
        table = induction_strength(short_run.model(seen), sequences)
        expected.append(table.assign(sequences_seen=seen))
    pd.testing.assert_frame_equal(
        found, pd.concat(expected, ignore_index=True)[found.columns.tolist()]
    )
    assert found.groupby("sequences_seen").strength.mean().nunique() == len(short_run.checkpoints)


@pytest.mark.parametrize(
    "clamps",
    [
        (),
        (AblateHeads([(1, 0)]),),
        (PreviousTokenHeads([(0, 1)]),),
        (Preserve(patterns=True, values=True), AblateHeads([(0, 0), (0, 1)])),
    ],
    ids=["plain", "ablated", "previous token", "two passes"],
)
def test_metrics_are_those_of_all_checkpoints_stacked(short_run, sequences, clamps):
    found = evaluate_checkpoints(short_run, clamps, sequences={"train": sequences})
    weights = [short_run.weights(seen) for seen in short_run.checkpoints]
    stacked = {name: torch.stack([each[name] for each in weights]) for name in weights[0]}
    model = short_run.model("first")
    with torch.no_grad():
        logits = vmap(lambda w: run_clamped(model, sequences, clamps, parameters=w))(stacked)
    loss = [torch.nn.functional.cross_entropy(each, sequences.right_labels) for each in logits]
    # One by one and stacked round otherwise: some float32 steps of a loss of about 4, and the
    # answer to a sequence whose two highest logits are all but equal may turn.
    np.testing.assert_allclose(found.loss, torch.stack(loss), rtol=0, atol=1e-5)
    accuracy = (logits.argmax(-1) == sequences.right_labels).float().mean(1)
    np.testing.assert_allclose(found.accuracy, accuracy, rtol=0, atol=1.01 / len(sequences))
    assert found.sequences_seen.tolist() == short_run.checkpoints


def test_strengths_under_clamps(short_run, sequences):
    last = short_run.checkpoints[-1]
    clamps = [PreviousTokenHeads([(0, 1)], strength=0.25)]
    table = strengths_over_checkpoints(short_run, sequences, clamps, checkpoints=[last])
    expected = head_strengths(short_run.model(last), sequences, clamps)
    pd.testing.assert_frame_equal(table.drop(columns="sequences_seen"), expected)
    held = table[(table.layer == 0) & (table["head"] == 1)]
    assert held.previous_token_strength.item() == pytest.approx(0.25)


def test_evaluators_go_through_as_they_are(short_run):
    chosen = {name: each[:50] for name, each in short_run.evaluation_sequences.items()}
    table = over_checkpoints(short_run, chosen, evaluate, short_run.checkpoints[:2])
    assert table.evaluator.tolist() == list(chosen) * 2


def test_a_graft_fixes_what_checkpoints_share(short_run, sequences):
    donor = str(short_run.checkpoint_path("last"))
    last_layer = short_run.config.model.n_layers - 1
    sequences = {"train": sequences}
    table = evaluate_checkpoints(short_run, [GraftIn(donor, last_layer)], sequences=sequences)
    # Only the final LayerNorm and the unembedding still differ between checkpoints.
    plain = evaluate_checkpoints(short_run, sequences=sequences)
    assert table.loss.iloc[-1] == pytest.approx(plain.loss.iloc[-1], abs=1e-5)  # float32
    assert table.loss.iloc[0] != pytest.approx(plain.loss.iloc[0], abs=1e-4)


@pytest.mark.parametrize(
    ("checkpoints", "expected"),
    [
        *(("last", [1920]), (["last"], [1920]), (("first", 640.0), [0, 640]), ("all", None)),
        *((640, [640]), (np.float64(640), [640]), (np.array([640]), [640])),
        *((torch.tensor(640), [640]), ({640}, [640])),
    ],
)
def test_checkpoints_are_chosen_one_or_several(checkpoints, expected, short_run, sequences):
    chosen = evaluate_checkpoints(
        short_run, checkpoints=checkpoints, sequences={"train": sequences[:8]}
    )
    assert list(chosen.sequences_seen) == (expected or short_run.checkpoints)


@pytest.mark.parametrize("checkpoints", [["end"], "end", [None], [True], 640.5, [[640]]])
def test_what_is_no_checkpoint_is_told(checkpoints, short_run):
    with pytest.raises(RunError, match=r"is no checkpoint of .* \"first\" or|has no checkpoint at"):
        evaluate_checkpoints(short_run, checkpoints=checkpoints)


@pytest.mark.parametrize(
    ("measured", "row"),
    [
        (2.5, {"value": 2.5}),
        (np.float32(2.5), {"value": 2.5}),
        (torch.tensor(2.5), {"value": 2.5}),
        ({"loss": 2.5, "kind": "mine"}, {"loss": 2.5, "kind": "mine"}),
        ({"loss": torch.tensor(2.5)}, {"loss": 2.5}),
        (pd.Series({"loss": 2.5, "n": 3.0}), {"loss": 2.5, "n": 3.0}),
    ],
)
def test_a_measure_may_give_numbers(measured, row, short_run):
    table = over_checkpoints(short_run, None, lambda model, _: measured, "last")
    assert table.to_dict("records") == [{"sequences_seen": 1920, **row}]


def test_a_measure_that_gives_no_table_is_told(short_run):
    for measured in (None, "text", [1.0, 2.0], {"loss": [1.0]}, {}, torch.ones(2)):
        with pytest.raises(TypeError, match=r"a measure gives a table .*; got"):
            over_checkpoints(short_run, None, lambda model, _, given=measured: given, "last")
    mine = pd.DataFrame({"value": [1.0]})
    assert len(over_checkpoints(short_run, None, lambda model, _: mine, ["first", "last"])) == 2
    assert list(mine) == ["value"]
    mine["sequences_seen"] = 0
    with pytest.raises(ValueError, match="has a column sequences_seen"):
        over_checkpoints(short_run, None, lambda model, _: mine)


def test_sequences_to_evaluate_on_have_names(short_run, sequences):
    with pytest.raises(ValueError, match=r"given by name, as {'mine': sequences}; got Sequences"):
        evaluate_checkpoints(short_run, sequences=sequences)


def test_a_checkpoint_that_is_not_there_is_an_error_before_any_work(short_run, sequences):
    def measure(model, sequences):
        raise AssertionError("nothing should be measured")

    missing = short_run.checkpoints[-1] + 1
    with pytest.raises(RunError, match=f"no checkpoint at {missing}.*nearest"):
        over_checkpoints(short_run, sequences, measure, [short_run.checkpoints[0], missing])
    assert list(checkpoint_models(short_run, [])) == []
