"""What a loss of a user's own does besides tensor operations is refused, or taken account of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from own_task import FirstTokenConfig, FirstTokenTask, draw
from same_weights import same_weights
from torch import nn
from transformer_lens import HookedRootModule

from coopetition_interp.config_class import config_class
from coopetition_interp.interventions import Clamp, run_clamped
from coopetition_interp.interventions.model_weights import running_statistics
from coopetition_interp.training import (
    ConfigError,
    OptimizerConfig,
    RunError,
    Schedule,
    TrainingStep,
    resume,
    train,
)
from coopetition_interp.training import train_together as train_runs_together
from coopetition_interp.training.recorded_graph import record
from coopetition_interp.training.task import bind_clamps

PENALTY = 0.1


@dataclass(kw_only=True)
class LossTask(FirstTokenTask):
    """Its loss is what the config's `way` says."""

    teacher: torch.Tensor
    average: torch.Tensor
    seen: list[torch.Tensor]
    n_calls: int = 0

    def batch(self, step):
        if self.config.way == "teacher" and self.config.teacher_turns_at == step:
            self.teacher.add_(1).remainder_(self.config.d_vocab)
        return super().batch(step)

    def loss(self, run_model, batch):
        loss = super().loss(run_model, batch)
        return WAYS[self.config.way](self, run_model, batch, loss)


def of_weights(weights):
    return PENALTY * sum(weight.pow(2).sum() for weight in weights)


def counts(task, run_model, batch, loss):
    task.teacher.add_(1)
    return loss


def averages(task, run_model, batch, loss):
    task.average = 0.9 * task.average + 0.1 * loss.detach()
    return loss + task.average


def appends(task, run_model, batch, loss):
    task.seen.append(loss.detach())
    return loss


def anneals(task, run_model, batch, loss):
    task.n_calls += 1
    return loss / task.n_calls


def notes(task, run_model, batch, loss):
    task.teacher, task.latest = loss.detach(), {"loss": loss.detach()}
    return loss


def caches(task, run_model, batch, loss):
    if not hasattr(task, "scale"):
        task.scale = torch.ones(2)
    return loss * task.scale.mean()


TEMPERATURE, KEPT = torch.tensor(2.0), torch.tensor([True, False, True, True])


@lru_cache
def kept(n):
    return torch.arange(float(n))


WAYS = {
    "plain": lambda task, run_model, batch, loss: loss,
    "models weights": lambda task, run_model, batch, loss: (
        loss + of_weights(task.model.parameters())
    ),
    "stacked weights": lambda task, run_model, batch, loss: loss + of_weights([task.model.W_Q]),
    "model itself": lambda task, run_model, batch, loss: loss + task.model(batch).mean(),
    "given weights": lambda task, run_model, batch, loss: (
        loss + of_weights(run_model.parameters.values())
    ),
    "teacher": lambda task, run_model, batch, loss: F.cross_entropy(
        run_model(batch)[:, -1], task.teacher[batch[:, 0]]
    ),
    "seed": lambda task, run_model, batch, loss: loss * (1 + task.config.data_seed),
    "rand": lambda task, run_model, batch, loss: loss * torch.rand(()),
    "generator": lambda task, run_model, batch, loss: (
        loss * torch.rand((), generator=torch.Generator().manual_seed(0))
    ),
    "dropout": lambda task, run_model, batch, loss: F.dropout(loss[None]).sum(),
    "item": lambda task, run_model, batch, loss: loss * loss.item(),
    "if": lambda task, run_model, batch, loss: loss if loss > 1 else 2 * loss,
    "numpy": lambda task, run_model, batch, loss: (
        loss + float(run_model(batch).detach().numpy().max())
    ),
    "numpy targets": lambda task, run_model, batch, loss: F.cross_entropy(
        run_model(batch)[:, -1], torch.from_numpy(batch.numpy().copy())[:, 0]
    ),
    "tolist": lambda task, run_model, batch, loss: loss * len(set(batch[:, 0].tolist())),
    "text": lambda task, run_model, batch, loss: loss * len(f"{loss:.2f}"),
    "number of": lambda task, run_model, batch, loss: loss * len(batch[batch > 1]),
    "where": lambda task, run_model, batch, loss: loss * (batch > 1).nonzero().shape[0],
    "mask": lambda task, run_model, batch, loss: loss + run_model(batch)[batch > 1].mean(),
    "held tensors": lambda task, run_model, batch, loss: (
        loss * TEMPERATURE.item() + run_model(batch)[:, KEPT.nonzero()[:, 0]].mean() * kept(2).sum()
    ),
    "numpy's constants": lambda task, run_model, batch, loss: (
        loss * torch.from_numpy(np.arange(3.0, dtype=np.float32)).sum() * torch.tensor(3).item()
    ),
    "counts": counts,
    "averages": averages,
    "appends": appends,
    "anneals": anneals,
    "caches": caches,
    "notes": notes,
}


@config_class
class LossConfig(FirstTokenConfig):
    task: Literal["losses"] = "losses"
    way: str = "plain"
    teacher_turns_at: int = -1

    def build(self):
        generator = torch.Generator().manual_seed(self.data_seed)
        return LossTask(
            model=self.fresh_model({}),
            evaluation_sequences=self.make_evaluation_sequences(None),
            config=self,
            teacher=torch.randperm(self.d_vocab, generator=generator),
            average=torch.zeros(()),
            seen=[],
        )


CONFIG = LossConfig(
    n_sequences=320,
    n_threads=1,
    optimizer=OptimizerConfig(learning_rate=1e-2),
    evaluate_at=Schedule(),
    checkpoint_at=Schedule(),
)
PAST_RUN_MODEL = r"reads the model's \S+ past run_model, .*: take run_model.parameters\['\S+'\]"
DRAWS = r"draws random numbers; .*: draw them in the task's batch\(step\)"
NUMBERS = r"takes a number out of a tensor .*: keep it a tensor, and choose by torch.where"
SHAPES = r"a tensor whose shape depends on the numbers of another .*, or multiply by the mask"
WRONG = {
    "models weights": PAST_RUN_MODEL,
    "stacked weights": PAST_RUN_MODEL,
    "model itself": PAST_RUN_MODEL,
    "rand": DRAWS,
    "generator": DRAWS,
    "dropout": DRAWS,
    "item": NUMBERS,
    "if": NUMBERS,
    "numpy": NUMBERS,
    "numpy targets": NUMBERS,
    "tolist": NUMBERS,
    "text": NUMBERS,
    "number of": SHAPES,
    "where": SHAPES,
    "mask": SHAPES,
    "counts": "changes a tensor of the loss's or a clamp's own in place, which no checkpoint keeps",
    "averages": r"changes the loss's LossTask.average, which no checkpoint keeps",
    "appends": r"changes the loss's LossTask.seen, which no checkpoint keeps",
    "anneals": r"changes the loss's LossTask.n_calls, which no checkpoint keeps, .* stand still",
}


@pytest.mark.parametrize("way", WRONG)
@pytest.mark.parametrize("n", [1, 2])
def test_what_a_record_would_keep_as_it_is_is_refused(way, n, tmp_path):
    configs = [CONFIG.replace(way=way, name=str(seed), data_seed=seed) for seed in range(n)]
    go = partial(train, configs[0]) if n == 1 else partial(train_runs_together, configs)
    with pytest.raises(ValueError, match=WRONG[way]):
        go(out=tmp_path / "run", progress=False)
    assert not list(tmp_path.rglob("config.json"))


def test_what_a_loss_caches_is_of_true_tensors(tmp_path):
    kept.cache_clear()
    inputs = [torch.rand(3)]
    record(lambda x: (x * kept(3),), inputs)
    assert type(kept(3)) is torch.Tensor
    assert kept(3).tolist() == [0, 1, 2]


def test_what_a_refused_loss_changed_is_put_back():
    for way in ("averages", "appends", "anneals"):
        task = CONFIG.replace(way=way).build()
        average = task.average
        with pytest.raises(ValueError, match="which no checkpoint keeps"):
            TrainingStep(
                task.model, CONFIG.optimizer, 1, task.batch(0), compile=False, loss=task.loss
            )
        assert task.average is average
        assert (task.seen, task.n_calls) == ([], 0)


def test_a_loss_that_is_an_object_or_a_function_may_not_count_either():
    class Warming:
        scale = 0.0

        def __call__(self, run_model, batch):
            self.scale = self.scale + 0.1
            return self.scale * run_model(batch).mean()

    def warming(run_model, batch):
        warming.scale += 0.1
        return warming.scale * run_model(batch).mean()

    warming.scale = 0.0
    task = CONFIG.build()
    for loss, name in ((Warming(), r"Warming\.scale"), (warming, r"function\.scale")):
        with pytest.raises(ValueError, match=f"changes the loss's {name}, which no checkpoint"):
            TrainingStep(task.model, CONFIG.optimizer, 1, task.batch(0), compile=False, loss=loss)
        assert loss.scale == 0


def test_what_a_loss_only_notes_of_itself_is_put_back():
    task = CONFIG.replace(way="notes").build()
    teacher = task.teacher
    TrainingStep(task.model, CONFIG.optimizer, 1, task.batch(0), compile=False, loss=task.loss)
    assert task.teacher is teacher
    assert not hasattr(task, "latest")


@pytest.mark.parametrize("n", [1, 2])
def test_a_tensor_that_changes_between_steps_ends_the_run(n, tmp_path):
    turning = CONFIG.replace(way="teacher", teacher_turns_at=7)
    configs = [turning.replace(name=str(index)) for index in range(n)]
    go = partial(train, configs[0]) if n == 1 else partial(train_runs_together, configs)
    with pytest.raises((RunError, RuntimeError), match=r"changed between training steps, .* batch"):
        go(out=tmp_path / "run", progress=False)
    statuses = [json.loads(path.read_text()) for path in tmp_path.rglob("status.json")]
    assert [status["state"] for status in statuses] == ["failed"] * n


def test_a_buffer_that_changes_between_steps_is_named():
    model = NormalisedModel(momentum=0.1, counts=False)
    model.register_buffer("mask", torch.ones(8))

    def loss(run_model, batch):
        return F.cross_entropy(run_model(batch)[:, -1] * model.mask, batch[:, 0])

    tokens = draw(16, 0, 8)
    step = TrainingStep(model, CONFIG.optimizer, 9, tokens, compile=False, loss=loss)
    step(tokens)
    step(tokens)
    model.mask[0] = 0
    for _ in range(2):  # and again, when it is tried again
        with pytest.raises(RuntimeError, match="the model's mask was changed between training"):
            step(tokens)
    model.mask[0] = 1
    step(tokens)


def test_a_penalty_on_the_weights_that_are_given_trains_as_the_configs_own(tmp_path):
    own = train(CONFIG.replace(way="given weights"), tmp_path / "own", progress=False)
    l2 = OptimizerConfig(learning_rate=1e-2, l2=PENALTY, l2_on=("all",))
    by_config = train(CONFIG.replace(optimizer=l2), tmp_path / "config", progress=False).weights()
    plain = train(CONFIG, tmp_path / "plain", progress=False).weights()
    for name, weight in own.weights().items():
        torch.testing.assert_close(weight, by_config[name], atol=1e-4, rtol=1e-4)
    assert (own.weights()["unembed.W_U"] - plain["unembed.W_U"]).abs().max() > 1e-2


@pytest.mark.parametrize("way", ["teacher", "seed"])
def test_runs_whose_losses_hold_something_of_their_own_are_not_trained_together(way, tmp_path):
    configs = [CONFIG.replace(way=way, name=f"{seed}", data_seed=seed) for seed in (3, 4)]
    with pytest.raises(ConfigError, match=r"3 and .*4 cannot be trained together.* other tensors"):
        train_runs_together(configs, tmp_path, progress=False)
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.parametrize(
    "way", ["plain", "given weights", "numpy's constants", "held tensors", "caches", "notes"]
)
def test_losses_that_are_one_computation_are_trained_together(way, tmp_path):
    configs = [CONFIG.replace(way=way, name=f"{seed}", data_seed=seed) for seed in (3, 4)]
    for run in train_runs_together(configs, tmp_path / "together", progress=False):
        alone = train(run.config, tmp_path / run.config.name, progress=False).weights()
        for name, weight in run.weights().items():
            if not name.endswith("b_K"):  # whose gradient is rounding
                torch.testing.assert_close(weight, alone[name], atol=1e-5, rtol=0)


@dataclass(frozen=True)
class AddsNoise(Clamp):
    def edits(self, batch):
        yield "blocks.0.attn.hook_z", lambda z: z + torch.randn_like(z)


@dataclass(frozen=True)
class ThroughNumpy(Clamp):
    def edits(self, batch):
        yield "blocks.0.hook_resid_pre", lambda x: torch.from_numpy(x.detach().numpy().copy())


@pytest.mark.parametrize("n", [1, 2])
def test_a_clamp_that_goes_through_numpy_is_for_finished_models(n, tmp_path):
    configs = [CONFIG.replace(clamps=(ThroughNumpy(),), name=str(seed)) for seed in range(n)]
    go = partial(train, configs[0]) if n == 1 else partial(train_runs_together, configs)
    with pytest.raises(ValueError, match=NUMBERS):
        go(out=tmp_path / "run", progress=False)
    model = CONFIG.build().model
    tokens = draw(8, 0, CONFIG.d_vocab)
    clamped = run_clamped(model, tokens, [ThroughNumpy()])
    assert clamped.equal(model(tokens)[:, -1])


def test_a_clamp_that_draws_is_for_finished_models(tmp_path):
    noisy = CONFIG.replace(clamps=(AddsNoise(),))
    with pytest.raises(ValueError, match=DRAWS):
        train(noisy, tmp_path / "alone", progress=False)
    with pytest.raises(ValueError, match=DRAWS):
        train_runs_together([noisy, noisy.replace(name="b")], tmp_path, progress=False)
    tokens = draw(3, 1, 8)
    model = CONFIG.fresh_model({})
    a, b = (run_clamped(model, tokens, [AddsNoise()]) for _ in range(2))
    assert not torch.equal(a, b)


class NormalisedModel(HookedRootModule):
    """Embeds, normalises over the batch, and maps; `counter` is changed where it is asked to."""

    def __init__(self, momentum: float | None, counts: bool):
        super().__init__()
        self.embed = nn.Embedding(8, 16)
        self.bn = nn.BatchNorm1d(64, momentum=momentum)
        self.out = nn.Linear(64, 8)
        self.counts = counts
        self.register_buffer("counter", torch.zeros(3))
        self.setup()

    def forward(self, tokens, return_type="logits"):
        if self.counts:
            self.counter[1:].add_(1)
        return self.out(self.bn(self.embed(tokens).flatten(1)))[:, None].expand(-1, 4, -1)


@config_class
class NormalisedConfig(FirstTokenConfig):
    task: Literal["normalised"] = "normalised"
    momentum: float | None = 0.1
    counts: bool = False

    def fresh_model(self, resolved):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return NormalisedModel(self.momentum, self.counts).eval()

    def evaluator(self, model, clamps=(), compile=False):
        """Also the loss, by which running means show."""
        accuracy = super().evaluator(model, clamps)

        def evaluate(sequences):
            tokens = sequences["all"]
            loss = F.cross_entropy(model(tokens)[:, -1], tokens[:, 0]).item()
            return accuracy(sequences).assign(loss=loss)

        return evaluate


NORMALISED = NormalisedConfig(
    n_sequences=640,
    n_threads=1,
    optimizer=OptimizerConfig(learning_rate=1e-2),
    evaluate_at=Schedule(),
    checkpoint_at=Schedule(),
)


@pytest.mark.parametrize("compile", ["no", "yes"])
def test_running_means_of_torchs_batch_normalisation_are_kept(compile, tmp_path):
    run = train(NORMALISED.replace(compile=compile), tmp_path / "run", progress=False)
    model = run.model()
    assert set(running_statistics(model)) == {"bn.running_mean", "bn.running_var"}
    assert model.bn.running_mean.abs().max() > 1e-3
    scored = run.config.evaluator(model)(run.evaluation_sequences)
    assert scored.loss[0] == pytest.approx(run.metrics.loss.iloc[-1], abs=1e-6)
    if compile == "no":  # the running means are those of the plain model's own training
        task = NORMALISED.build()
        reference = task.model.train()
        adam = torch.optim.Adam(reference.parameters(), lr=1e-2)
        for step in range(20):
            tokens = task.batch(step)
            adam.zero_grad()
            F.cross_entropy(reference(tokens)[:, -1], tokens[:, 0]).backward()
            adam.step()
        for name, buffer in running_statistics(reference).items():
            torch.testing.assert_close(model.get_buffer(name), buffer, atol=1e-3, rtol=1e-3)


def test_running_means_begin_where_the_model_begins():
    task = NORMALISED.build()
    task.model.train()
    bind_clamps(NORMALISED, task)  # which tries a batch
    assert torch.equal(task.model.bn.running_mean, torch.zeros(64))


def test_it_is_resumed_bitwise(tmp_path):
    whole = train(NORMALISED, tmp_path / "whole", progress=False)
    train(NORMALISED.replace(n_sequences=320), tmp_path / "parts", progress=False)
    parts = resume(tmp_path / "parts", n_sequences=640, progress=False)
    assert same_weights(whole.weights(), parts.weights())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"momentum": None}, NUMBERS),
        ({"counts": True}, r"changes the model's counter in place"),
    ],
)
def test_other_buffers_that_training_changes_are_refused(changes, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        train(NORMALISED.replace(**changes), tmp_path / "run", progress=False)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, None])
def test_half_and_mixed_precision_are_refused(precision):
    model = CONFIG.fresh_model({})
    model.unembed.to(torch.float64) if precision is None else model.to(precision)
    with pytest.raises(
        ValueError, match=r"the model is in (b?float16|float32 and float64): train it in"
    ):
        TrainingStep(model, OptimizerConfig(), 3, draw(4, 0, 8), compile=False)
