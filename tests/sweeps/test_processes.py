"""Runs in processes: one that dies is told, and takes no other with it."""

import multiprocessing
import signal
import threading
import time

import pytest

from coopetition_interp.sweeps import PlannedRun, run_sweep_locally
from coopetition_interp.sweeps.processes import Processes


def kill_the_first_process(killed):
    end = time.monotonic() + 60
    while not killed and time.monotonic() < end:
        for process in multiprocessing.active_children():
            process.kill()
            killed.append(process.pid)
        time.sleep(0.02)


def test_a_killed_run_is_told_and_takes_no_other_with_it(short_config, tmp_path):
    killed = []
    killer = threading.Thread(target=kill_the_first_process, args=(killed,))
    killer.start()
    plan = [
        PlannedRun("killed", short_config.replace(n_sequences=10_000_000)),
        PlannedRun("other", short_config.replace(n_sequences=640)),
    ]
    table = run_sweep_locally(plan, tmp_path, workers=1, progress=False).set_index("run")
    killer.join()
    assert len(killed) == 1
    assert table.message["killed"] == (
        "its process was killed by SIGKILL before the run was finished"
    )
    assert table.state["killed"] != "finished"
    assert table.state["other"] == "finished"
    assert table.message["other"] == ""


def test_jobs_are_interrupted_when_the_sweep_is(monkeypatch):
    monkeypatch.setattr("coopetition_interp.sweeps.processes.SECONDS_TO_STOP", 0.0)
    begun = time.monotonic()
    jobs = []

    def be_interrupted():
        with Processes() as processes:
            jobs.append(processes.submit(time.sleep, 600))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert time.monotonic() - begun < 60
    assert jobs[0].process.exitcode in (1, 130, -signal.SIGINT)
