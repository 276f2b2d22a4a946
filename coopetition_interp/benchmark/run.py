"""The whole benchmark: its parts, one after another, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import torch

from coopetition_interp.benchmark.busy import benchmark_busy
from coopetition_interp.benchmark.described_machine import described_machine, load_average
from coopetition_interp.benchmark.evaluation import benchmark_checkpoints, benchmark_evaluation
from coopetition_interp.benchmark.side_by_side import Effort, Row
from coopetition_interp.benchmark.start_up import benchmark_start_up
from coopetition_interp.benchmark.steps import benchmark_clamps, benchmark_full, benchmark_small
from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.training.machine import choose_device

PARTS: dict[str, Callable[[Effort, torch.device], list[Row]]] = {
    "full": benchmark_full,
    "small": benchmark_small,
    "busy": benchmark_busy,
    "evaluation": benchmark_evaluation,
    "checkpoints": benchmark_checkpoints,
    "start-up": benchmark_start_up,
    "clamps": benchmark_clamps,
}
QUICK_PARTS = ("full", "busy", "checkpoints")
THOROUGH, QUICK = Effort(rounds=5, seconds_per_turn=0.5), Effort(rounds=3, seconds_per_turn=0.2)


def run_benchmark(
    only: Iterable[str] | None = None,
    quick: bool = False,
    rounds: int | None = None,
    json_file: Path | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Runs the benchmark, and prints each part when it is done.

    Args:
        only: Names among `PARTS`; by default all or, if `quick`, those that take little time.
        quick: Measure for a shorter time.
        rounds: Turns of each contender; None for 5, or 3 if `quick`.
        json_file: Where to write the rows with a description of the machine.
        device: What is measured: "cpu", "cuda", or "auto" for a GPU where there is one.

    Returns:
        Columns `part`, `what`, `value`, `unit`.

    Raises:
        ConfigError: There is no GPU for "cuda".
    """
    effort = QUICK if quick else THOROUGH
    if rounds is not None:
        effort = Effort(rounds, effort.seconds_per_turn)
    measured_on = choose_device(device)
    machine = {**described_machine(), "device": measured_on.type}
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    rows: list[Row] = []
    for name in only or (QUICK_PARTS if quick else PARTS):
        measured = PARTS[name](effort, measured_on)
        rows += measured
        print(f"\n{pd.DataFrame(measured).to_string(index=False, float_format='%.3f')}", flush=True)
    machine["load_average_at_the_end"] = load_average()
    table = pd.DataFrame(rows, columns=list(Row._fields))
    if json_file is not None:
        content = {
            "machine": machine,
            "rounds": effort.rounds,
            "rows": table.to_dict("records"),
        }
        with atomic_file(json_file) as file:
            file.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return table
