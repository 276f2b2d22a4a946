"""A record is compiled for the machine as it is, whatever the cache on disk was filled by."""

import os
import subprocess
import sys

import torch

from coopetition_interp.training.recorded_graph import compile_record, record

COMPILE_AND_RUN = f"""
import sys
sys.path.insert(0, {str(os.path.dirname(os.path.abspath(__file__)))!r})
from test_recorded_graph import write_into_the_middle
write_into_the_middle()
"""


def write_into_the_middle():
    """A kernel that writes 40 of 104 numbers must leave the others as they were."""

    def exponential(read, written):
        return (written.copy_(read.exp()),)

    numbers = torch.linspace(-1, 1, 40)
    whole = torch.full((104,), 7.0)
    inputs = (numbers, whole[32:72])
    compiled, worked = compile_record(record(exponential, inputs), inputs)
    assert worked
    compiled(*inputs)
    expected = torch.cat([torch.full((32,), 7.0), numbers.exp(), torch.full((32,), 7.0)])
    torch.testing.assert_close(whole, expected)


def test_another_instruction_sets_kernels_are_not_taken_from_the_cache(tmp_path):
    """Vectors of another width than the kernel was built for would write past its output."""
    for capability in ("avx2", None):
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
        environment.pop("ATEN_CPU_CAPABILITY", None)
        if capability:
            environment["ATEN_CPU_CAPABILITY"] = capability
        done = subprocess.run(
            [sys.executable, "-c", COMPILE_AND_RUN],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
