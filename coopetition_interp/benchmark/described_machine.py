"""What a benchmark was run on: without that its numbers say little."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

import coopetition_interp


def described_machine() -> dict[str, Any]:
    """Processor, memory, versions, threads and how busy it is, in JSON's types."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "coopetition_interp": coopetition_interp.__version__,
        "torch_threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "load_average": load_average(),
    }


def load_average() -> float:
    """Programs that wanted a core, on average over the last minute."""
    return round(psutil.getloadavg()[0], 2)


def peak_memory_gb() -> float:
    """The most memory this process had, as the system counts it."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e9
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
