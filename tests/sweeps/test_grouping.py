"""A sweep trains runs of one shape together, forms the same groups again, and tells."""

import math
import re
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from own_task import FirstTokenConfig, FirstTokenTask
from same_weights import same_weights
from small_models import DIVERGING
from test_sweep import InThisProcess, states
from torch import nn
from transformer_lens import HookedRootModule

from coopetition_interp.config_class import config_class
from coopetition_interp.interventions import GraftIn, PreviousTokenHeads
from coopetition_interp.sweeps import PlannedRun, run_sweep
from coopetition_interp.sweeps import grouping as grouping_module
from coopetition_interp.sweeps.grouping import Grouping
from coopetition_interp.training import load_run, train
from coopetition_interp.training.run_directory import RunDirectory


@pytest.fixture(scope="module")
def config(short_config):
    return short_config.replace(n_sequences=320)


def grouped(configs, workers=1, **options):
    told: list[str] = []
    groups = Grouping(workers, told.append, **options).groups(configs)
    return groups, told


def of_seeds(config, n):
    return {f"seed-{seed}": config.replace(model={"init_seed": seed}) for seed in range(n)}


def test_runs_are_sorted_by_shape(config):
    configs = {
        **of_seeds(config, 2),
        "smaller": config.replace(model={"n_heads": 2}),
        "other-kind": config.replace(sequences={"kind": "iwl_only"}),
        "fewer-labels": config.replace(classes={"n_train": 32}),
        "held": config.replace(clamps=(PreviousTokenHeads([(0, 0)], 0.5),)),
        "held-less": config.replace(clamps=(PreviousTokenHeads([(0, 0)], 0.25),)),
    }
    groups, told = grouped(configs)
    assert groups == [
        ["seed-0", "seed-1", "other-kind"],
        ["fewer-labels"],
        ["smaller"],
        ["held", "held-less"],
    ]
    assert told == [
        "seed-0, seed-1, other-kind: trained together, as one model of 3 runs",
        "held, held-less: trained together, as one model of 2 runs",
    ]


def test_groups_leave_no_worker_idle_and_fit_the_memory(config):
    configs = of_seeds(config, 6)
    assert [len(group) for group in grouped(configs, workers=2)[0]] == [3, 3]
    assert [len(group) for group in grouped(configs, workers=9)[0]] == [2, 2, 2]
    assert [len(group) for group in grouped(configs, most_bytes=1)[0]] == [1] * 6


def test_large_models_are_not_grouped_on_a_cpu_and_that_is_told(config, monkeypatch):
    monkeypatch.setattr(grouping_module, "SMALL_ON_A_CPU", 1000)
    groups, (told,) = grouped(of_seeds(config.replace(device="cpu"), 5))
    assert groups == [[f"seed-{seed}"] for seed in range(5)]
    assert told.startswith("seed-0, seed-1, seed-2 and 2 more: each trained by itself; with ")
    assert told.endswith(" parameters a group is no faster on a CPU")


def plan_of(config):
    def graft(seed):
        return lambda runs: config.replace(
            model={"init_seed": seed},
            clamps=(GraftIn(str(runs[f"donor-{seed}"].checkpoint_path("last")), layer=0),),
        )

    donors = [f"donor-{seed}" for seed in (1, 2)]
    return [
        *(PlannedRun(name, config.replace(data_seed=seed)) for seed, name in enumerate(donors)),
        PlannedRun("alone", config.replace(model={"n_heads": 2})),
        *(PlannedRun(f"graft-{seed}", graft(seed), tuple(donors)) for seed in (1, 2)),
    ]


def test_groups_of_a_sweep_are_jobs_and_the_same_when_it_is_started_again(config, tmp_path, capsys):
    executor = InThisProcess()
    table = run_sweep(plan_of(config), tmp_path, executor, 1, progress=False)
    assert set(states(table).values()) == {"finished"}
    assert executor.submitted == ["donor-1-and-1-more", "alone", "graft-1-and-1-more"]
    assert "graft-1, graft-2: trained together, as one model of 2 runs" in capsys.readouterr().out
    RunDirectory(tmp_path / "graft-1").write_status("interrupted", 320)
    again = InThisProcess()
    assert set(states(run_sweep(plan_of(config), tmp_path, again, 1, progress=False)).values()) == {
        "finished"
    }
    assert again.submitted == ["graft-1"]
    alone = InThisProcess()
    run_sweep(plan_of(config)[:2], tmp_path / "alone", alone, 1, progress=False, grouping=False)
    assert alone.submitted == ["donor-1", "donor-2"]


def test_one_that_fails_or_differs_stops_no_other_of_its_group(config, tmp_path):
    bad = config.with_overrides([*DIVERGING, "n_sequences=640"])
    good = bad.replace(optimizer=config.optimizer)
    plan = [
        PlannedRun("good", good),
        PlannedRun("bad", bad),
        PlannedRun("differs", good.replace(data_seed=3)),
    ]
    train(good.replace(name="differs", data_seed=4, n_sequences=32), tmp_path / "differs")
    table = run_sweep(plan, tmp_path, InThisProcess(), 1, progress=False)
    assert states(table) == {"good": "finished", "bad": "failed", "differs": "differs"}
    messages = table.set_index("run").message
    assert re.match(r"(the loss is (nan|inf)|\S+ is not finite) ?.*at step", messages["bad"])
    assert "data_seed" in messages["differs"]
    assert math.isfinite(load_run(tmp_path / "good").metrics.training_loss.iloc[-1])


@dataclass(kw_only=True)
class TaughtTask(FirstTokenTask):
    """Its loss is by a teacher of the run's own."""

    teacher: torch.Tensor

    def loss(self, run_model, batch):
        return F.cross_entropy(run_model(batch)[:, -1], self.teacher[batch[:, 0]])


@config_class
class TaughtConfig(FirstTokenConfig):
    task: Literal["taught"] = "taught"

    def build(self):
        generator = torch.Generator().manual_seed(self.data_seed)
        return TaughtTask(
            model=self.fresh_model({}),
            evaluation_sequences=self.make_evaluation_sequences(None),
            config=self,
            teacher=torch.randperm(self.d_vocab, generator=generator),
        )


def test_runs_that_turn_out_to_have_other_losses_are_trained_one_after_the_other(tmp_path):
    base = TaughtConfig(n_sequences=320, n_threads=1)
    plan = [PlannedRun(str(seed), base.replace(data_seed=seed)) for seed in (3, 4)]
    executor = InThisProcess()
    table = run_sweep(plan, tmp_path / "sweep", executor, 1, progress=False)
    assert set(states(table).values()) == {"finished"}
    assert executor.submitted == ["3-and-1-more"]
    for planned in plan:
        alone = train(planned.resolve({}), tmp_path / planned.name, progress=False)
        swept = load_run(tmp_path / "sweep" / planned.name)
        assert same_weights(swept.weights(), alone.weights())


def test_one_that_cannot_be_begun_stops_no_other_of_its_group(config, tmp_path):
    configs = {**of_seeds(config, 2), "from-gone": config.replace(start_from="gone.safetensors")}
    plan = [PlannedRun(name, each) for name, each in configs.items()]
    table = run_sweep(plan, tmp_path, InThisProcess(), 1, progress=False).set_index("run")
    assert list(table.state[["seed-0", "seed-1"]]) == ["finished", "finished"]
    assert "gone.safetensors" in table.message["from-gone"]
    assert not table.message["seed-0"]


class Recurrent(HookedRootModule):
    """Of torch's own LSTM, of which vmap has no form."""

    def __init__(self, d_vocab):
        super().__init__()
        self.embed = nn.Embedding(d_vocab, 8)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.out = nn.Linear(8, d_vocab)
        self.setup()

    def forward(self, tokens, return_type="logits"):
        return self.out(self.lstm(self.embed(tokens))[0])


@config_class
class RecurrentConfig(FirstTokenConfig):
    task: Literal["recurrent"] = "recurrent"

    def fresh_model(self, resolved):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.data_seed)
            return Recurrent(self.d_vocab)


def test_runs_of_an_operation_that_has_no_form_for_several_are_trained_one_by_one(tmp_path):
    config = RecurrentConfig(n_sequences=96, n_threads=1)
    plan = [PlannedRun(f"seed-{seed}", config.replace(data_seed=seed)) for seed in (1, 2)]
    executor = InThisProcess()
    table = run_sweep(plan, tmp_path / "sweep", executor, 1, progress=False)
    assert executor.submitted == ["seed-1-and-1-more"]
    assert set(states(table).values()) == {"finished"}
    for planned in plan:
        alone = train(planned.config, tmp_path / planned.name, progress=False)
        assert same_weights(load_run(tmp_path / "sweep" / planned.name).weights(), alone.weights())
