"""A sweep does what is left to do, in order, and survives a run that fails."""

import pytest
import torch

from coopetition_interp.interventions import GraftIn
from coopetition_interp.sweeps import PlannedRun, only_named, run_sweep, sweep_status
from coopetition_interp.sweeps.sweep import check_plan
from coopetition_interp.training import ConfigError, load_run


class Done:
    def __init__(self, value):
        self.value = value

    def done(self) -> bool:
        return True

    def result(self):
        return self.value


class InThisProcess:
    """An executor that runs each job as it is submitted, and counts them."""

    def __init__(self):
        self.submitted: list[str] = []

    def submit(self, function, *arguments):
        self.submitted.append(arguments[0]["name"])
        return Done(function(*arguments))


def plan_of(config):
    def graft(runs):
        donor = str(runs["donor"].checkpoint_path("last"))
        return config.replace(clamps=(GraftIn(donor, layer=0),))

    return [
        PlannedRun("fails", config.with_overrides(["optimizer.learning_rate=1e30"])),
        PlannedRun("needs-what-fails", config, ("fails",)),
        PlannedRun("donor", config.replace(model={"init_seed": 6})),
        PlannedRun("grafts/from-donor", graft, ("donor",)),
    ]


def states(table):
    return dict(zip(table.run, table.state, strict=True))


@pytest.fixture(scope="module")
def swept(short_config, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep")
    config = short_config.replace(n_sequences=640)
    executor = InThisProcess()
    return config, out, executor, run_sweep(plan_of(config), out, executor, 2, progress=False)


def test_all_runs_but_the_failed_and_its_dependant_finish(swept):
    _, _, executor, table = swept
    assert states(table) == {
        "fails": "failed",
        "needs-what-fails": "missing",
        "donor": "finished",
        "grafts/from-donor": "finished",
    }
    assert table.set_index("run").message["fails"].startswith("the loss is")
    assert executor.submitted == ["fails", "donor", "grafts/from-donor"]


def test_a_dependant_is_made_from_what_it_needs(swept):
    _, out, _, _ = swept
    grafted, donor = load_run(out / "grafts/from-donor"), load_run(out / "donor")
    (clamp,) = grafted.config.clamps
    assert clamp.checkpoint == str(donor.checkpoint_path("last"))
    first, last = grafted.weights("first"), grafted.weights("last")
    assert torch.equal(first["blocks.0.attn.W_Q"], last["blocks.0.attn.W_Q"])
    assert not torch.equal(first["blocks.1.attn.W_V"], last["blocks.1.attn.W_V"])


def test_finished_runs_are_skipped_and_failed_ones_tried_again(swept):
    config, out, _, _ = swept
    executor = InThisProcess()
    run_sweep(plan_of(config), out, executor, 1, progress=False)
    assert executor.submitted == ["fails"]


def test_a_run_begun_with_another_config_is_refused(swept):
    config, out, _, _ = swept
    changed = [PlannedRun("fails", config.replace(data_seed=9))]
    table = run_sweep(changed, out, InThisProcess(), 1, progress=False)
    assert states(table) == {"fails": "failed"}


def test_status_of_a_sweep_not_begun(swept, tmp_path):
    table = sweep_status(plan_of(swept[0]), tmp_path)
    assert set(table.state) == {"missing"}


def test_only_named_keeps_what_is_needed(short_config):
    chosen = only_named(plan_of(short_config), "grafts/")
    assert [planned.name for planned in chosen] == ["donor", "grafts/from-donor"]
    with pytest.raises(ConfigError, match="no run's name begins"):
        only_named(plan_of(short_config), "nothing")


def test_inconsistent_plans_are_refused(short_config):
    run = PlannedRun("a", short_config)
    with pytest.raises(ConfigError, match="two runs named a"):
        check_plan([run, run])
    with pytest.raises(ConfigError, match="b needs a, which is not planned before it"):
        check_plan([PlannedRun("b", short_config, ("a",)), run])
