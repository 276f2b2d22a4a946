"""Training steps against the yardsticks, and what clamps cost."""

from __future__ import annotations

from collections.abc import Callable

from coopetition_interp.benchmark.contenders import (
    OURS,
    STEPS,
    OurStep,
    Setting,
    full_size,
    small_size,
)
from coopetition_interp.benchmark.described_machine import peak_memory_gb
from coopetition_interp.benchmark.side_by_side import Effort, Row, side_by_side
from coopetition_interp.interventions import AblateHeads, Clamp, HeadTemperature, PreviousTokenHeads


def benchmark_full(effort: Effort) -> list[Row]:
    """The paper's size."""
    return [
        *_steps(full_size(), effort),
        Row("full size", "peak memory of this process so far", peak_memory_gb(), "GB"),
    ]


def benchmark_small(effort: Effort) -> list[Row]:
    """The induction-head work's size."""
    return _steps(small_size(), effort)


def _steps(setting: Setting, effort: Effort) -> list[Row]:
    steps = {name: make(setting) for name, make in STEPS.items()}
    batch = setting.batches()
    sampling = "sampling"
    times = side_by_side({**steps, sampling: batch}, effort)
    rows = times.rows(setting.title)
    for name, step in steps.items():
        if name != OURS:
            faster = times.ratio(name, OURS) / step.members
            rows.append(Row(setting.title, f"ours, times the speed of: {name}", faster, "x"))
    share = 100 * times.ratio(sampling, OURS)
    return [*rows, Row(setting.title, "sampling, share of a step", share, "%")]


def benchmark_clamps(effort: Effort) -> list[Row]:
    """What clamps cost a compiled step, at both sizes."""
    no_clamp = "no clamp"
    clamps: dict[str, tuple[Clamp, ...]] = {
        no_clamp: (),
        "one-pass: PreviousTokenHeads": (PreviousTokenHeads(heads=[(0, 0), (0, 1)]),),
        "one-pass: AblateHeads": (AblateHeads(heads=[(1, 0), (1, 1)]),),
        "two-pass: HeadTemperature": (HeadTemperature(heads=[(1, 0)], temperature=2.0),),
    }
    rows = []
    for setting in (full_size(), small_size()):
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
