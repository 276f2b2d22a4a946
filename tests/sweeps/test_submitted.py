"""A sweep as submitit's local jobs: in processes of their own, in order, resumed, and killed."""

import importlib
import os
import signal
import threading
import time
from functools import partial

import psutil
import pytest
import torch
from submitit.helpers import DelayedSubmission

from coopetition_interp.interventions import GraftIn
from coopetition_interp.sweeps import PlannedRun, run_sweep_with_submitit, sweep_status
from coopetition_interp.sweeps.submitted import ResumableCall
from coopetition_interp.training import ConfigError, TrainingStep, load_run, train
from coopetition_interp.training.run_directory import RunDirectory


def plan_of(config):
    def graft(runs):
        donor = str(runs["donor"].checkpoint_path("last"))
        return config.replace(n_sequences=64, clamps=(GraftIn(donor, layer=0),))

    return [
        PlannedRun("killed", config.replace(n_sequences=10_000_000)),
        PlannedRun("needs-killed", config, ("killed",)),
        PlannedRun("donor", config),
        PlannedRun("grafts/from-donor", graft, ("donor",)),
    ]


def interrupt_at_its_first_save(config, out):
    """Leaves the run as Ctrl-C does, a third of the way through."""
    module = importlib.import_module("coopetition_interp.training.run_record")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SECONDS_BETWEEN_RESUME_SAVES", 0.0)
        save = module.RunRecord.save_resume

        def save_then_interrupt(record, step):
            save(record, step)
            if step.state.steps_done:
                raise KeyboardInterrupt

        patch.setattr(module.RunRecord, "save_resume", save_then_interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config, out, progress=False)


def kill_the_first_job(killed, over):
    """Ends the first process that submitit starts for a job of this process, by its id."""
    while not killed and not over.is_set():
        for process in psutil.Process().children(recursive=True):
            try:
                is_job = "submitit.core._submit" in process.cmdline()
            except psutil.NoSuchProcess:
                continue
            if is_job:
                killed.append(process.pid)
                process.kill()
                return
        time.sleep(0.05)


@pytest.fixture(scope="module")
def swept(short_config, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep")
    plan = plan_of(short_config)
    donor = short_config.replace(name="donor")
    interrupt_at_its_first_save(donor, out / "donor")
    first_checkpoint = RunDirectory(out / "donor").checkpoint_path(640)
    written = first_checkpoint.stat().st_mtime_ns
    before = sweep_status(plan, out)
    killed = []
    over = threading.Event()
    killer = threading.Thread(target=kill_the_first_job, args=(killed, over))
    killer.start()
    with pytest.MonkeyPatch.context() as patch:  # it waits for results to show on slow disks
        patch.setattr("submitit.core.core.Job._results_timeout_s", 1)
        table = run_sweep_with_submitit(
            plan, out, "local", 1, ["timeout_min=30", "slurm_partition=gpu"], progress=False
        )
    over.set()
    killer.join()
    assert killed
    assert first_checkpoint.stat().st_mtime_ns == written
    return out, plan, before, table


def states(table):
    return dict(zip(table.run, table.state, strict=True))


def test_an_interrupted_run_is_resumed_to_the_same_weights(swept, short_run):
    out, _, before, table = swept
    assert states(before)["donor"] == "interrupted"
    assert before.set_index("run").sequences_seen["donor"] == 640
    assert states(table)["donor"] == "finished"
    weights = load_run(out / "donor").weights()
    assert all(torch.equal(weights[name], w) for name, w in short_run.weights().items())


def test_a_dependant_is_done_after_what_it_needs(swept):
    out, _, _, table = swept
    assert states(table)["grafts/from-donor"] == "finished"
    donor, grafted = load_run(out / "donor"), load_run(out / "grafts/from-donor")
    assert [clamp.checkpoint for clamp in grafted.config.clamps] == [
        str(donor.checkpoint_path("last"))
    ]


def test_a_killed_job_is_reported_and_stops_only_what_needs_it(swept):
    _, _, _, table = swept
    messages = table.set_index("run").message
    assert "ended before the run was finished: see " in messages["killed"]
    assert messages["killed"].endswith(".err")
    assert messages["needs-killed"] == "not run, since killed failed"
    assert states(table)["killed"] != "finished"


def test_jobs_are_processes_of_their_own_with_logs_apart_from_the_runs(swept):
    out, _, _, _ = swept
    ids = {int(file.name.split("_")[0]) for file in (out / "jobs").glob("*_log.out")}
    assert len(ids) == 3  # the job of a needed run that failed was never submitted
    assert os.getpid() not in ids


def test_finished_runs_are_not_submitted_again(swept):
    out, plan, _, _ = swept
    logs = sorted((out / "jobs").iterdir())
    finished = [planned for planned in plan if "killed" not in planned.name]
    table = run_sweep_with_submitit(finished, out, "local", 2, progress=False)
    assert set(table.state) == {"finished"}
    assert sorted((out / "jobs").iterdir()) == logs


def test_a_job_whose_time_is_up_is_the_same_call_again():
    call = ResumableCall()
    assert call(divmod, 7, 2) == (3, 1)
    again = DelayedSubmission(call, divmod, 7, 2)._checkpoint_function()
    assert again.result() == (3, 1)


def test_a_job_whose_time_is_up_saves_before_it_goes_back_into_the_queue(
    short_config, tmp_path, monkeypatch
):
    put_back = []
    take = TrainingStep.__call__

    def take_then_tell(self, batch):
        loss = take(self, batch)
        if self.state.steps_done == 7:
            signal.raise_signal(signal.SIGUSR2)
        return loss

    monkeypatch.setattr(TrainingStep, "__call__", take_then_tell)
    monkeypatch.setattr("submitit.JobEnvironment.USR_SIG", "USR2")
    before = signal.signal(signal.SIGUSR2, lambda signum, frame: put_back.append(signum))
    try:
        with pytest.raises(KeyboardInterrupt):
            ResumableCall()(partial(train, progress=False), short_config, tmp_path / "run")
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert put_back == [signal.SIGUSR2]
    status = load_run(tmp_path / "run").status
    assert (status["state"], status["sequences_seen"]) == ("interrupted", 7 * 32)


def test_jobs_on_this_machine_end_with_the_sweep_and_save(short_config, tmp_path):
    config = short_config.with_overrides(["n_sequences=1e9", "compile=no"])
    first_checkpoint = RunDirectory(tmp_path / "endless").checkpoint_path(640)

    def interrupt():
        while not first_checkpoint.exists():
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_sweep_with_submitit(
            [PlannedRun("endless", config)], tmp_path, "local", 1, progress=False
        )
    running = psutil.Process().children(recursive=True)
    assert not [p for p in running if "submitit" in " ".join(p.cmdline())]
    status = load_run(tmp_path / "endless").status
    assert status["state"] == "interrupted"
    assert status["sequences_seen"] >= 640


@pytest.mark.parametrize(
    ("cluster", "options", "message"),
    [
        ("local", ["colour=red"], "'colour' need to be prefixed"),
        ("local", ["slurm_colour=red"], "Unknown argument 'colour' for executor 'slurm'"),
        ("local", ["timeout_min=soon"], "timeout_min"),
        ("local", ["local_nodes=2"], "only one node"),
        ("local", ["timeout_min"], "NAME=VALUE; got 'timeout_min'"),
        ("slurm", ["slurm_partition=gpu"], 'Could not detect "srun"'),
    ],
)
def test_a_wrong_option_or_no_slurm_is_one_clear_error(
    cluster, options, message, short_config, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))  # whether or not there is a Slurm here
    with pytest.raises(ConfigError) as caught:
        run_sweep_with_submitit(plan_of(short_config), tmp_path, cluster, 1, options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "donor").exists()
