"""What a run was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

import torch


def describe_environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    packages = ("coopetition-interp", "torch", "transformer-lens", "numpy", "safetensors")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        **{package: importlib.metadata.version(package) for package in packages},
    }
