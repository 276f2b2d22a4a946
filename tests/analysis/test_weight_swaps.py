"""Swapped halves equal grafts, a mixture of weights made by hand, and the run itself."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_models import D_FEATURE, N_LABELS, SMALL, small_model, small_sequences

from coopetition_interp.analysis.thin_run import thin_run
from coopetition_interp.analysis.weight_swaps import COLUMNS, weight_swap
from coopetition_interp.interventions import GraftIn, GraftOut, run_clamped
from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.tasks.exemplar_label.evaluation import evaluate
from coopetition_interp.tasks.exemplar_label.sequences import IN_CONTEXT_METRICS, score_sequences
from coopetition_interp.training import RunError, load_run
from coopetition_interp.training.run_directory import RunDirectory

HALVES = ("first half", "second half")
GRAFTS = [("first half", GraftIn), ("second half", GraftOut)]
TINY = load_run(Path(__file__).parents[2] / "checkpoints" / "tiny")
MOMENTS = [0, 9_600, 19_200, 32_000]
FEW = 200


@pytest.fixture(scope="module")
def sequences():
    return {name: each[:FEW] for name, each in TINY.evaluation_sequences.items()}


def untrained_run(path, n_pairs=2, **changes):
    """A run of three checkpoints that are models with different random weights."""
    tiny = preset("tiny")
    config = SMALL.replace(**changes)
    sequences = tiny.sequences.replace(n_pairs=n_pairs)
    with RunDirectory(path) as directory:
        directory.write_config(
            tiny.replace(model=config, sequences=sequences),
            {"d_feature": D_FEATURE, "n_labels": N_LABELS},
        )
        for seen in (0, 10, 20):
            model = small_model(config, n_pairs, torch.float32, init_seed=1 + seen)
            file = directory.checkpoint_path(seen)
            file.parent.mkdir(exist_ok=True)
            directory.write_tensors(file, dict(model.named_parameters()), {})
    return load_run(path)


def tolerance(metric, n_sequences=FEW):
    """How far a mean may move when float32 is summed in another order, in a batch or compiled.

    Probabilities by rounding; the answer to one sequence may turn, whose two logits are all but
    equal.
    """
    return 1.01 / n_sequences if metric == "in_context_accuracy" else 1e-5


def assert_metrics_close(found, expected, n_sequences=FEW):
    assert found["evaluator"].tolist() == expected["evaluator"].tolist()
    for metric in IN_CONTEXT_METRICS:
        atol = tolerance(metric, n_sequences)
        np.testing.assert_allclose(found[metric], expected[metric], rtol=0, atol=atol)


@pytest.mark.parametrize("fixed", HALVES)
@pytest.mark.parametrize("layer", [-1, 0])
def test_a_checkpoint_swapped_with_itself_is_that_checkpoint(sequences, fixed, layer):
    for seen in MOMENTS:
        found = weight_swap(TINY, sequences, fixed, seen, [seen], layer)
        plain = evaluate(TINY.model(seen), sequences, metrics="in_context")
        assert_metrics_close(found, plain)


@pytest.mark.parametrize(("fixed", "graft"), GRAFTS)
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_swaps_are_grafts(sequences, fixed, graft, layer):
    found = weight_swap(TINY, sequences, fixed, 19_200, MOMENTS, layer)
    assert tuple(found.columns) == COLUMNS
    clamps = [graft(TINY.checkpoint_path(19_200), layer)]
    for seen in MOMENTS:
        model = TINY.model(seen)
        rows = found[found["sequences_seen"] == seen].set_index("evaluator")
        assert rows.index.tolist() == list(sequences)
        for name, each in sequences.items():
            with torch.no_grad():
                scores = score_sequences(run_clamped(model, each, clamps), each)
            for metric in IN_CONTEXT_METRICS:
                mean = scores[metric].mean().item()
                atol = tolerance(metric)
                assert rows.loc[name, metric] == pytest.approx(mean, abs=atol, nan_ok=True)


def test_the_table_says_what_it_is_of(sequences):
    table = weight_swap(TINY, sequences, "second half", 32_000)
    assert table["sequences_seen"].unique().tolist() == TINY.checkpoints
    assert set(table["fixed"]) == {"second half"}
    assert set(table["fixed_at"]) == {32_000}
    assert set(table["layer"]) == {0}
    assert set(table["n_sequences"]) == {200}
    # The right label of an IWL sequence is not in context, so there is nothing to be right about.
    assert table["in_context_accuracy"].isna().equals(table["evaluator"] == "iwl")
    nothing = weight_swap(TINY, sequences, "second half", 32_000, checkpoints=[])
    assert len(nothing) == 0
    assert tuple(nothing.columns) == COLUMNS


def test_the_halves_are_what_the_paper_says(sequences):
    """Embedding and first block against second block, final LayerNorm and unembedding."""
    early, late = TINY.weights(9_600), TINY.weights(32_000)
    first_half = ("exemplar_embed.", "embed.", "pos_embed.", "blocks.0.")
    mixture = {n: early[n] if n.startswith(first_half) else late[n] for n in early}
    model = TINY.model(32_000)
    model.load_state_dict(mixture, strict=False)
    expected = evaluate(model, sequences, metrics="in_context")
    for metric in IN_CONTEXT_METRICS:  # else the mixture would prove nothing
        for seen in (9_600, 32_000):
            plain = evaluate(TINY.model(seen), sequences, metrics="in_context")
            assert not np.allclose(expected[metric], plain[metric], atol=1e-3, equal_nan=True)
    assert_metrics_close(weight_swap(TINY, sequences, "second half", 32_000, [9_600]), expected)
    assert_metrics_close(weight_swap(TINY, sequences, "first half", 9_600, [32_000]), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_layers": 1},
        {"n_layers": 3, "mlps": True, "positions": "rotary"},
        {"positions": "sinusoidal", "layer_norm": False},
        {"n_pairs": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize(("fixed", "graft"), GRAFTS)
def test_other_architectures(changes, fixed, graft, tmp_path):
    run = untrained_run(tmp_path / "run", **changes)
    n_pairs = changes.get("n_pairs", 2)
    sequences = {"any": small_sequences(40, n_pairs, dtype=torch.float32)}
    for layer in range(-1, changes.get("n_layers", 2)):
        found = weight_swap(run, sequences, fixed, 10, layer=layer)
        clamps = [graft(run.checkpoint_path(10), layer)]
        tables = [evaluate(run.model(seen), sequences, clamps) for seen in (0, 10, 20)]
        assert_metrics_close(found, pd.concat(tables), n_sequences=40)


def test_compiling_changes_nothing(sequences):
    settings = {"fixed": "second half", "fixed_at": 19_200, "checkpoints": MOMENTS}
    plain = weight_swap(TINY, sequences, **settings, compile=False).set_index("evaluator")
    compiled = weight_swap(TINY, sequences, **settings, compile=True).set_index("evaluator")
    for metric in IN_CONTEXT_METRICS:
        pd.testing.assert_series_equal(
            compiled[metric], plain[metric], rtol=0, atol=tolerance(metric)
        )


def test_more_sequences_than_are_run_at_a_time():
    repeated = torch.arange(2600) % 500
    sequences = {name: each[repeated] for name, each in TINY.evaluation_sequences.items()}
    for fixed, graft in GRAFTS:
        found = weight_swap(TINY, sequences, fixed, 19_200, [32_000])
        clamps = [graft(TINY.checkpoint_path(19_200), 0)]
        expected = evaluate(TINY.model(32_000), sequences, clamps, metrics="in_context")
        assert_metrics_close(found, expected, n_sequences=2600 // 6)  # each up to 6 times


def test_checkpoints_in_half_precision(sequences, tmp_path):
    run = thin_run(TINY, tmp_path / "thin", MOMENTS)
    for fixed in HALVES:
        found = weight_swap(run, sequences, fixed, 9_600, [9_600])
        plain = evaluate(run.model(9_600), sequences, metrics="in_context")
        assert_metrics_close(found, plain)


@pytest.mark.parametrize("fixed", HALVES)
def test_only_the_half_that_is_not_fixed_is_taken_from_a_file(fixed, tmp_path):
    run = untrained_run(tmp_path)
    sequences = {"any": small_sequences(40, dtype=torch.float32)}
    whole = weight_swap(run, sequences, fixed, 10, [20])
    weights = run.weights(20)
    in_first = {n for n in weights if n.startswith(("exemplar_", "embed", "pos_", "blocks.0"))}
    halves = {
        "first half": {n: w for n, w in weights.items() if n in in_first},
        "second half": {n: w for n, w in weights.items() if n not in in_first},
    }
    directory, file = RunDirectory(run.path), run.checkpoint_path(20)
    directory.write_tensors(file, halves[next(half for half in HALVES if half != fixed)], {})
    pd.testing.assert_frame_equal(weight_swap(run, sequences, fixed, 10, [20]), whole)
    directory.write_tensors(file, halves[fixed], {})
    with pytest.raises(RunError, match=r"has no .* of shape .* another kind of model"):
        weight_swap(run, sequences, fixed, 10, [20])


def test_weights_of_another_shape(tmp_path):
    run, wider = untrained_run(tmp_path / "run"), untrained_run(tmp_path / "wider", d_model=16)
    wide = wider.checkpoint_path(20).read_bytes()
    run.checkpoint_path(20).write_bytes(wide)
    sequences = {"any": small_sequences(40, dtype=torch.float32)}
    for fixed in HALVES:
        with pytest.raises(RunError, match=r"of shape \[.*12.*\]: it belongs to another kind"):
            weight_swap(run, sequences, fixed, 10)
    run.checkpoint_path(20).write_bytes(wide[: len(wide) // 2])
    with pytest.raises(RunError, match="truncated or not a safetensors file"):
        weight_swap(run, sequences, "first half", 10)


def test_what_is_not_there_is_named(sequences):
    with pytest.raises(RunError, match="no checkpoint at 5000 sequences; the nearest is at 6400"):
        weight_swap(TINY, sequences, "first half", 5000)
    # Before any work, such as evaluating these sequences, which would not fit the model.
    unfit = {"unfit": small_sequences(4)}
    with pytest.raises(RunError, match="no checkpoint at 7 sequences; the nearest is at 0"):
        weight_swap(TINY, unfit, "second half", 0, [0, 7])
    with pytest.raises(ValueError, match="6 features, the model takes 16"):
        weight_swap(TINY, unfit, "second half", 0)


def test_arguments_out_of_range(sequences, tmp_path):
    for layer in (-2, 2):
        with pytest.raises(ValueError, match=rf"-1 \(the embedding alone\) to 1 .* got {layer}"):
            weight_swap(TINY, sequences, "first half", 0, layer=layer)
    one_layer = untrained_run(tmp_path, n_layers=1)
    with pytest.raises(ValueError, match="to 0 in this model; got 1"):
        weight_swap(one_layer, {"any": small_sequences()}, "second half", 0, layer=1)


def test_an_unknown_half(sequences):
    # Called as without the run-time check of annotations that tests have.
    unchecked = getattr(weight_swap, "__wrapped__", weight_swap)
    with pytest.raises(ValueError, match="'first half' or 'second half'; got 'third half'"):
        unchecked(TINY, sequences, "third half", 0)
