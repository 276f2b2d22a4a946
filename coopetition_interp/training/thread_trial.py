"""How many CPU threads a run is trained with, where its config leaves that open."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from copy import deepcopy
from time import perf_counter

import torch
from transformer_lens import HookedRootModule

from coopetition_interp.interventions import bind
from coopetition_interp.training.machine import COMPILE_ABOVE_STEPS
from coopetition_interp.training.optimizer_state import trainable_parameters
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.task import (
    Batch,
    ClampedModel,
    Loss,
    Task,
    device_of,
    moved,
)

LONGEST_SECONDS = 1.0
LARGEST_SHARE = 0.03
"""Of the run, as long as the trial's own steps would make it."""
FEWEST_ROUNDS = 3
"""Each takes a step with each number of threads."""
WORTH_MORE_THREADS = 1.1
"""How many times faster a step must be for a greater number: what others need is not taken for
a gain that is within what a trial can tell."""


def threads_of(config: RunConfig, task: Task, tell: bool) -> int:
    """The number of threads for a run: the config's, or the one that a trial finds best.

    The trial takes steps, uncompiled, on a copy of the model, with 1, 2, 4... threads in turns,
    for a second at most; nothing of the run is changed by it. A run on a GPU, or one too short
    to be worth it, has torch's own number. That number, which OMP_NUM_THREADS sets, is also the
    greatest that is tried.

    Args:
        config: The run.
        task: What it is made of.
        tell: Print a line about what a trial found.
    """
    own = torch.get_num_threads()
    numbers = numbers_to_try(own)
    device = device_of(task.model)
    short = config.n_steps <= COMPILE_ABOVE_STEPS
    if config.n_threads or short or device.type != "cpu" or len(numbers) == 1:
        return config.n_threads or own
    with torch.random.fork_rng(devices=[]):
        step = step_on_a_copy(task.model, task.loss, moved(task.batch(0), device))
        times = timed_in_turns(step, numbers, config.n_steps)
    best = fewest_worth_it(times)
    told = ", ".join(f"{1e3 * seconds:.1f} ms with {n}" for n, seconds in times.items())
    if tell:
        print(f"CPU threads: {best} (a step, uncompiled, took {told}); n_threads=N sets it")
    return best


def step_on_a_copy(model: HookedRootModule, loss: Loss, batch: Batch) -> Callable[[], None]:
    """A step by torch's own autograd and Adam, at once there, with the large products of ours."""
    copy = deepcopy(model)
    trained = trainable_parameters(copy)
    run_model = ClampedModel(copy, bind((), copy), trained)
    # A rate of 0, or weights might become such that arithmetic is slower.
    optimizer = torch.optim.Adam(trained.values(), lr=0.0, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.enable_grad():
            loss(run_model, batch).backward()
        optimizer.step()

    return step


def numbers_to_try(most: int) -> list[int]:
    """1, 2, 4... and the greatest itself."""
    return sorted({2**power for power in range(most.bit_length()) if 2**power < most} | {most})


def timed_in_turns(
    step: Callable[[], object], numbers: Iterable[int], n_steps: int
) -> dict[int, float]:
    """Median seconds of a step by number of threads, which take turns, for a run of `n_steps`."""
    before = torch.get_num_threads()
    seconds: dict[int, list[float]] = {number: [] for number in numbers}

    def round_of_turns() -> None:
        for number, times in seconds.items():
            torch.set_num_threads(number)
            start = perf_counter()
            step()
            times.append(perf_counter() - start)

    try:
        round_of_turns()  # starts the threads: not counted
        shortest = min(times.pop() for times in seconds.values())
        end = perf_counter() + min(LONGEST_SECONDS, LARGEST_SHARE * n_steps * shortest)
        while min(map(len, seconds.values())) < FEWEST_ROUNDS or perf_counter() < end:
            round_of_turns()
    finally:
        torch.set_num_threads(before)
    return {number: statistics.median(times) for number, times in seconds.items()}


def fewest_worth_it(seconds: dict[int, float]) -> int:
    """The smallest number of threads that no greater one beats by `WORTH_MORE_THREADS`."""
    numbers = sorted(seconds)
    return next(
        number
        for number in numbers
        if all(
            seconds[number] <= WORTH_MORE_THREADS * seconds[more]
            for more in numbers
            if more > number
        )
    )
