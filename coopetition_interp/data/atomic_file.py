"""Write a file so that a reader finds the old version, the new one, or nothing: never a part."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_SUFFIX = ".unfinished"


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which takes the place of `path` on a clean exit.

    A kill at any moment leaves `path` as it was, and at most a file ending in
    `.unfinished` beside it. When the block raises, that file is removed.

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
        yield temporary
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
