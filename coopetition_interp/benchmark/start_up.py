"""Time from command to first step, in processes of their own with an empty cache of kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from time import time

import torch

from coopetition_interp.benchmark.side_by_side import Effort, Row

PART = "start-up"

# What `train laptop` does, up to the evaluation after its first step; that is on few sequences.
FIRST_STEP = """
import json, os, sys, tempfile, time
from coopetition_interp.benchmark.described_machine import peak_memory_gb
from coopetition_interp.tasks.exemplar_label.sequences import standard_evaluators
from coopetition_interp.tasks.presets import preset
from coopetition_interp.training import Schedule, train

def tell(metrics):
    if metrics.sequences_seen.max() > 0:
        print(json.dumps({"time": time.time(), "memory": peak_memory_gb()}), flush=True)
        os._exit(0)

config = preset("laptop")
config = config.replace(
    device=sys.argv[2],
    evaluators=standard_evaluators(n_sequences=50), evaluate_at=Schedule(at=(config.batch_size,))
)
train(config, sys.argv[1], progress=False, on_evaluation=tell)
"""


def benchmark_start_up(effort: Effort, device: torch.device) -> list[Row]:
    """`--help`; and a compiled full-size run up to its first step, twice."""
    rows = []
    start = time()
    subprocess.run(
        [sys.executable, "-m", "coopetition_interp", "--help"],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    rows.append(Row(PART, "--help", time() - start, "s"))
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": os.path.join(directory, "cache")}
        for what in ("first step, nothing compiled before", "first step of a second run"):
            out = os.path.join(directory, what)
            start = time()
            said = subprocess.run(
                [sys.executable, "-c", FIRST_STEP, out, device.type],
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
            told = json.loads(said.splitlines()[-1])
            rows.append(Row(PART, what, told["time"] - start, "s"))
        rows.append(Row(PART, "peak memory of that run", told["memory"], "GB"))
    return rows
