"""Signals that ask a process to end: by an exception, or noted so that a run can save first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = tuple(s for s in signal.Signals if s.name in ("SIGINT", "SIGTERM", "SIGHUP"))
FROM_PARENT = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""What a sweep asks its workers to end by: apart from what a terminal or a job manager sends to
both, so that being told twice is not taken for a second request."""

_raised: list[int] = []
"""Signals by which `interruptible` has raised: Python drops what is raised inside a `__del__`."""


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end.

    Args:
        signum: The signal.
        message: What is to be told; by default the signal's name.

    Attributes:
        signum: The signal.
    """

    def __init__(self, signum: int, message: str = ""):
        super().__init__(message or f"interrupted by {signal.Signals(signum).name}")
        self.signum = signum


def exit_code(error: KeyboardInterrupt) -> int:
    """Exit code of a process that ends so, as shells have it: 128 and the signal's number."""
    return 128 + (error.signum if isinstance(error, Interrupted) else signal.SIGINT)


@contextmanager
def interruptible(also: Iterable[int] = ()) -> Iterator[None]:
    """Makes the signals that ask a process to end raise `Interrupted` in the block.

    Also where the process was started with SIGINT ignored, as a shell without job control does for
    what is in the background. SIGHUP stays ignored if it was (`nohup`). For a process of our own;
    outside the main thread, where Python handles no signals, nothing is changed.

    Args:
        also: Other signals that do so.
    """
    wanted = [s for s in STOPPING if s.name != "SIGHUP" or signal.getsignal(s) != signal.SIG_IGN]
    before = _handle([*wanted, *also], _interrupt)
    try:
        yield
    finally:
        _restore(before)
        _raised.clear()


def raise_if_asked() -> None:
    """Raises `Interrupted` once more, if a signal has come inside `interruptible`."""
    if _raised:
        raise Interrupted(_raised[0])


class Interruption:
    """While it is entered, the first signal that asks to end is noted and a second one raises.

    Signals that the user's own code handles or ignores are left to it.

    Attributes:
        requested: The signal that was noted, or None.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._seen: set[bool] = set()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        default = (signal.SIG_DFL, signal.default_int_handler, _interrupt)
        noted = [s for s in STOPPING if signal.getsignal(s) in default]
        noted += [s for s in signal.Signals if signal.getsignal(s) is _interrupt]
        self._before = _handle(dict.fromkeys(noted), self._note)
        self.requested = _raised[0] if _raised else None
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._before)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        from_parent = signum == FROM_PARENT
        again = from_parent in self._seen
        self._seen.add(from_parent)
        self.requested = self.requested or _told_as(signum)
        # A terminal that closes, or a session that ends, adds a SIGHUP of its own.
        if again and signal.Signals(signum).name != "SIGHUP":
            raise Interrupted(_told_as(signum))


def _interrupt(signum: int, frame: FrameType | None) -> None:
    _raised.append(_told_as(signum))
    raise Interrupted(_told_as(signum))


def _told_as(signum: int) -> int:
    return signal.SIGTERM if signum == FROM_PARENT else signum


def _handle(
    signals: Iterable[int], handler: Callable[[int, FrameType | None], None]
) -> dict[int, Any]:
    """Sets a handler; gives those that were there."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for signum in signals:
            if signal.getsignal(signum) is not None:  # None: not Python's, cannot be put back
                before[signum] = signal.signal(signum, handler)
    return before


def _restore(before: dict[int, Any]) -> None:
    for signum, handler in before.items():
        signal.signal(signum, handler)
