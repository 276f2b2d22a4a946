"""Runs in processes: one that dies is told, and takes no other with it."""

import multiprocessing
import os
import signal
import sys
import threading
import time

import psutil
import pytest
from drills.kills import ended_by

from coopetition_interp.interruption import FROM_PARENT, exit_code, interruptible
from coopetition_interp.sweeps import PlannedRun, run_sweep_locally
from coopetition_interp.sweeps.processes import Processes
from coopetition_interp.training import RunError, load_run
from coopetition_interp.training.run_directory import RunDirectory


def kill_the_first_process(killed, over):
    while not killed and not over.is_set():
        for process in multiprocessing.active_children():
            process.kill()
            killed.append(process.pid)
        time.sleep(0.02)


def test_a_killed_run_is_told_and_takes_no_other_with_it(short_config, tmp_path):
    killed = []
    over = threading.Event()
    killer = threading.Thread(target=kill_the_first_process, args=(killed, over))
    killer.start()
    plan = [
        PlannedRun("killed", short_config.replace(n_sequences=10_000_000)),
        PlannedRun("other", short_config.replace(n_sequences=640)),
    ]
    table = run_sweep_locally(plan, tmp_path, workers=1, progress=False).set_index("run")
    over.set()
    killer.join()
    assert len(killed) == 1
    assert table.message["killed"] == (
        "its process was killed by SIGKILL before the run was finished"
    )
    assert table.state["killed"] != "finished"
    assert table.state["other"] == "finished"
    assert table.message["other"] == ""


def test_jobs_are_interrupted_when_the_sweep_is():
    jobs = []

    def be_interrupted():
        with Processes() as processes:
            jobs.append(processes.submit(time.sleep, 10**6))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert jobs[0].process.exitcode in (128 + signal.SIGTERM, -FROM_PARENT)  # begun, or not yet
    with pytest.raises(RunError, match=r"^interrupted$"):
        jobs[0].result()


def sweep_killed_on_file(config, out, file, signum):
    """A sweep of one endless run, in a process that sends itself a signal once a file is there."""

    def watch():
        while not file.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signum)

    threading.Thread(target=watch, daemon=True).start()
    try:
        with interruptible():
            run_sweep_locally([PlannedRun("endless", config)], out, progress=False)
    except KeyboardInterrupt as error:
        sys.exit(exit_code(error))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_is_ended_leaves_no_process_and_what_was_trained_is_saved(
    signum, short_config, tmp_path
):
    config = short_config.with_overrides(["n_sequences=1e9", "compile=no"])
    file = RunDirectory(tmp_path / "endless").checkpoint_path(640)
    exitcode, had = ended_by(sweep_killed_on_file, config, tmp_path, file, signum)
    assert exitcode == (-signum if signum == signal.SIGKILL else 128 + signum)
    assert had
    psutil.wait_procs(had)  # killed, it could not wait for them: they end by themselves
    status = load_run(tmp_path / "endless").status
    assert status["state"] == "interrupted"
    assert status["sequences_seen"] >= 640
    assert "--resume" in status["message"]
