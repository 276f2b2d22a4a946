"""Jobs as processes of this machine, one each: one that is killed takes no other with it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from coopetition_interp.training import RunError

SECONDS_TO_STOP = 2.0
INTERRUPTED = 130
"""Exit code of an interrupted process, as shells have it."""


class ProcessJob:
    """A function call in a fresh process.

    Args:
        function: Importable; its result and arguments must be small and picklable.
        arguments: What it is called with.
    """

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]):
        context = get_context("spawn")  # torch's threads do not survive a fork
        self._reader, writer = context.Pipe(duplex=False)
        self.process = context.Process(target=_call, args=(writer, function, arguments))
        self.process.start()
        writer.close()  # so that the reader sees the end when the process ends

    def done(self) -> bool:
        """Whether it has returned, or its process has ended."""
        return self._reader.poll()

    def result(self) -> Any:
        """What the function returned.

        Raises:
            RunError: The process ended without returning.
        """
        try:
            return self._reader.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode or 0
            if code == INTERRUPTED:
                raise RunError("interrupted") from None
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited ({code})"
            raise RunError(f"its process {how} before the run was finished") from None
        finally:
            self._reader.close()


class Processes:
    """An executor whose jobs are processes, which are interrupted when its context fails."""

    def __init__(self) -> None:
        self.jobs: list[ProcessJob] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> ProcessJob:
        """Calls `function(*arguments)` in a process of its own."""
        self.jobs = [job for job in self.jobs if job.process.is_alive()]
        self.jobs.append(ProcessJob(function, arguments))
        return self.jobs[-1]

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            for job in self.jobs:
                job.process.join(SECONDS_TO_STOP)  # Ctrl-C in a terminal reaches them by itself
                if job.process.is_alive() and job.process.pid is not None:
                    os.kill(job.process.pid, signal.SIGINT)
        for job in self.jobs:
            job.process.join()


def _call(writer: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        writer.send(function(*arguments))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
