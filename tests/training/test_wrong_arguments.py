"""What is handed to training or to an analysis by mistake is one error that says what to hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from own_task import FirstTokenConfig, FirstTokenTask, draw
from small_models import small_model, small_sequences
from transformer_lens import HookedTransformer
from unchecked import without_shape_checks

from coopetition_interp import evaluate
from coopetition_interp.analysis.attention_strengths import head_strengths, induction_strength
from coopetition_interp.analysis.checkpoints import (
    checkpoint_models,
    evaluate_checkpoints,
    strengths_over_checkpoints,
)
from coopetition_interp.config_class import config_class
from coopetition_interp.interventions import (
    AblateHeads,
    Clamp,
    During,
    GraftIn,
    GraftOut,
    bind,
    clamp_to_dict,
    run_clamped,
)
from coopetition_interp.training import (
    ConfigError,
    RunError,
    Schedule,
    load_run,
    resume,
    train,
    train_together,
)

TOKENS = draw(8, 0, 8)


def token_model():
    return FirstTokenConfig(n_sequences=64).fresh_model({})


@dataclass(frozen=True)
class Scales(Clamp):
    by: float

    def edits(self, batch):
        yield "blocks.0.hook_resid_pre", lambda x: x * self.by


@dataclass(frozen=True)
class AsAHook(Clamp):
    def edits(self, batch):
        yield "blocks.0.hook_resid_pre", lambda x, hook: x


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda run, out: train("tiny", out), "a run's config is a RunConfig.*; got 'tiny'"),
        (lambda run, out: train(out, run.config), "a run's config is a RunConfig"),
        (lambda run, out: train_together(run.config, out), r"given in a list, as \[config\]"),
        (lambda run, out: train_together(["tiny"], out), "a run's config is a RunConfig"),
        (lambda run, out: evaluate_checkpoints(str(run.path)), "one that load_run or train gave"),
        (lambda run, out: list(checkpoint_models(str(run.path))), "one that load_run or train"),
        (lambda run, out: head_strengths(token_model(), TOKENS), "on Sequences of .*; got Tensor"),
        (lambda run, out: induction_strength(token_model(), TOKENS), "on Sequences of"),
        (lambda run, out: evaluate(small_model(), small_sequences()), "{'icl': sequences}"),
        (lambda run, out: run_clamped(token_model(), TOKENS.numpy(), []), "tensor of tokens; got "),
        (lambda run, out: run_clamped(token_model(), None, []), "tensor of tokens; got NoneType"),
        (lambda run, out: run_clamped(token_model(), small_sequences(), []), "got Sequences"),
        (
            lambda run, out: run_clamped(small_model(), small_sequences(), [AsAHook()]),
            r"AsAHook.* function of \(x, hook\): an edit takes the activation alone",
        ),
    ],
)
def test_another_kind_of_thing_is_a_type_error(call, told, short_run, tmp_path):
    with without_shape_checks(), pytest.raises(TypeError, match=told):
        call(short_run, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("measure", [evaluate_checkpoints, strengths_over_checkpoints])
def test_a_clamp_whose_time_has_no_checkpoint_is_told(measure, short_run):
    late = [During(AblateHeads([(0, 0)]), start=5000)]
    given = [] if measure is evaluate_checkpoints else [short_run.evaluation_sequences["icl"]]
    with pytest.raises(ValueError, match=r"never be held: the moments here are at 0, 640, ... 19"):
        measure(short_run, *given, clamps=late)


def test_the_runs_own_clamps_may_have_no_checkpoint_in_their_time(short_config, tmp_path):
    config = short_config.replace(clamps=(During(AblateHeads([(0, 0)]), start=700, stop=900),))
    run = train(config, tmp_path / "run", progress=False)
    scores = evaluate_checkpoints(run, run.config.clamps)
    assert scores.sequences_seen.unique().tolist() == [0, 640, 1280, 1920]


class TakesPairs(HookedTransformer):
    def forward(self, pair, return_type="logits", **how):
        return super().forward(pair[0] + pair[1], return_type="logits", **how)


def test_an_own_model_may_take_and_give_what_it_likes():
    model, zeros = TakesPairs(token_model().cfg), torch.zeros_like(TOKENS)
    assert run_clamped(model, (TOKENS, zeros), [], return_type="mine").shape == (8, 4, 8)


def test_an_unknown_return_type_is_told():
    with pytest.raises(ValueError, match=r"one of logits, query_logits, .*; got 'Loss'"):
        run_clamped(token_model(), TOKENS, [], return_type="Loss")


def test_a_clamps_number_is_finite():
    with pytest.raises(ValueError, match=r"Scales\(by=nan\): its field by must be a finite"):
        clamp_to_dict(Scales(float("nan")))


def test_something_is_left_to_learn(short_run, short_config, tmp_path):
    file = str(short_run.checkpoint_path())
    config = short_config.replace(clamps=(GraftIn(file, 1), GraftOut(file, 1)))
    with pytest.raises(ConfigError, match=r"GraftIn.* and GraftOut.* leave no weight .* to learn"):
        train(config, tmp_path / "run", progress=False)


def test_a_path_does_to_start_from(short_run, short_config):
    file = short_run.checkpoint_path()
    with without_shape_checks():
        assert short_config.replace(start_from=file).start_from == str(file)


MADE = {
    "numpy's batch": lambda batch: batch.numpy(),
    "no batch": lambda batch: None,
    "list": lambda batch: batch.tolist(),
    "one number": lambda batch: torch.tensor(3),
    "no loss": lambda loss: None,
    "number": lambda loss: 1.0,
    "vector": lambda loss: torch.stack([loss, loss]),
    "whole": lambda loss: torch.tensor(3),
    "detached": lambda loss: loss.detach(),
}
BATCH = "a task's batch is tensors, .*; got "
LOSS = "a task's loss is a tensor of one number; this one "
TOLD = {
    **dict.fromkeys(("numpy's batch", "no batch", "list", "one number"), BATCH),
    **dict.fromkeys(("no loss", "number", "vector", "whole"), LOSS),
    "detached": "the task's loss depends on nothing that is trained",
}


@config_class
class WrongConfig(FirstTokenConfig):
    task: Literal["wrong"] = "wrong"
    way: str = "list"

    def build(self):
        return WrongTask(
            model=self.fresh_model({}),
            evaluation_sequences=self.make_evaluation_sequences(None),
            config=self,
        )


@dataclass(kw_only=True)
class WrongTask(FirstTokenTask):
    def batch(self, step):
        batch = super().batch(step)
        return MADE[self.config.way](batch) if TOLD[self.config.way] == BATCH else batch

    def loss(self, run_model, batch):
        loss = super().loss(run_model, batch)
        return loss if TOLD[self.config.way] == BATCH else MADE[self.config.way](loss)


@pytest.mark.parametrize("way", MADE)
@pytest.mark.parametrize("together", [False, True])
def test_batches_and_losses_of_another_kind_are_told(way, together, tmp_path):
    config = WrongConfig(n_sequences=64, n_threads=1, way=way)
    configs = [config, config.replace(name="b")]
    go = partial(train_together, configs) if together else partial(train, config)
    with pytest.raises(ValueError, match=TOLD[way]):
        go(tmp_path / "run", progress=False)
    assert not list(tmp_path.rglob("config.json"))


@config_class
class MadeConfig(FirstTokenConfig):
    """Its task is changed by whoever makes the config's class act."""

    task: Literal["made"] = "made"
    changes: ClassVar[dict[str, object]] = {}

    def build(self):
        task = super().build()
        for name, value in self.changes.items():
            setattr(task, name, value)
        return task


MADE_CONFIG = MadeConfig(
    n_sequences=64, n_threads=1, evaluate_at=Schedule(every=64), checkpoint_at=Schedule(every=64)
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"evaluation_sequences": TOKENS}, "are given by name, .*; got Tensor"),
        ({"evaluation_sequences": [TOKENS]}, "are given by name, .*; got list"),
        ({"evaluation_sequences": {"all": TOKENS.numpy()}}, "'all' to evaluate on are tensors"),
        ({"evaluation_sequences": {"all": TOKENS.tolist()}}, "'all' to evaluate on are tensors"),
        ({"evaluation_sequences": {"all": None}}, "'all' to evaluate on are tensors"),
        ({"resolved": [1]}, "a task's resolved is a dictionary with names"),
        ({"resolved": {1: 2}}, "a task's resolved is a dictionary with names"),
        ({"resolved": {"share": float("nan")}}, "resolved: share is saved in JSON"),
        ({"resolved": {"names": {"a"}}}, "resolved: names is saved in JSON"),
        ({"resolved": {"device": "cpu"}}, "device is kept by every run: name it otherwise"),
    ],
)
def test_what_a_task_is_made_of_is_told(changes, told, tmp_path, monkeypatch):
    monkeypatch.setattr(MadeConfig, "changes", changes)
    with pytest.raises(ConfigError, match=told):
        train(MADE_CONFIG, tmp_path / "run", progress=False)
    assert not list(tmp_path.rglob("config.json"))


def test_a_task_may_settle_numbers_of_numpys_and_torchs(tmp_path, monkeypatch):
    settled = {
        "n": np.int64(3),
        "share": np.float32(0.5),
        "counts": np.arange(2),
        "sizes": (1, torch.tensor(2)),
    }
    monkeypatch.setattr(MadeConfig, "changes", {"resolved": settled})
    run = train(MADE_CONFIG, tmp_path / "run", progress=False)
    expected = {"n": 3, "share": 0.5, "counts": [0, 1], "sizes": [1, 2]}
    assert {name: run.resolved[name] for name in settled} == expected
    assert resume(run.path, n_sequences=96, progress=False).config.n_sequences == 96


def test_configs_to_train_together_may_come_one_by_one(tmp_path):
    configs = (MADE_CONFIG.replace(name=name) for name in "ab")
    runs = train_together(configs, tmp_path, progress=False)
    assert [run.path.name for run in runs] == ["a", "b"]


def test_a_part_of_a_run_is_not_taken_for_one(short_run):
    parts = (
        short_run.path / "config.json",
        short_run.checkpoint_path(),
        short_run.path / "checkpoints",
    )
    for part in parts:
        for open_it in (load_run, resume):
            with pytest.raises(RunError, match=rf"give its directory, {short_run.path}$"):
                open_it(part)


def test_a_run_is_not_taken_for_a_checkpoint(short_run):
    with pytest.raises(ValueError, match=r"is a folder, not a .*checkpoint_path\(\)"):
        bind([GraftIn(short_run.path, 0)], short_run.model())
    with pytest.raises(ValueError, match=r"got \w*Run: take its checkpoint_path\(\)"):
        GraftIn(short_run, 0)


def test_the_decorator_of_configs_is_at_the_top():
    code = (
        "import coopetition_interp as ci; from coopetition_interp.config_class import Config;"
        "import coopetition_interp.training; ci.config_class(type('Mine', (Config,), {}))()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_and_biases_without_a_key_is_told(short_config, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")

    def no_key(**_):
        raise wandb.errors.UsageError("No API key configured.\nUse `wandb login`.")

    monkeypatch.setattr(wandb, "init", no_key)
    with pytest.raises(RunError, match=r"does not start \(No API key .*WANDB_MODE=offline"):
        train(short_config, tmp_path / "run", progress=False, wandb_project="mine")
    assert not (tmp_path / "run" / "config.json").exists()
