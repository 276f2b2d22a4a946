"""Jobs as processes of this machine, one each: one that is killed takes no other with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from coopetition_interp.config_class import ConfigError
from coopetition_interp.interruption import FROM_PARENT, STOPPING, exit_code, interruptible
from coopetition_interp.sweeps.sendable import require_sendable
from coopetition_interp.sweeps.sent_call import UNGUARDED
from coopetition_interp.training import RunError

_INTERRUPTED = {128 + signum for signum in STOPPING} | {-FROM_PARENT}
"""Exit codes of a process that was asked to end; the last if it had not begun."""

_UNGUARDED = 98
"""Exit code of a process whose import of the main script started other processes."""


class ProcessJob:
    """A function call in a fresh process, which ends when this process does.

    Args:
        function: Importable; its result and arguments must be small and picklable.
        arguments: What it is called with.
    """

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]):
        # Torch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._reader, writer = context.Pipe(duplex=False)
        self.process = context.Process(target=_call, args=(writer, function, arguments))
        try:
            self.process.start()
        except RuntimeError:
            if "__mp_main__" not in sys.modules:
                raise
            sys.exit(_UNGUARDED)  # this process is itself still importing the main script
        writer.close()  # so that the reader sees the end when the process ends

    def done(self) -> bool:
        """Whether it has returned, or its process has ended."""
        return self._reader.poll()

    def result(self) -> Any:
        """What the function returned.

        Raises:
            RunError: The process ended without returning.
            ConfigError: It began with starting processes of its own.
        """
        try:
            return self._reader.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode or 0
            if code == _UNGUARDED:
                raise ConfigError(UNGUARDED) from None
            if code in _INTERRUPTED:
                raise RunError("interrupted") from None
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited ({code})"
            raise RunError(f"its process {how} before the run was finished") from None
        finally:
            self._reader.close()

    def send(self, signum: int) -> None:
        """Sends its process a signal, if it has not ended."""
        if self.process.is_alive() and self.process.pid is not None:
            os.kill(self.process.pid, signum)


class Processes:
    """An executor whose jobs are processes, which are interrupted when its context fails."""

    def __init__(self) -> None:
        self.jobs: list[ProcessJob] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> ProcessJob:
        """Calls `function(*arguments)` in a process of its own.

        Raises:
            ConfigError: That could not read the arguments.
        """
        require_sendable(arguments)
        self.jobs = [job for job in self.jobs if job.process.is_alive()]
        self.jobs.append(ProcessJob(function, arguments))
        return self.jobs[-1]

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._wait()
            return
        # Each further request to this process is passed on: the first lets them save, the second
        # ends them at once, and the last is for one that cannot hear.
        for signum in (FROM_PARENT, FROM_PARENT, signal.SIGKILL):
            try:
                for job in self.jobs:
                    job.send(signum)
                self._wait()
                return
            except KeyboardInterrupt:
                continue
        self._wait()

    def _wait(self) -> None:
        for job in self.jobs:
            job.process.join()


def _call(writer: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        with interruptible(also=[FROM_PARENT]):
            threading.Thread(target=_end_with_parent, daemon=True).start()
            writer.send(function(*arguments))
    except KeyboardInterrupt as error:
        sys.exit(exit_code(error))


def _end_with_parent() -> None:
    """Asks this process to end once the one that started it has, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        main = threading.main_thread().ident or 0
        signal.pthread_kill(main, FROM_PARENT)
