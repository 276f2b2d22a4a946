"""A sweep does what is left to do, in order, and survives a run that fails."""

import io
import re
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
import torch
from small_models import DIVERGING
from unchecked import without_shape_checks

from coopetition_interp import sweeps
from coopetition_interp.interventions import GraftIn
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.sweeps import PlannedRun, only_named, sweep_status
from coopetition_interp.sweeps.plan import check_plan
from coopetition_interp.sweeps.sweep import SECONDS_BETWEEN_LOOKS
from coopetition_interp.training import (
    ConfigError,
    Schedule,
    load_run,
    resume,
    state_of,
    train,
)
from coopetition_interp.training.run_directory import RunDirectory

run_sweep = partial(sweeps.run_sweep, grouping=False)  # for groups see test_grouping.py


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
        self.submitted.append(arguments[0].name)
        return Done(function(*arguments))


def plan_of(config):
    def graft(runs):
        donor = str(runs["donor"].checkpoint_path("last"))
        return config.replace(clamps=(GraftIn(donor, layer=0),))

    return [
        PlannedRun("fails", config.with_overrides(DIVERGING)),
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
    plan = (planned for planned in plan_of(config))  # a generator, which some write
    return config, out, executor, run_sweep(plan, out, executor, 2, progress=False)


def test_all_runs_but_the_failed_and_its_dependant_finish(swept):
    _, _, executor, table = swept
    assert states(table) == {
        "fails": "failed",
        "needs-what-fails": "missing",
        "donor": "finished",
        "grafts/from-donor": "finished",
    }
    messages = table.set_index("run").message
    # Which of them shows first hangs on how the processor rounds.
    assert re.match(r"(the loss is (nan|inf)|\S+ is not finite) ?.*at step", messages["fails"])
    assert messages["needs-what-fails"] == "not run, since fails failed"
    assert messages["donor"] == ""
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
    assert "another config than the sweep plans now (in " in table.message.item()
    assert "data_seed" in table.message.item()


def test_a_finished_run_of_another_config_is_not_taken_for_the_planned_one(swept):
    config, out, _, _ = swept
    donor = PlannedRun("donor", config.replace(model={"init_seed": 7}))
    dependant = PlannedRun("needs-donor", config, ("donor",))
    executor = InThisProcess()
    table = run_sweep([donor, dependant], out, executor, 1, progress=False)
    assert executor.submitted == []
    messages = table.set_index("run").message
    assert "(in model.init_seed)" in messages["donor"]
    assert messages["needs-donor"] == "not run, since donor failed"
    assert states(table) == {"donor": "differs", "needs-donor": "missing"}
    status = sweep_status([donor], out)
    assert states(status) == {"donor": "differs"}
    assert "(in model.init_seed)" in status.message.item()
    assert load_run(out / "donor").config.model.init_seed == 6


def test_a_run_that_is_too_short_can_be_made_longer(swept):
    config, out, _, _ = swept
    donor = PlannedRun("donor", config.replace(model={"init_seed": 6}, n_sequences=960))
    message = sweep_status([donor], out).message.item()
    assert "(in n_sequences): make it longer by `coopetition-interp train --resume" in message
    assert "--until 960`" in message


def test_a_finished_run_may_have_been_measured_otherwise(swept):
    config, out, _, _ = swept
    changes = ['evaluate_at={"every": 64}', 'checkpoint_at={"every": 64}', "compile=yes"]
    donor = PlannedRun("donor", config.replace(model={"init_seed": 6}).with_overrides(changes))
    executor = InThisProcess()
    assert states(run_sweep([donor], out, executor, 1, progress=False)) == {"donor": "finished"}
    assert executor.submitted == []
    assert sweep_status([donor], out).message.item() == ""


HOLD = """
import filelock, sys
with filelock.FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held_run(short_config, tmp_path):
    """A run directory that says it is running, and the process that has it."""
    with RunDirectory(tmp_path / "run") as directory:
        directory.write_config(short_config.replace(name="run", n_sequences=640), {})
        directory.write_status("running", 320)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run" / "in_use.lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        yield tmp_path / "run", holder
        holder.kill()


def test_a_killed_run_is_interrupted_and_not_running(held_run):
    path, holder = held_run
    assert state_of(path) == "running"
    holder.kill()
    holder.wait()
    assert state_of(path) == "interrupted"
    table = sweep_status([PlannedRun("run", RunDirectory(path).read_config())], path.parent)
    assert states(table) == {"run": "interrupted"}
    assert table.sequences_seen.item() == 320


class Announced(io.StringIO):
    """Standard output that calls a function once, when a text is first written to it."""

    def __init__(self, text, then):
        super().__init__()
        self.text = text
        self.then = then

    def write(self, written):
        if self.text in written and self.text not in self.getvalue():
            self.then()
        return super().write(written)


WAITING = "run: another process is at it"


def test_a_run_that_waits_for_another_process_is_done_once_that_ends(held_run, monkeypatch):
    path, holder = held_run
    config = RunDirectory(path).read_config()
    (path / "config.json").unlink()  # nothing is there yet but its lock
    (path / "status.json").unlink()
    assert state_of(path) == "running"
    executor = InThisProcess()
    submitted_while_held = []

    def end_it():
        submitted_while_held.extend(executor.submitted)
        holder.stdin.close()

    # Some looks after it is found to be held.
    output = Announced(WAITING, threading.Timer(3 * SECONDS_BETWEEN_LOOKS, end_it).start)
    monkeypatch.setattr(sys, "stdout", output)
    table = run_sweep([PlannedRun("run", config)], path.parent, executor, 1, progress=False)
    assert submitted_while_held == []
    assert executor.submitted == ["run"]
    assert states(table) == {"run": "finished"}
    assert output.getvalue().count(WAITING) == 1


def test_what_another_process_finished_meanwhile_is_not_run(held_run, monkeypatch):
    path, holder = held_run
    executor = InThisProcess()

    def finish_it():
        RunDirectory(path).write_status("finished", 640)
        holder.stdin.close()

    monkeypatch.setattr(sys, "stdout", Announced(WAITING, finish_it))
    planned = PlannedRun("run", RunDirectory(path).read_config())
    table = run_sweep([planned], path.parent, executor, 1, progress=False)
    assert states(table) == {"run": "finished"}
    assert executor.submitted == []


def test_a_failed_run_that_can_go_on_now_is_finished(short_config, tmp_path):
    config = short_config.replace(name="run", n_sequences=640)
    weights = train(config, tmp_path / "run", progress=False).weights()
    RunDirectory(tmp_path / "run").write_status("failed", 640, "no space left")
    plan = [PlannedRun("run", config)]
    assert sweep_status(plan, tmp_path).message.item() == "no space left"
    table = run_sweep(plan, tmp_path, InThisProcess(), 1, progress=False)
    assert states(table) == {"run": "finished"}
    assert table.message.item() == ""
    again = load_run(tmp_path / "run").weights()
    assert all(torch.equal(again[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize("content", ["", "[]", '{"state": "finished"}', '{"state": 3}'])
def test_a_damaged_status_stops_no_other_run_and_is_told(short_config, tmp_path, content):
    config = short_config.replace(n_sequences=64)
    plan = [PlannedRun(name, config.replace(name=name)) for name in ("bad", "good")]
    plan.append(PlannedRun("needs-bad", config, ("bad",)))
    train(plan[0].resolve({}), tmp_path / "bad", progress=False)
    (tmp_path / "bad" / "status.json").write_text(content)
    for table in (
        sweep_status(plan, tmp_path),
        run_sweep(plan, tmp_path, InThisProcess(), 1, progress=False),
    ):
        assert states(table)["bad"] == "damaged"
        message = table.set_index("run").message["bad"]
        assert str(tmp_path / "bad" / "status.json") in message
        assert "remove it and go on by `coopetition-interp train --resume" in message
    assert states(table)["good"] == "finished"
    assert table.set_index("run").message["needs-bad"] == "not run, since bad failed"
    (tmp_path / "bad" / "status.json").unlink()  # the mend that was told
    assert set(states(run_sweep(plan, tmp_path, InThisProcess(), 1, progress=False)).values()) == {
        "finished"
    }


def test_a_lock_that_is_a_link_stops_no_other_run_and_is_told(short_config, tmp_path):
    config = short_config.replace(n_sequences=64)
    plan = [PlannedRun(name, config) for name in ("bad", "good")]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "in_use.lock").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("precious")
    message = sweep_status(plan, tmp_path).set_index("run").message["bad"]
    assert "in_use.lock is a symbolic link" in message
    table = run_sweep(plan, tmp_path, InThisProcess(), 1, progress=False)
    assert states(table) == {"bad": "missing", "good": "finished"}
    assert "in_use.lock is a symbolic link" in table.set_index("run").message["bad"]
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_finished_run_that_was_made_longer_is_the_planned_one(short_config, tmp_path):
    planned = short_config.replace(
        n_sequences=320, evaluate_at=Schedule(), checkpoint_at=Schedule()
    )
    plan = [PlannedRun("run", planned, about={"role": "main", "init_seed": 5})]
    run_sweep(plan, tmp_path, InThisProcess(), 1, progress=False)
    resume(tmp_path / "run", n_sequences=640, progress=False)
    assert states(sweep_status(plan, tmp_path)) == {"run": "finished"}
    again = InThisProcess()
    run_sweep(plan, tmp_path, again, 1, progress=False)
    assert again.submitted == []
    (found,) = Study(tmp_path, plan).runs("main")
    assert found.metrics.sequences_seen.max() == 640


def test_a_run_that_was_being_made_longer_is_not_taken_for_finished(short_config, tmp_path):
    short = short_config.replace(name="run", n_sequences=640)
    run = train(short, tmp_path / "run", progress=False)
    longer = short.replace(n_sequences=1280)
    RunDirectory(run.path).write_config(longer, run.resolved)  # and then it was killed
    plan = [PlannedRun("run", longer)]
    assert states(sweep_status(plan, tmp_path)) == {"run": "interrupted"}
    table = run_sweep(plan, tmp_path, InThisProcess(), 1, progress=False)
    assert states(table) == {"run": "finished"}
    assert load_run(run.path).checkpoints == [0, 640, 1280]


def test_status_of_a_sweep_not_begun(swept, tmp_path):
    table = sweep_status(plan_of(swept[0]), tmp_path)
    assert set(table.state) == {"missing"}


def test_only_named_keeps_what_is_needed(short_config):
    def chosen(*prefixes):
        return [planned.name for planned in only_named(plan_of(short_config), prefixes)]

    assert chosen("grafts/") == ["donor", "grafts/from-donor"]
    assert chosen("grafts/", "needs", "donor") == [
        "fails",
        "needs-what-fails",
        "donor",
        "grafts/from-donor",
    ]
    with pytest.raises(ConfigError, match="no run's name begins with 'nothing'"):
        chosen("grafts/", "nothing")


def test_inconsistent_plans_are_refused(short_config):
    run = PlannedRun("a", short_config)
    with pytest.raises(ConfigError, match="two runs named a"):
        check_plan([run, run])
    with pytest.raises(ConfigError, match="b needs a, which is not planned before it"):
        check_plan([PlannedRun("b", short_config, ("a",)), run])
    with pytest.raises(ConfigError, match="the plan has no runs"):
        check_plan([])
    with without_shape_checks(), pytest.raises(ConfigError, match="b: needs is a tuple of names"):
        PlannedRun("b", short_config, "a")
    with without_shape_checks(), pytest.raises(ConfigError, match=r"b: config is .* got 'tiny'"):
        PlannedRun("b", "tiny")


def test_a_function_of_the_plan_that_fails_stops_no_other_run(short_config, tmp_path):
    def says_nothing(runs):
        raise ValueError

    plan = [
        PlannedRun("a-key", lambda runs: runs["not needed"].config),
        PlannedRun("an-attribute", lambda runs: runs.no_such),
        PlannedRun("nothing", lambda runs: None),
        PlannedRun("no-word", says_nothing),
        PlannedRun("fine", short_config.replace(n_sequences=64)),
    ]
    with without_shape_checks():
        table = run_sweep(plan, tmp_path, InThisProcess(), 1, progress=False).set_index("run")
    assert table.state["fine"] == "finished"
    told = "the plan's function for its config "
    assert table.message["a-key"] == told + "failed (KeyError: 'not needed')"
    assert told + "failed (AttributeError" in table.message["an-attribute"]
    assert table.message["nothing"] == told + "gave NoneType, not a RunConfig"
    assert table.message["no-word"] == "ValueError"


def test_at_least_one_worker(short_config, tmp_path):
    with pytest.raises(ConfigError, match="at least 1; got 0"):
        run_sweep([PlannedRun("a", short_config)], tmp_path, InThisProcess(), 0, progress=False)


@pytest.mark.parametrize(
    ("about", "problem"),
    [
        ({"kind": "main", "init_seed": 5}, r"should have a role \(text\) and an init_seed"),
        ({"role": "main"}, "should have a role"),
        ({"role": "main", "init_seed": "5"}, "should have a role"),
        ({}, "should have a role"),
        ("main", "should be fields and their values; got 'main'"),
        ({"role": "main", "init_seed": 5, "heads": (0, 1)}, "what JSON keeps as it is; heads is"),
        ({"role": "main", "init_seed": 5, "rate": np.float32(1)}, "what JSON keeps as it is; rate"),
    ],
)
def test_what_runs_are_is_looked_at_before_any_is_trained(short_config, tmp_path, about, problem):
    plan = [
        PlannedRun("first", short_config, about={"role": "main", "init_seed": 5}),
        PlannedRun("second", short_config, about=about),
    ]
    executor = InThisProcess()
    with pytest.raises(ConfigError, match=rf"^second: its about, .*{problem}.*or leave out about"):
        run_sweep(plan, tmp_path / "out", executor, 1, progress=False)
    assert executor.submitted == []
    assert not (tmp_path / "out").exists()
    with pytest.raises(StudyError, match=rf"second of .*{problem}"):
        Study(tmp_path, plan)


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../b", "", "a//b", "a\nb", 3])
def test_a_run_whose_name_leads_out_of_the_sweep_is_refused(short_config, tmp_path, name):
    if name == "/outside":  # were it not refused, the run would be written there
        name = f"{tmp_path}{name}"
    executor = InThisProcess()
    with without_shape_checks(), pytest.raises(ConfigError, match="a path inside the sweep's"):
        run_sweep([PlannedRun(name, short_config)], tmp_path / "out", executor, 1, progress=False)
    assert executor.submitted == []
