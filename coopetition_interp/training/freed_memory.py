"""Keep memory that a step has freed in the process, for the next step to use."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tells glibc's allocator not to hand large buffers back to the system after every use.

    The gradient of a 12,800-label unembedding is several megabytes; by default each step's copy
    is a new mapping whose every page is faulted in, which cost a quarter of a step.

    Returns:
        Whether it could be done; elsewhere than on glibc nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, _LARGEST))
