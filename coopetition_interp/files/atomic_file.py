"""Write a file so that a reader finds the old version, the new one, or nothing: never a part."""

import contextlib
import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_SUFFIX = ".unfinished"
_TEMPORARY_NAME = re.compile(r"\.(?P<of>.+)\.[0-9a-f]{32}" + re.escape(TEMPORARY_SUFFIX))

STALE_AFTER_SECONDS = 24 * 3600.0
"""Nothing that is being written stays untouched for so long."""


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which takes the place of `path` on a clean exit.

    A kill at any moment leaves `path` as it was, and at most a file ending in
    `.unfinished` beside it, which a later write of `path` removes when it is a day old. When the
    block raises, that file is removed at once. The file gets the permissions of any new file
    there, whatever those of the temporary one.

    Args:
        path: The file to write. Missing parent folders are made.

    Yields:
        The path to write to, in the same folder as `path`.

    Raises:
        OSError: The file could not be written (no space, no permission), naming `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            remove_unfinished(path.parent, of=path.name, older_than_seconds=STALE_AFTER_SECONDS)
        mode = _mode_of_a_new_file(temporary)
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != mode:  # safetensors makes its files private
            temporary.chmod(mode)
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())  # the name must not move before the bytes are on disk
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not write {path} ({error.strerror or error}): check the free space and the "
            "permissions there, or choose another place",
        ) from error
    finally:
        if temporary.is_file():
            temporary.unlink()


def remove_unfinished(
    folder: Path, of: str | None = None, older_than_seconds: float = 0.0
) -> list[Path]:
    """Removes what killed writers left in a folder: regular files of `atomic_file`'s names only.

    Args:
        folder: The folder; may be missing.
        of: Only those of the file of this name.
        older_than_seconds: Only those last written so long ago. Without it no other process may be
            writing there.

    Returns:
        What was removed.

    Raises:
        OSError: The folder cannot be read, or a file not removed.
    """
    removed: list[Path] = []
    if not folder.is_dir():
        return removed
    with os.scandir(folder) as entries:
        for entry in entries:
            name = _TEMPORARY_NAME.fullmatch(entry.name)
            if name is None or (of is not None and name["of"] != of):
                continue
            if not entry.is_file(follow_symlinks=False):
                continue
            if older_than_seconds > 0:
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age < older_than_seconds:
                    continue
            os.unlink(entry.path)
            removed.append(Path(entry.path))
    return removed


def _mode_of_a_new_file(path: Path) -> int:
    """Permissions that the process's umask and the folder give; the umask itself is not touched.

    To read the umask is to change it for every thread, so a file is made and removed.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        path.unlink()
