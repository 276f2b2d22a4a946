"""Steps take the smallest numbers as 0, with which a processor computes a hundred times slower.

An L2 penalty brings weights there: they shrink by a share of themselves at each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_SMALLEST = 5e-324
"""The smallest float64 above 0. A product with it tells how this thread computes."""


@contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """Takes numbers below 1.2e-38 (float32), 2.2e-308 (float64) as 0 for a block, on one thread.

    With more CPU threads nothing is set. The others would compute as they did when they were
    started, so that bits would depend on what the process had done before.
    """
    if torch.get_num_threads() > 1 or _are_zero() or not torch.set_flush_denormal(True):
        yield
        return
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _are_zero() -> bool:
    return _SMALLEST * 1.0 == 0.0
