"""A task of a user's own is trained, saved, loaded, clamped and swept as those of the toolkit."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from own_task import FirstTokenConfig, FirstTokenTask, draw
from transformer_lens import HookedTransformerConfig
from unchecked import without_shape_checks

from coopetition_interp.analysis.ablation import single_head_ablations
from coopetition_interp.analysis.attention_strengths import previous_token_strength
from coopetition_interp.analysis.checkpoints import evaluate_checkpoints
from coopetition_interp.analysis.skip_trigrams import copying_by_delta
from coopetition_interp.analysis.weight_swaps import weight_swap
from coopetition_interp.config_class import config_class
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.sweeps import PlannedRun, run_sweep_locally
from coopetition_interp.training import (
    ConfigError,
    OptimizerConfig,
    RunConfig,
    RunError,
    Schedule,
    load_run,
    resume,
    train,
    train_together,
)
from coopetition_interp.training.task import bind_clamps

CONFIG = FirstTokenConfig(
    n_sequences=3200,
    n_threads=1,
    optimizer=OptimizerConfig(learning_rate=3e-2),
    evaluate_at=Schedule(every=1600),
    checkpoint_at=Schedule(every=1600),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(CONFIG, tmp_path_factory.mktemp("own") / "run", progress=False)


def test_it_is_learned_saved_and_loaded(run):
    accuracy = run.metrics.set_index("sequences_seen").accuracy
    assert accuracy[0] < 0.5
    assert accuracy[3200] > 0.9
    loaded = load_run(run.path)
    assert loaded.config == CONFIG
    assert loaded.model().cfg.d_vocab == 8


def test_its_heads_are_needed_at_every_checkpoint(run):
    ablated = evaluate_checkpoints(run, [AblateHeads([(0, 0), (0, 1)])])
    assert list(ablated.sequences_seen) == [0, 1600, 3200]
    assert ablated.accuracy.max() < 0.5


def test_it_is_resumed_bitwise(run, tmp_path):
    train(CONFIG.replace(n_sequences=1600), tmp_path / "run", progress=False)
    longer = resume(tmp_path / "run", n_sequences=3200, progress=False)
    assert all(torch.equal(w, longer.weights()[name]) for name, w in run.weights().items())


def test_it_is_swept_in_processes_of_their_own(tmp_path):
    rates = (1e-3, 1e-2)
    plan = [
        PlannedRun(f"rate-{rate}", CONFIG.replace(optimizer={"learning_rate": rate}))
        for rate in rates
    ]
    table = run_sweep_locally(plan, tmp_path, workers=1, progress=False)
    assert list(table.state) == ["finished", "finished"]


def test_where_it_is_not_imported_the_module_is_named(run):
    program = f"from coopetition_interp.training import load_run; load_run({str(run.path)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    told = done.stderr.strip().splitlines()[-1]
    assert "no module imported so far defines the task 'first_token'" in told
    assert "'own_task': on the command line, add `--import own_task`" in told


def test_how_to_go_on_with_it_names_its_module(run, tmp_path):
    out = Path(shutil.copytree(run.path, tmp_path / "run"))
    (out / "status.json").unlink()
    (out / "metrics.csv").unlink()
    call = f"`coopetition-interp train --resume {out} --import own_task`"
    with pytest.raises(
        RunError, match=f"metrics.csv is missing.*: {call} then makes the run again"
    ):
        resume(out, progress=False)
    with pytest.raises(RunError, match=f"go on with that run by {call}$"):
        train(CONFIG, out, progress=False)


def test_a_run_with_a_clamp_that_is_not_imported_names_its_module(run, tmp_path):
    out = Path(shutil.copytree(run.path, tmp_path / "run"))
    content = json.loads((out / "config.json").read_text())
    content["clamps"] = [{"kind": "Mine", "module": "my_clamps"}]
    (out / "config.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"my_clamps.Mine is not known here: `import my_clamps` fir"):
        load_run(out)
    with pytest.raises(RunError, match="--import my_clamps --import own_task`"):
        train(CONFIG, out, progress=False)


@pytest.mark.parametrize("field", ["d_vocabulary", "clamps"])
def test_a_config_that_its_class_no_longer_fits_is_told_as_such(field, run, tmp_path):
    out = Path(shutil.copytree(run.path, tmp_path / "run"))
    content = json.loads((out / "config.json").read_text())
    content[field] = [{"kind": "AblateHeads", "module": "own_task", "head": 1}]
    (out / "config.json").write_text(json.dumps(content))
    with pytest.raises(
        RunError, match="if those of 'own_task' changed since the run was begun, gi"
    ):
        load_run(out)


def test_the_base_of_configs_is_none_itself():
    with pytest.raises(ConfigError, match=r"RunConfig is what the configs of all tasks share"):
        RunConfig()
    with pytest.raises(ConfigError, match=r"defines the task 'nothing'"):
        RunConfig.from_dict({"task": "nothing"})
    with pytest.raises(ConfigError, match=r"task must be text; got \['tokens'\]"):
        RunConfig.from_dict({"task": ["tokens"]})


def test_a_model_read_back_leaves_draws_alone(run, monkeypatch):
    """Also that of a config which seeds the whole program, as TransformerLens's `seed` does."""
    drawn, fresh_model = [], FirstTokenConfig.fresh_model

    def seeding(self, resolved):
        HookedTransformerConfig(
            n_layers=1, d_model=8, d_head=4, n_ctx=4, attn_only=True, d_vocab=8, seed=0
        )
        return fresh_model(self, resolved)

    monkeypatch.setattr(FirstTokenConfig, "fresh_model", seeding)
    for seed in (5, 6):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        load_run(run.path).model()
        drawn.append((torch.rand(()).item(), random.random(), np.random.rand()))  # noqa: NPY002
    assert len({*drawn[0], *drawn[1]}) == 6


def test_where_torch_makes_nothing_that_trains_that_is_said(run, tmp_path):
    with torch.inference_mode(), pytest.raises(ConfigError, match="inference_mode is on"):
        train(CONFIG, tmp_path / "inference", progress=False)
    for go in (
        lambda: train(CONFIG, tmp_path / "meta", progress=False),
        lambda: train_together([CONFIG], tmp_path, progress=False),
        lambda: run.model(),
    ):
        with torch.device("meta"), pytest.raises(ConfigError, match="default device is meta"):
            go()


def test_one_clamp_in_place_of_a_list_is_told():
    with pytest.raises(ConfigError, match="clamps must be a list, each item a Clamp; got Ablate"):
        CONFIG.replace(clamps=AblateHeads([(0, 0)]))


def rows(**columns):
    return lambda sequences: pd.DataFrame(
        {"evaluator": list(sequences), "accuracy": 0.5, **columns}
    )


SCORES = {
    "no table": (lambda s: {"accuracy": 0.5}, "gives a pandas DataFrame; this one gave dict"),
    "empty": (lambda s: pd.DataFrame(), "needs a column evaluator and rows; its columns: none"),
    "unnamed": (lambda s: pd.DataFrame({"accuracy": [1.0]}), "its columns: accuracy"),
    "a number": (lambda s: pd.DataFrame({"evaluator": ["007"]}), "that a CSV file keeps; got"),
    "NA": (lambda s: pd.DataFrame({"evaluator": ["NA"]}), "names that a CSV file keeps; got "),
    "text": (rows(note="good"), "the column note should be numbers; got 'good'"),
    "tensor": (lambda s: rows(x=[torch.tensor(1.0)])(s), "the column x should be numbers"),
    "complex": (rows(x=1j), "the column x should be numbers"),
    "own column": (rows(training_loss=1.0), "the column training_loss is the run's own"),
    "own moment": (rows(sequences_seen=1), "the column sequences_seen is the run's own"),
    "twice": (lambda s: pd.concat([rows()(s)] * 2), "an evaluator has two rows: all, all"),
    "columns": (lambda s: pd.concat([rows()(s)] * 2, axis=1), "columns need different names"),
}


@config_class
class ScoredConfig(FirstTokenConfig):
    task: Literal["scored"] = "scored"
    scores: str = "no table"

    def evaluator(self, model, clamps=(), compile=False):
        return SCORES[self.scores][0]


@pytest.mark.parametrize("scores", SCORES)
def test_scores_that_no_run_can_keep_are_told_before_training(scores, tmp_path):
    fields = {name: getattr(CONFIG, name) for name in ("n_sequences", "n_threads", "evaluate_at")}
    config = ScoredConfig(scores=scores, **fields)
    with pytest.raises(ConfigError, match=SCORES[scores][1]):
        train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "config.json").exists()


@config_class
class ForgetfulConfig(FirstTokenConfig):
    task: Literal["forgetful"] = "forgetful"

    def evaluator(self, model, clamps=(), compile=False):
        asked = []

        def evaluate(sequences):
            asked.append(len(sequences["all"]))
            names = ["all", "more"] if asked.count(64) == 2 else ["all"]
            return pd.DataFrame({"evaluator": names, "accuracy": 0.5})

        return evaluate


def test_an_evaluation_that_does_not_go_with_those_before_is_not_written(tmp_path):
    config = ForgetfulConfig(n_sequences=96, n_threads=1, evaluate_at=Schedule(every=32))
    with pytest.raises(RunError, match="at 32: the rows are of all, more, but were of all"):
        train(config, tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    assert run.metrics.sequences_seen.tolist() == [0]
    assert run.status["state"] == "failed"


def test_measures_of_exemplars_and_labels_say_that_they_are(run):
    model, sequences = run.model("last"), run.evaluation_sequences
    tokens = sequences["all"]
    with without_shape_checks():
        for measure in (single_head_ablations, copying_by_delta):
            with pytest.raises(TypeError, match=r"Sequences of .*; got Tensor"):
                measure(model, tokens, layer=0)
        with pytest.raises(TypeError, match=r"Sequences of .*; got Tensor"):
            previous_token_strength(model, tokens)
        with pytest.raises(TypeError, match=r"on exemplars and labels; .* is of the task first_to"):
            weight_swap(run, sequences, "first half", 0)


@config_class
class NamelessConfig(FirstTokenConfig):
    wider: int = 3


def test_a_class_without_a_task_of_its_own_is_not_trained(tmp_path):
    config = NamelessConfig(n_sequences=64, n_threads=1)
    with pytest.raises(ConfigError, match=r"NamelessConfig has no task name of its own .*Literal"):
        train(config, tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match="NamelessConfig has no task name of its own"):
        train_together([config], [tmp_path / "run"], progress=False)
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_tasks_name_is_taken_once():
    def define(name):
        return config_class(type(name, (FirstTokenConfig,), {"task": "taken", **ANNOTATED}))

    first = define("FirstConfig")
    with pytest.raises(ConfigError, match=r"SecondConfig: the task 'taken' is that of .*FirstConf"):
        define("SecondConfig")
    assert RunConfig.classes_of_tasks["taken"] is first
    again = define("FirstConfig")  # as a notebook's cell that is run again
    assert RunConfig.classes_of_tasks["taken"] is again
    del RunConfig.classes_of_tasks["taken"]


ANNOTATED = {"__annotations__": {"task": Literal["taken"]}, "__module__": __name__}


def test_a_batch_of_another_size_than_the_configs_is_refused(tmp_path):
    class Whole(FirstTokenTask):
        def batch(self, step):
            return draw(50, step, self.config.d_vocab)

    config = FirstTokenConfig(n_sequences=320, batch_size=32)
    plain = config.build()
    task = Whole(model=plain.model, evaluation_sequences=plain.evaluation_sequences, config=config)
    with pytest.raises(ConfigError, match=r"the 32 sequences .*got 50: give as many"):
        bind_clamps(config, task)
