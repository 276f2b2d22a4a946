"""A task of a user's own is trained, saved, loaded, clamped and swept as those of the toolkit."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from own_task import FirstTokenConfig
from transformer_lens import HookedTransformerConfig

from coopetition_interp.analysis.checkpoints import evaluate_checkpoints
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.sweeps import PlannedRun, run_sweep_locally
from coopetition_interp.training import (
    ConfigError,
    OptimizerConfig,
    RunConfig,
    Schedule,
    load_run,
    resume,
    train,
    train_together,
)

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
    assert "'own_task'" in told


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
