"""Whether data sets and weights may be downloaded: only when the user has asked for it.

A saved config may say `"download": true`, and opening a stranger's run must not reach for the
network on its word. So its owner's wish counts for nothing until whoever runs it allows downloads,
as `coopetition-interp features --download`, `train PRESET` and `sweep` do.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# In the environment, so that a sweep's processes and cluster jobs inherit it.
_VARIABLE = "COOPETITION_INTERP_ALLOW_DOWNLOADS"


@contextmanager
def allow_downloads() -> Iterator[None]:
    """Lets what runs inside, processes started there included, download what it needs."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def downloads_allowed() -> bool:
    """Whether the caller, or the process that started this one, is inside `allow_downloads`."""
    return os.environ.get(_VARIABLE) == "1"
