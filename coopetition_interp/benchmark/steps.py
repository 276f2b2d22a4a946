"""Training steps against the yardsticks, and what clamps cost."""

from __future__ import annotations

from collections.abc import Callable

import torch

from coopetition_interp.benchmark.contenders import (
    GROUPED,
    OURS,
    STEPS,
    OurStep,
    Setting,
    full_size,
    small_size,
)
from coopetition_interp.benchmark.described_machine import peak_memory_gb
from coopetition_interp.benchmark.side_by_side import Effort, Row, Times, side_by_side
from coopetition_interp.interventions import AblateHeads, Clamp, HeadTemperature, PreviousTokenHeads

SAMPLING = "sampling"


def benchmark_full(effort: Effort, device: torch.device) -> list[Row]:
    """The paper's size."""
    return [
        *_steps(full_size(device), effort),
        Row("full size", "peak memory of this process so far", peak_memory_gb(), "GB"),
    ]


def benchmark_small(effort: Effort, device: torch.device) -> list[Row]:
    """The induction-head work's size."""
    return _steps(small_size(device), effort)


def _steps(setting: Setting, effort: Effort) -> list[Row]:
    steps = {name: make(setting) for name, make in STEPS.items()}
    batch = setting.batches()
    times = side_by_side({**steps, SAMPLING: batch}, effort)
    return rows_of_steps(setting.title, times, setting.n_grouped)


def rows_of_steps(part: str, times: Times, n_grouped: int) -> list[Row]:
    """What was measured of steps, and of sampling a batch, with the ratios that matter.

    Args:
        part: Of which part.
        times: Of a step of one model by each contender, and of `SAMPLING`.
        n_grouped: How many models the grouped step trains.
    """
    rows = times.rows(part)
    for name in times.seconds:
        if name == GROUPED:
            what = f"{GROUPED} of {n_grouped}, times the sequences per second of {OURS}"
            rows.append(Row(part, what, times.ratio(OURS, name), "x"))
        elif name not in (OURS, SAMPLING):
            rows.append(
                Row(part, f"ours, times the speed of: {name}", times.ratio(name, OURS), "x")
            )
    return [*rows, Row(part, "sampling, share of a step", 100 * times.ratio(SAMPLING, OURS), "%")]


def benchmark_clamps(effort: Effort, device: torch.device) -> list[Row]:
    """What clamps cost a compiled step, at both sizes."""
    no_clamp = "no clamp"
    clamps: dict[str, tuple[Clamp, ...]] = {
        no_clamp: (),
        "one-pass: PreviousTokenHeads": (PreviousTokenHeads(heads=[(0, 0), (0, 1)]),),
        "one-pass: AblateHeads": (AblateHeads(heads=[(1, 0), (1, 1)]),),
        "two-pass: HeadTemperature": (HeadTemperature(heads=[(1, 0)], temperature=2.0),),
    }
    rows = []
    for setting in (full_size(device), small_size(device)):
        contenders: dict[str, Callable[[], object]] = {
            name: OurStep(setting, held) for name, held in clamps.items()
        }
        times = side_by_side(contenders, effort)
        part = f"clamps, {setting.title}"
        rows += [
            Row(
                part,
                f"{name}, cost over a step without",
                100 * (times.ratio(name, no_clamp) - 1),
                "%",
            )
            for name in list(clamps)[1:]
        ]
    return rows
