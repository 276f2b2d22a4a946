"""Runs trained together are the runs that each would be alone."""

import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_models import DIVERGING

from coopetition_interp.interventions import (
    During,
    GraftOut,
    HeadTemperature,
    InductionHeads,
    PreviousTokenHeads,
)
from coopetition_interp.tasks.tokens import RepeatedTokens, TokenConfig
from coopetition_interp.training import (
    ConfigError,
    RunError,
    load_run,
    resume,
    state_of,
    train,
    train_together,
)
from coopetition_interp.training.grouped_step import GroupedStep
from coopetition_interp.training.run_directory import RunDirectory

ROUNDING = 1e-5
"""Batched products and sums add in another order than those of one run."""


def furthest(left, right, but="nothing") -> float:
    """How far two runs' weights are apart, over all checkpoints and parameters but some."""
    assert left.checkpoints == right.checkpoints
    return max(
        (weight - right.weights(moment)[name]).abs().max().item()
        for moment in left.checkpoints
        for name, weight in left.weights(moment).items()
        if not name.endswith(but)
    )


def same_bits(left, right) -> bool:
    a, b = left.weights("last"), right.weights("last")
    return all(torch.equal(a[name], b[name]) for name in a)


def trained_alone(configs, out):
    return [train(config, out / config.name, progress=False) for config in configs]


@pytest.fixture(scope="module")
def configs(short_config):
    """Of different seeds, data, optimizers and lengths; up to 100 steps."""
    base = short_config.replace(n_sequences=3200).with_overrides(
        ['evaluate_at={"every": 1600}', 'checkpoint_at={"every": 1600}']
    )
    return [
        base.replace(name="a"),
        base.replace(name="b", data_seed=7, model={"init_seed": 8}, n_sequences=1600),
        base.replace(
            name="c",
            sequences={"kind": "iwl_only"},
            optimizer={
                "learning_rate": 1e-3,
                "schedule": "inverse_sqrt",
                "warmup_steps": 20,
                "beta1": 0.8,
                "l2": 1e-4,
                "l2_on": ("attention",),
            },
        ),
    ]


@pytest.fixture(scope="module")
def together(configs, tmp_path_factory):
    return train_together(configs, tmp_path_factory.mktemp("together"), progress=False)


@pytest.fixture(scope="module")
def alone(configs, tmp_path_factory):
    return trained_alone(configs, tmp_path_factory.mktemp("alone"))


def test_weights_and_metrics_are_those_of_training_alone(together, alone):
    for one, other in zip(together, alone, strict=True):
        assert furthest(one, other) < ROUNDING
        pd.testing.assert_frame_equal(one.metrics, other.metrics, rtol=1e-3, atol=1e-4)


def test_nobody_can_tell_a_run_from_one_trained_alone(together, alone):
    for one, other in zip(together, alone, strict=True):
        files = [sorted(p.relative_to(r.path) for p in r.path.rglob("*")) for r in (one, other)]
        assert files[0] == files[1]
        for name in ("config.json", "resolved.json", "environment.json", "status.json"):
            assert (one.path / name).read_bytes() == (other.path / name).read_bytes()


def interrupted_at(n_steps, configs, out, monkeypatch):
    """Trains them until a signal comes during a step."""
    take = GroupedStep.__call__

    def take_then_signal(self, batches, scales):
        losses = take(self, batches, scales)
        if self.steps_done == n_steps:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    with monkeypatch.context() as patch:
        patch.setattr(GroupedStep, "__call__", take_then_signal)
        with pytest.raises(KeyboardInterrupt, match="go on by the same call, or with each run"):
            train_together(configs, out, progress=False)


def test_the_same_runs_have_the_same_bits_whenever_they_are_stopped(
    configs, together, tmp_path, monkeypatch
):
    """Also where a kill left one run at an earlier save: the others wait for it."""
    interrupted_at(17, configs, tmp_path, monkeypatch)
    assert {state_of(tmp_path / name) for name in "abc"} == {"interrupted"}
    by_itself = shutil.copytree(tmp_path / "b", tmp_path / "by-itself")
    early = shutil.copytree(tmp_path / "c", tmp_path / "early")
    interrupted_at(30, configs, tmp_path, monkeypatch)
    shutil.rmtree(tmp_path / "c")
    early.rename(tmp_path / "c")
    interrupted_at(70, configs, tmp_path, monkeypatch)
    assert [state_of(tmp_path / name) for name in "abc"] == [
        "interrupted",
        "finished",
        "interrupted",
    ]
    runs = train_together(configs, tmp_path, progress=False)
    for run, whole in zip(runs, together, strict=True):
        assert same_bits(run, whole)
        pd.testing.assert_frame_equal(run.metrics, whole.metrics, check_exact=True)
        assert run.status["state"] == "finished"
    assert furthest(resume(by_itself, progress=False), together[1]) < ROUNDING


def test_a_run_that_was_made_longer_meanwhile_is_left_so(short_config, tmp_path):
    configs = [short_config.replace(n_sequences=64, name=name) for name in "ab"]
    train_together(configs, tmp_path, progress=False)
    resume(tmp_path / "a", n_sequences=96, progress=False)
    runs = train_together(configs, tmp_path, progress=False)
    assert [run.config.n_sequences for run in runs] == [96, 64]
    RunDirectory(tmp_path / "a").write_status("interrupted", 64)
    with pytest.raises(RunError, match="a holds"):
        train_together(configs, tmp_path, progress=False)


def test_a_run_that_fails_leaves_the_others(short_config, tmp_path):
    bad = short_config.with_overrides([*DIVERGING, "name=bad", "n_sequences=640"])
    configs = [bad.replace(name="good", optimizer=short_config.optimizer), bad]
    with pytest.raises(RunError, match=r"1 of 2 runs failed, the others finished: .*bad: the loss"):
        train_together(configs, tmp_path, progress=False)
    assert state_of(tmp_path / "bad") == "failed"
    assert "A smaller optimizer.learning_rate" in load_run(tmp_path / "bad").status["message"]
    (good,) = trained_alone(configs[:1], tmp_path / "alone")
    assert furthest(load_run(tmp_path / "good"), good) < ROUNDING


@pytest.mark.parametrize(
    "clamps",
    [
        lambda number, _: [PreviousTokenHeads([(0, 1)], number), InductionHeads([(1, 0)], number)],
        lambda number, _: [During(HeadTemperature([(1, 2)], 2 * number), start=160)],
        lambda _, donor: [GraftOut(str(donor), layer=0)],
    ],
)
def test_clamps_may_differ_in_numbers_and_donors(clamps, short_config, short_run, tmp_path):
    configs = [
        short_config.replace(
            name=str(number),
            n_sequences=320,
            clamps=tuple(clamps(number, short_run.checkpoint_path(moment))),
            start_from=str(short_run.checkpoint_path(moment)),
        )
        for number, moment in ((0.25, 640), (0.75, 1280))
    ]
    runs = train_together(configs, tmp_path, progress=False)
    for one, other in zip(runs, trained_alone(configs, tmp_path / "alone"), strict=True):
        assert furthest(one, other) < ROUNDING
    assert not same_bits(*runs)


def test_runs_on_tokens(tmp_path):
    base = TokenConfig(
        tokens=RepeatedTokens(d_vocab=12, n_block=4, n_excerpts=2),
        train_on="repeated",
        model={"n_layers": 1, "n_heads": 2, "d_head": 4, "d_model": 8},
        optimizer={"learning_rate": 1e-3},
        n_sequences=320,
        n_threads=1,
    )
    configs = [base.replace(name=str(seed), data_seed=seed) for seed in range(2)]
    runs = train_together(configs, tmp_path, progress=False)
    for one, other in zip(runs, trained_alone(configs, tmp_path / "alone"), strict=True):
        # Biases of keys change no attention: their gradient is rounding, made steps of by Adam.
        assert furthest(one, other, but="b_K") < ROUNDING


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"n_heads": 2}}, "model.n_heads"),
        ({"batch_size": 16}, "batch_size"),
        ({"clamps": (PreviousTokenHeads([(0, 1)]),)}, "clamps"),
        ({"classes": {"n_train": 40}}, "models' configs"),
        ({"sequences": {"n_pairs": 3}}, "batches' shapes"),
    ],
)
def test_runs_that_are_another_computation_are_refused(changes, told, short_config, tmp_path):
    configs = [short_config.replace(name="a"), short_config.replace(name="b", **changes)]
    with pytest.raises(ConfigError, match=rf"a and .*b cannot be trained together.* {told}"):
        train_together(configs, tmp_path, progress=False)
    assert not list(tmp_path.rglob("config.json"))


def test_each_run_has_a_directory_of_its_own(short_config, short_run, tmp_path):
    with pytest.raises(ConfigError, match="2 runs for 1 directories"):
        train_together([short_config, short_config], tmp_path)
    with pytest.raises(ConfigError, match="no runs"):
        train_together([], tmp_path)
    taken = Path(shutil.copytree(short_run.path, tmp_path / "taken"))
    with pytest.raises(RunError, match="taken holds a run already"):
        train_together([short_config.replace(data_seed=9)], [taken])
    assert RunDirectory(taken).read_config() == short_config
