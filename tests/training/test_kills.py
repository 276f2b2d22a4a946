"""Signals at stated points of a run: what is saved, what is told, and that it goes on the same."""

import os
import random
import signal
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch
from drills import kills
from drills.kills import call, command_line_killed_at, words_of

from coopetition_interp.command_line import main as command_line
from coopetition_interp.interruption import Interrupted, Interruption, interruptible, raise_if_asked
from coopetition_interp.training import TrainingStep, load_run, resume, state_of, train
from coopetition_interp.training.run_record import RunRecord


def killed_at_step(out: Path, n_steps_done: int, *signals: int, how=None) -> int | None:
    """Exit code of a run whose process sends itself signals after so many steps."""
    return call(how or stopped_at_step, words_of(out), n_steps_done, signals).exitcode


def stopped_at_step(words: list[str], n_steps_done: int, signals: tuple[int, ...]) -> None:
    """The command line, in a process that sends itself signals after so many steps."""
    step = TrainingStep.__call__

    def step_then_send(self, batch):
        loss = step(self, batch)
        if self.state.steps_done == n_steps_done:
            for signum in signals:
                os.kill(os.getpid(), signum)
        return loss

    TrainingStep.__call__ = step_then_send
    torch.set_num_threads(1)
    sys.exit(command_line(words))


def _ignoring_sigint(*arguments) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopped_at_step(*arguments)


def _ignoring_sighup(*arguments) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopped_at_step(*arguments)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return kills.undisturbed(tmp_path_factory.mktemp("whole"), kills.LONG)


def assert_goes_on_to(out: Path, whole) -> None:
    run = resume(out, progress=False)
    for seen in whole.checkpoints:
        theirs = whole.weights(seen)
        assert all(torch.equal(weight, theirs[n]) for n, weight in run.weights(seen).items())
    pd.testing.assert_frame_equal(run.metrics, whole.metrics, check_exact=True)


@pytest.mark.parametrize("lengthened", [False, True])
def test_killed_at_any_point_and_resumed_ends_bitwise_equal(lengthened, tmp_path):
    counts = kills.drill_runs(2, random.Random(1), tmp_path, lengthened)
    assert counts["kills"] >= 2
    assert counts["ended bitwise equal"] == 2
    assert counts["said to be running when it was not"] == 0


# Step 17 is none at which anything is due; at 20 an evaluation and a checkpoint are.
@pytest.mark.parametrize(
    ("signum", "steps"), [(signal.SIGTERM, 17), (signal.SIGINT, 20), (signal.SIGHUP, 17)]
)
def test_a_signal_saves_the_step_it_comes_in(signum, steps, whole, tmp_path):
    out = tmp_path / "run"
    assert killed_at_step(out, steps, signum) == 128 + signum
    status = load_run(out).status
    assert (status["state"], status["sequences_seen"]) == ("interrupted", 32 * steps)
    assert f"coopetition-interp train --resume {out}" in status["message"]
    assert_goes_on_to(out, whole)


def test_a_second_signal_ends_it_at_once_and_damages_nothing(whole, tmp_path):
    out = tmp_path / "run"
    both = (signal.SIGTERM, signal.SIGINT)
    assert killed_at_step(out, 17, *both) in (128 + signum for signum in both)
    status = load_run(out).status
    assert (status["state"], status["sequences_seen"]) == ("interrupted", 0)
    assert_goes_on_to(out, whole)


def test_a_terminal_that_closes_may_say_so_twice(tmp_path):
    out = tmp_path / "run"
    twice = (signal.SIGTERM, signal.SIGHUP)
    assert killed_at_step(out, 17, *twice) == 128 + signal.SIGTERM
    assert load_run(out).status["sequences_seen"] == 32 * 17


def test_ctrl_c_is_heard_by_a_command_begun_with_it_ignored(tmp_path):
    out = tmp_path / "run"
    code = killed_at_step(out, 17, signal.SIGINT, how=_ignoring_sigint)
    assert code == 128 + signal.SIGINT
    assert load_run(out).status["sequences_seen"] == 32 * 17


def test_under_nohup_a_terminal_may_close(tmp_path):
    out = tmp_path / "run"
    assert killed_at_step(out, 17, signal.SIGHUP, how=_ignoring_sighup) == 0
    assert state_of(out) == "finished"


def test_a_killed_run_shows_as_interrupted(tmp_path):
    out = tmp_path / "run"
    assert killed_at_step(out, 17, signal.SIGKILL) == -signal.SIGKILL
    assert state_of(out) == "interrupted"
    status = load_run(out).status
    assert status["state"] == "interrupted"
    assert "no process is at it: go on by `coopetition-interp train --resume" in status["message"]


def interrupt_after(n_steps: int, monkeypatch, signum: int = signal.SIGINT) -> None:
    step = TrainingStep.__call__

    def step_then_interrupt(self, batch):
        loss = step(self, batch)
        if self.state.steps_done == n_steps:
            signal.raise_signal(signum)
        return loss

    monkeypatch.setattr(TrainingStep, "__call__", step_then_interrupt)


def test_in_a_notebook_the_keyboard_interrupt_comes_after_the_save(
    short_config, short_run, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with monkeypatch.context() as patch:
        interrupt_after(5, patch)
        with pytest.raises(KeyboardInterrupt, match=r"all saved, 160 sequences seen: .*--resume"):
            train(short_config, out, progress=False)
    assert {s: signal.getsignal(s) for s in before} == before
    assert load_run(out).status["state"] == "interrupted"
    assert_goes_on_to(out, short_run)


def test_a_signal_before_the_first_evaluation_leaves_a_run_that_goes_on(
    short_config, short_run, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    note = RunRecord.note

    def note_then_interrupt(self, state, message=""):
        note(self, state, message)
        if state == "running":
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunRecord, "note", note_then_interrupt)
        with pytest.raises(KeyboardInterrupt, match="all saved, 0 sequences seen"):
            train(short_config, out, progress=False)
    assert load_run(out).metrics.empty
    assert_goes_on_to(out, short_run)


def test_a_signal_that_the_caller_handles_is_left_to_it(short_config, tmp_path, monkeypatch):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda signum, frame: heard.append(signum))
    try:
        interrupt_after(5, monkeypatch, signal.SIGTERM)
        run = train(short_config.replace(n_sequences=640), tmp_path / "run", progress=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
    assert run.status["state"] == "finished"


def test_training_in_another_thread_leaves_signals_alone(short_config, tmp_path):
    runs = []
    config = short_config.replace(n_sequences=320)
    thread = threading.Thread(
        target=lambda: runs.append(train(config, tmp_path / "run", progress=False))
    )
    thread.start()
    thread.join()
    assert runs[0].status["state"] == "finished"


def test_a_signal_whose_exception_was_dropped_is_still_heard():
    """As Python does where it comes inside a `__del__`."""
    with interruptible():
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"):
            raise_if_asked()
        with Interruption() as interruption:
            assert interruption.requested == signal.SIGTERM
    raise_if_asked()
    with Interruption() as interruption:
        assert interruption.requested is None


def test_a_second_signal_to_one_run_does_not_end_the_next():
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested == signal.SIGINT
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
    with Interruption() as interruption:
        assert interruption.requested is None


def test_interrupted_at_its_end_a_run_is_finished(short_config, tmp_path, monkeypatch):
    save = RunRecord.save_checkpoint

    def save_then_interrupt(record, model, steps_done):
        save(record, model, steps_done)
        if steps_done == 10:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunRecord, "save_checkpoint", save_then_interrupt)
    with pytest.raises(Interrupted, match="the run was finished"):
        train(short_config.replace(n_sequences=320), tmp_path / "run", progress=False)
    assert state_of(tmp_path / "run") == "finished"


def test_the_drill_tells_a_run_that_differs(whole, tmp_path):
    out = tmp_path / "run"
    call(command_line_killed_at, [*words_of(out), "data_seed=9"], 0, (), False)
    assert kills.outcome(out, 0, whole) == "differs"
    assert kills.outcome(out, 2, whole) == "cannot be resumed"
