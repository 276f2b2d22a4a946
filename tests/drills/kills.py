"""Kills runs at stated points, by every signal that ends a process, and resumes them.

    python tests/drills/kills.py --runs 40 --sweeps 8 --seed 0

A point is the so-manieth of these events of a process: a training step begins or ends, a file is
about to take its name or has taken it. Nothing depends on how fast the machine is. Prints how many
runs ended bitwise as the undisturbed one, differed, could not be resumed, or left processes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module, util
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
import psutil
import torch

from coopetition_interp.command_line import main as command_line
from coopetition_interp.training import Run, TrainingStep, load_run
from coopetition_interp.training.run_state import state_of

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
EVENTS_OF_A_RUN = {False: 90, True: 40}
"""About as many as there are in a run, and in one that is made longer."""
FIRST_EVENTS = 12
"""What a process begins with: config, status, first moment. Half of the kills are among these."""
SHORT, LONG = 640, 960
FIELDS = ['evaluate_at={"every": 160}', 'checkpoint_at={"every": 320}']
SWEPT = {"init-5/icl-only": (0, 6_400), "init-5/ciwl-only": (0, 1_600, 6_400)}
"""Runs of the sweep, and at which of their checkpoints (in sequences seen) it is killed."""
PLAN = Path(__file__).parents[2] / "analyses/coopetition/runs.py"
SECONDS_TO_BE_GONE = 60.0

processes = multiprocessing.get_context("forkserver")  # autograd's threads do not survive a fork
processes.set_forkserver_preload(["coopetition_interp.training", "coopetition_interp.sweeps"])


# In the process that is killed --------------------------------------------------------------


def call_at_event(n: int, act: Callable[[], None]) -> None:
    """Has `act` called at the n-th event of this process, from 1."""
    count = 0

    def happened() -> None:
        nonlocal count
        count += 1
        if count == n:
            act()

    def watched(function: Callable) -> Callable:
        def call(*arguments, **options):
            happened()
            result = function(*arguments, **options)
            happened()
            return result

        return call

    TrainingStep.__call__ = watched(TrainingStep.__call__)
    os.replace = watched(os.replace)


def command_line_killed_at(
    words: list[str], event: int, signals: tuple[int, ...], save_always: bool
) -> None:
    """The command line, in a process that sends itself signals at an event of it (0: never)."""

    def send() -> None:
        for signum in signals:
            os.kill(os.getpid(), signum)

    torch.set_num_threads(1)
    if save_always:
        for name in ("run_record", "train"):  # where it is, and where it was
            if util.find_spec(f"coopetition_interp.training.{name}"):
                module = import_module(f"coopetition_interp.training.{name}")
                module.SECONDS_BETWEEN_RESUME_SAVES = -1.0
    call_at_event(event, send)
    sys.exit(_quietly(words))


def command_line_killed_on_file(words: list[str], file: Path, signum: int) -> None:
    """The command line, in a process that sends itself a signal once a file is there."""

    def watch() -> None:
        while not file.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signum)

    torch.set_num_threads(1)
    threading.Thread(target=watch, daemon=True).start()
    sys.exit(_quietly(words))


def _quietly(words: list[str]) -> int:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return command_line(words)


def call(function: Callable, *arguments: object) -> BaseProcess:
    """The ended process in which a function was called."""
    process = processes.Process(target=function, args=arguments)
    process.start()
    process.join()
    return process


# Around it ----------------------------------------------------------------------------------


def words_of(out: Path, until: int = LONG) -> list[str]:
    """The command that begins a run, or goes on with it."""
    if not (out / "config.json").exists():
        return ["train", "tiny", "--out", str(out), "--quiet", f"n_sequences={until}", *FIELDS]
    return ["train", "--resume", str(out), "--quiet"]


def undisturbed(folder: Path, until: int) -> Run:
    """A run that nothing happens to."""
    call(command_line_killed_at, words_of(folder / str(until), until), 0, (), False)
    return load_run(folder / str(until))


def outcome(out: Path, exit_code: int, whole: Run) -> str:
    """How a run that was killed and resumed has ended."""
    if exit_code != 0 or state_of(out) != "finished":
        return "cannot be resumed"
    run = load_run(out)
    if run.checkpoints != whole.checkpoints:
        return "differs"
    weights = [(run.weights(seen), whole.weights(seen)) for seen in whole.checkpoints]
    equal = (
        run.config.n_sequences == whole.config.n_sequences
        and all(torch.equal(ours[name], theirs[name]) for ours, theirs in weights for name in ours)
        and run.metrics.equals(whole.metrics)
    )
    return "ended bitwise equal" if equal else "differs"


def drill_runs(n_runs: int, chance: random.Random, folder: Path, lengthened: bool) -> Counter:
    """Kills each run up to four times at random points, then lets it go on to its end."""
    whole = undisturbed(folder, LONG)
    short = undisturbed(folder, SHORT) if lengthened else whole
    counts: Counter = Counter()
    for index in range(n_runs):
        out = folder / f"run{index}"
        if lengthened:
            shutil.copytree(short.path, out)
        killed = 0
        for _ in range(chance.randint(1, 4)):
            signum = chance.choice(SIGNALS)
            words = words_of(out)
            if lengthened:
                words += ["--until", str(LONG)]
            last = chance.choice((FIRST_EVENTS, EVENTS_OF_A_RUN[lengthened]))
            event = chance.randint(1, last)
            signals = (signum,) * chance.choice((1, 1, 2))
            always = chance.random() < 0.5
            process = call(command_line_killed_at, words, event, signals, always)
            if process.exitcode in (128 + signum, -signum):
                killed += 1
                counts["kills"] += 1
            if process.exitcode == 128 + signum:
                counts["kills that saved first"] += 1
            if (out / "config.json").exists() and _run_status(out) == "running":
                counts["said to be running when it was not"] += 1
        # Without --until: what was begun must be gone on with by a plain --resume.
        until = load_run(out).config.n_sequences if (out / "config.json").exists() else LONG
        process = call(command_line_killed_at, words_of(out), 0, (), False)
        how = outcome(out, process.exitcode or 0, whole if until == LONG else short)
        counts[how] += 1
        if how != "ended bitwise equal":
            print(f"run {index}: {how} after {killed} kills, exit code {process.exitcode}")
    return counts


def _run_status(out: Path) -> str:
    try:
        return load_run(out).status["state"]
    except RuntimeError:  # none was written yet
        return ""


def drill_sweeps(n_sweeps: int, chance: random.Random, folder: Path) -> Counter:
    """Kills a sweep of two workers once a file of theirs is there, then starts it again."""
    counts: Counter = Counter()
    only = [word for name in SWEPT for word in ("--only", name)]

    def sweep_words(out: Path) -> list[str]:
        words = ["sweep", str(PLAN), "--preset", "tiny", "--out", str(out), *only]
        return [*words, "--workers", "2"]

    call(command_line_killed_at, sweep_words(folder / "undisturbed"), 0, (), False)
    for index in range(n_sweeps):
        out, signum = folder / f"sweep{index}", chance.choice(SIGNALS)
        run = chance.choice([*SWEPT])
        seen = chance.choice(SWEPT[run])
        name = chance.choice(("config.json", f"checkpoints/{seen:012d}.safetensors"))
        file = out / run / name
        _, left = ended_by(command_line_killed_on_file, sweep_words(out), file, signum)
        counts["kills of sweeps"] += 1
        counts["orphaned processes"] += len(psutil.wait_procs(left, SECONDS_TO_BE_GONE)[1])
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        process = call(command_line_killed_at, sweep_words(out), 0, (), False)
        for name in SWEPT:
            whole = load_run(folder / "undisturbed" / name)
            counts[outcome(out / name, process.exitcode or 0, whole)] += 1
    return counts


def ended_by(function: Callable, *arguments: object) -> tuple[int | None, list[psutil.Process]]:
    """Calls a function in a process until that ends: its exit code, and the processes it had."""
    process = processes.Process(target=function, args=arguments)
    process.start()
    had: set[psutil.Process] = set()
    while process.is_alive():
        with contextlib.suppress(psutil.NoSuchProcess):
            had.update(psutil.Process(process.pid).children(recursive=True))
        time.sleep(0.01)
    return process.exitcode, list(had)


def report(counts: Counter) -> str:
    """The counts, one a line."""
    return pd.Series(counts, dtype=int).sort_index().to_string()


def main() -> None:
    """The drill, in large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40, help="runs killed, and as many lengthened")
    parser.add_argument("--sweeps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    for what, drill in (
        ("runs", lambda folder: drill_runs(options.runs, chance, folder, lengthened=False)),
        ("lengthened", lambda folder: drill_runs(options.runs, chance, folder, lengthened=True)),
        ("sweeps", lambda folder: drill_sweeps(options.sweeps, chance, folder)),
    ):
        with tempfile.TemporaryDirectory() as folder:
            print(f"{what}\n{report(drill(Path(folder)))}", flush=True)


if __name__ == "__main__":
    main()
