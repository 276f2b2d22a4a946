"""Steps taken several at once, as a GPU takes them, are the steps taken one by one."""

import copy
from functools import partial

import pytest
import torch
from same_weights import same_weights

from coopetition_interp.interventions import AblateHeads, During, HeadTemperature
from coopetition_interp.training import resume, steps_at_once, train, train_together
from coopetition_interp.training.phased_training_step import PhasedTrainingStep
from coopetition_interp.training.task import bind_clamps

CLAMPS = (HeadTemperature([(0, 0)], 2.0), During(AblateHeads([(1, 0)]), start=7 * 32))


def taken(n, monkeypatch):
    """Has the loop take so many steps at once, though there is no GPU."""
    monkeypatch.setattr(steps_at_once, "steps_of_a_launch", lambda device: n)


def test_several_are_as_many_calls(short_config):
    config = short_config.replace(clamps=CLAMPS)
    task = config.build()
    batches = [task.batch(index) for index in range(12)]
    losses, weights = [], []
    for n in (1, 4):
        own = copy.deepcopy(task)
        step = PhasedTrainingStep(
            own.model,
            config.optimizer,
            config.n_steps,
            batches[0],
            bind_clamps(config, own),
            compile=False,
            loss=own.loss,
            n_at_once=n,
        )
        assert step.n_at_once == n
        each_four = [step.several(batches[first : first + 4]) for first in (0, 4, 8)]
        assert step.state.steps_done == 12
        losses.append(torch.stack([loss for each in each_four for loss in each]))
        weights.append({name: p.clone() for name, p in own.model.named_parameters()})
    assert torch.equal(*losses)
    assert same_weights(*weights)


def test_a_batch_of_another_shape_moves_nothing(short_config):
    task = short_config.build()
    make = partial(PhasedTrainingStep, task.model, short_config.optimizer, short_config.n_steps)
    clamps = bind_clamps(short_config, task)
    step = make(task.batch(0), clamps, compile=False, loss=task.loss, n_at_once=2)
    before = {name: p.clone() for name, p in task.model.named_parameters()}
    with pytest.raises(ValueError, match="was built for a batch of tensors"):
        step.several([task.batch(0), task.batch(1)[:3]])
    assert step.state.steps_done == 0
    assert same_weights(before, dict(task.model.named_parameters()))


def test_a_run_is_the_same_and_goes_on_from_any_step(short_config, monkeypatch, tmp_path):
    config = short_config.replace(clamps=CLAMPS)
    taken(4, monkeypatch)
    train(config.replace(n_sequences=11 * 32), tmp_path / "at-once", progress=False)
    at_once = resume(tmp_path / "at-once", n_sequences=config.n_sequences, progress=False)
    taken(1, monkeypatch)
    alone = train(config, tmp_path / "alone", progress=False)
    assert same_weights(at_once.weights(), alone.weights())
    ends = [run.metrics[run.metrics.sequences_seen == 1920] for run in (at_once, alone)]
    assert ends[0].loss.tolist() == ends[1].loss.tolist()


def test_runs_trained_together_are_the_same(short_config, monkeypatch, tmp_path):
    configs = [
        short_config.replace(name=f"seed-{seed}", clamps=CLAMPS, model={"init_seed": seed})
        for seed in (1, 2)
    ]
    both = []
    for n in (4, 1):
        taken(n, monkeypatch)
        both.append(train_together(configs, tmp_path / str(n), progress=False))
    for at_once, one_by_one in zip(*both, strict=True):
        assert same_weights(at_once.weights(), one_by_one.weights())
