"""What is handed to training or to an analysis by mistake is one error that says what to hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

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
    clamp_to_dict,
    run_clamped,
)
from coopetition_interp.training import ConfigError, RunError, train, train_together

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


def test_weights_and_biases_without_a_key_is_told(short_config, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")

    def no_key(**_):
        raise wandb.errors.UsageError("No API key configured.\nUse `wandb login`.")

    monkeypatch.setattr(wandb, "init", no_key)
    with pytest.raises(RunError, match=r"does not start \(No API key .*WANDB_MODE=offline"):
        train(short_config, tmp_path / "run", progress=False, wandb_project="mine")
    assert not (tmp_path / "run" / "config.json").exists()
