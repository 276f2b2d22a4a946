"""The lock that a process holds on a run's directory while it writes there."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import filelock

from coopetition_interp.files.regular_file import kind_of_file
from coopetition_interp.training.run_records import RunError

if sys.platform != "win32":
    import fcntl

LOCK_NAME = "in_use.lock"
SECONDS_TO_TAKE = 2.0
SECONDS_TO_PROBE = 0.1


class DirectoryLock:
    """A file that one living process at a time has locked.

    A lock that is a link is refused: some versions of filelock empty what it leads to.

    Args:
        directory: The directory.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self.path = directory / LOCK_NAME
        self._lock = filelock.FileLock(self.path)

    def take(self) -> None:
        """Takes the lock for this process.

        Raises:
            RunError: A living process has it, or the directory cannot be written to.
        """
        self._is_there()
        try:
            self._lock.acquire(timeout=SECONDS_TO_TAKE)  # `is_held` may hold it for an instant
        except filelock.Timeout as error:
            raise RunError(
                f"{self.directory} is in use by another process: wait for it, stop it, or choose "
                "another directory"
            ) from error
        except OSError as error:
            raise RunError(
                f"cannot take {self.directory} for writing ({error.strerror or error}): check the "
                "permissions there, or choose another directory"
            ) from error

    def release(self) -> None:
        """Gives it back."""
        self._lock.release()

    def is_held(self) -> bool:
        """Whether a living process has it. Nothing is made or changed by asking.

        Raises:
            RunError: It cannot be told, for want of permission or because the lock is no file.
        """
        if not self._is_there():
            return False
        try:
            return _is_locked(self.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RunError(
                f"cannot tell whether {self.directory} is in use ({error.strerror or error}): "
                f"check the permissions of {self.path}"
            ) from error

    def _is_there(self) -> bool:
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RunError(
                f"{self.path} cannot be looked at ({error.strerror or error}): check the "
                "permissions there"
            ) from error
        if not stat.S_ISREG(mode):
            raise RunError(
                f"{self.path} is {kind_of_file(mode)}, where a run has a plain file: remove it if "
                "no process is at the run"
            )
        return True


if sys.platform == "win32":

    def _is_locked(path: Path) -> bool:
        probe = filelock.FileLock(path)
        try:
            probe.acquire(timeout=SECONDS_TO_PROBE, poll_interval=SECONDS_TO_PROBE / 5)
        except filelock.Timeout:
            return True
        probe.release()
        return False

else:

    def _is_locked(path: Path) -> bool:
        # Not by filelock: some versions empty or remove the file, and all want to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False
