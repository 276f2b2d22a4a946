"""Evaluation of a model equals scoring its own logits, however it is chunked."""

import jaxtyping
import pytest
import torch

from coopetition_interp.interventions import AblateHeads, Preserve, clamped
from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.tasks.exemplar_label.evaluation import evaluate, score_model
from coopetition_interp.tasks.exemplar_label.features import gaussian_features
from coopetition_interp.tasks.exemplar_label.model import ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import (
    IN_CONTEXT_METRICS,
    METRICS,
    make_evaluation_sequences,
    score_sequences,
    standard_evaluators,
)

BANK = gaussian_features(12, 3, d_feature=5)
SEQUENCES = make_evaluation_sequences(
    BANK, BANK.split(n_train_classes=10), standard_evaluators(n_sequences=40), 0, 10
)


def a_model(**options):
    return ModelConfig(n_heads=2, d_head=4, d_model=8, **options).build(5, 10, 2)


@pytest.mark.parametrize("layer_norm", [True, False])
def test_the_table_holds_the_means_of_each_evaluator(layer_norm):
    model = a_model(layer_norm=layer_norm)
    table = evaluate(model, SEQUENCES).set_index("evaluator")
    assert list(table.index) == ["train", "icl", "ciwl", "flip", "iwl"]
    assert list(table.columns) == [*METRICS, "n_sequences"]
    assert (table["n_sequences"] == 40).all()
    for name, sequences in SEQUENCES.items():
        with torch.no_grad():
            scores = score_sequences(model(sequences)[:, -1], sequences)
            loss = model(sequences, return_type="loss").item()
        assert table.loc[name, "loss"] == pytest.approx(loss, abs=1e-5)
        for metric in METRICS:
            mean = scores[metric].mean().item()
            assert table.loc[name, metric] == pytest.approx(mean, abs=1e-5, nan_ok=True)
    assert table["in_context_accuracy"].isna().to_dict() == {
        name: name == "iwl" for name in SEQUENCES
    }


@pytest.mark.parametrize("chunk", [None, 1, 7, 40, 100])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_chunks_and_the_shortcut_change_nothing(chunk, layer_norm):
    model = a_model(layer_norm=layer_norm)
    with torch.no_grad():
        whole = score_sequences(model(SEQUENCES["flip"])[:, -1], SEQUENCES["flip"])
    for metrics, names in (("all", METRICS), ("in_context", IN_CONTEXT_METRICS)):
        scores = score_model(model, SEQUENCES["flip"], chunk=chunk, metrics=metrics)
        assert tuple(scores) == names
        for name in names:
            torch.testing.assert_close(scores[name], whole[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("metrics", ["all", "in_context"])
@pytest.mark.parametrize("hook_name", ["blocks.1.attn.hook_z", "ln_final.hook_scale"])
def test_hooks_act_and_are_called_for_every_chunk(metrics, hook_name):
    model, calls = a_model(), []

    def double(activation, hook):
        calls.append(hook.name)
        return activation * 2

    plain = score_model(model, SEQUENCES["flip"], chunk=10, metrics=metrics)
    with model.hooks(fwd_hooks=[(hook_name, double)]):
        hooked = score_model(model, SEQUENCES["flip"], chunk=10, metrics=metrics)
    assert calls == [hook_name] * 4
    assert not torch.equal(hooked["p_right_in_context"], plain["p_right_in_context"])


def test_a_hook_on_the_logits_is_not_bypassed():
    model = a_model()
    with model.hooks(fwd_hooks=[("unembed.hook_out", lambda logits, hook: -logits)]):
        flipped = score_model(model, SEQUENCES["flip"], metrics="in_context")
    plain = score_model(model, SEQUENCES["flip"], metrics="in_context")
    torch.testing.assert_close(
        flipped["p_right_in_context"], 1 - plain["p_right_in_context"], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("metrics", ["all", "in_context"])
@pytest.mark.parametrize("chunk", [None, 7])
def test_clamps_are_held(metrics, chunk):
    model, clamps = a_model(), [AblateHeads(heads=[(0, 0), (1, 1)])]
    scores = score_model(model, SEQUENCES["flip"], clamps, chunk, metrics)
    with torch.no_grad():
        for layer, head in ((0, 0), (1, 1)):
            model.blocks[layer].attn.W_V[head] = 0
    without_values = score_model(model, SEQUENCES["flip"], metrics=metrics)
    for name, values in scores.items():
        torch.testing.assert_close(values, without_values[name], atol=1e-5, rtol=0)
    assert not any(hook.fwd_hooks for hook in model.hook_dict.values())


def test_nothing_asks_for_gradients():
    scores = score_model(a_model(), SEQUENCES["train"])
    assert not any(values.requires_grad for values in scores.values())


def entropy(logits, sequences):
    return torch.distributions.Categorical(logits=logits).entropy()


def right_minus_best(logits, sequences):
    return logits.gather(1, sequences.right_labels[:, None])[:, 0] - logits.max(dim=1).values


def test_metrics_of_ones_own():
    model = a_model()
    table = evaluate(model, SEQUENCES, chunk=7, metrics=[entropy, right_minus_best])
    assert list(table.columns) == ["evaluator", "entropy", "right_minus_best", "n_sequences"]
    with torch.no_grad():
        for row, sequences in zip(table.itertuples(), SEQUENCES.values(), strict=True):
            logits = model(sequences, return_type="query_logits")
            assert row.entropy == pytest.approx(entropy(logits, sequences).mean().item(), abs=1e-5)
            difference = right_minus_best(logits, sequences).mean().item()
            assert row.right_minus_best == pytest.approx(difference, abs=1e-5)
    for wrong, told in (
        ([entropy, entropy], "names .* that differ"),
        ([], "names"),
        ([lambda logits, sequences: logits], "<lambda> must give a number for each of 40"),
    ):
        with pytest.raises(ValueError, match=told):
            evaluate(model, SEQUENCES, metrics=wrong)


@pytest.mark.parametrize("options", [{"chunk": 0}, {"metrics": "some"}])
def test_bad_options_are_refused_by_name(options, monkeypatch):
    # What a user without run-time type checks sees.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=next(iter(options))):
        score_model(a_model(), SEQUENCES["train"], **options)


def test_the_model_is_not_run_for_in_context_metrics_that_no_sequence_has():
    model, iwl = a_model(), SEQUENCES["iwl"]
    runs = []
    with model.hooks([("blocks.0.hook_resid_pre", lambda resid, hook: runs.append(hook.name))]):
        scores = score_model(model, iwl, metrics="in_context")
        assert runs == []
        score_model(model, SEQUENCES["flip"], metrics="in_context")
        assert runs
    assert set(scores) == set(IN_CONTEXT_METRICS)
    for values in scores.values():
        assert values.shape == (len(iwl),)
        assert values.isnan().all()


@pytest.mark.parametrize("metrics", ["all", "in_context"])
def test_no_sequences_are_refused(metrics):
    with pytest.raises(ValueError, match="there are no sequences to score"):
        evaluate(a_model(), {"icl": SEQUENCES["icl"][:0]}, metrics=metrics)


def test_in_a_with_block_it_says_where_clamps_go():
    model, clamps = a_model(), [Preserve(patterns=True)]
    with (
        clamped(model, SEQUENCES["icl"], clamps),
        pytest.raises(ValueError, match=r"Preserve.*holds for .* give evaluate the clamps"),
    ):
        evaluate(model, {"icl": SEQUENCES["icl"]})


def test_with_several_labels_a_class_its_class_is_scored_as_in_training():
    config = preset("tiny").replace(
        sequences={"n_labels_per_class": 2},
        evaluators=standard_evaluators(n_labels_per_class=2, n_sequences=40, n_pairs=2)[-1:],
    )
    task = config.build()
    of_training = config.evaluator(task.model)(task.evaluation_sequences)
    ours = evaluate(task.model, task.evaluation_sequences, labels_per_class=2)
    assert ours["class_accuracy"].tolist() == of_training["class_accuracy"].tolist()
    (sequences,) = task.evaluation_sequences.values()
    scores = score_model(task.model, sequences, labels_per_class=2)
    assert scores["class_accuracy"].mean().item() == pytest.approx(ours["class_accuracy"][0])
    assert "class_accuracy" not in evaluate(task.model, task.evaluation_sequences)
