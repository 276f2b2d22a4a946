"""A training step beside programs that keep the cores busy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from coopetition_interp.benchmark.contenders import OurStep, Setting, full_size
from coopetition_interp.benchmark.side_by_side import Effort, Row, side_by_side
from coopetition_interp.training.task import models_own_loss
from coopetition_interp.training.thread_trial import (
    fewest_worth_it,
    numbers_to_try,
    step_on_a_copy,
    timed_in_turns,
)

PART = "busy machine"
RUN_STEPS = 100_000
"""Length of the run that the trial is of."""


def benchmark_busy(effort: Effort, _: torch.device) -> list[Row]:
    """One thread, torch's own number, and what the trial at a run's start chooses there.

    On the processor, whatever device the rest is measured on.
    """
    own = torch.get_num_threads()
    setting = full_size()
    contenders: dict[int, Callable[[], object]] = {
        number: _with_threads(number, setting) for number in dict.fromkeys([1, own])
    }
    uncompiled = step_on_a_copy(setting.model(), models_own_loss, setting.sampler.batch(0))
    with busy_programs(max(2, os.cpu_count() or 1)) as n_programs:
        chosen = fewest_worth_it(timed_in_turns(uncompiled, numbers_to_try(own), RUN_STEPS))
        if chosen not in contenders:
            contenders[chosen] = _with_threads(chosen, setting)
        named = {f"step, threads: {number}": call for number, call in contenders.items()}
        times = side_by_side(named, effort)
    torch.set_num_threads(own)

    def in_times_of_one(number: int) -> float:
        return times.ratio(f"step, threads: {number}", "step, threads: 1")

    return [
        Row(PART, "busy programs beside it", n_programs, ""),
        *times.rows(PART),
        Row(PART, "threads that the trial chooses", chosen, ""),
        Row(PART, "with those, time of one thread's", in_times_of_one(chosen), "x"),
        Row(PART, "with torch's own, time of one thread's", in_times_of_one(own), "x"),
    ]


def _with_threads(number: int, setting: Setting) -> Callable[[], object]:
    torch.set_num_threads(number)  # kernels are compiled for it
    step = OurStep(setting)

    def call() -> None:
        torch.set_num_threads(number)
        step()

    return call


@contextmanager
def busy_programs(number: int) -> Iterator[int]:
    """Programs that take all they can get of a core each, while the block lasts."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield number
    finally:
        for program in programs:
            program.kill()
            program.wait()
