"""Atomic writes leave the old file, the new one, or nothing."""

import errno
import os
import time

import pytest

from coopetition_interp.files.atomic_file import atomic_file


def test_a_finished_write_takes_the_files_place(tmp_path):
    path = tmp_path / "new folder" / "file"
    for text in ("first", "second"):
        with atomic_file(path) as temporary:
            assert temporary.parent == path.parent
            temporary.write_text(text)
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def write_then_raise(path, error):
    with atomic_file(path) as temporary:
        temporary.write_text("half")
        raise error


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyError):
        write_then_raise(path, KeyError())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_space_left_names_the_file(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"could not write .*file \(No space left") as caught:
        write_then_raise(tmp_path / "file", error)
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "occupied").write_text("")
    with pytest.raises(OSError, match=r"could not write .*occupied"):
        write_then_raise(tmp_path / "occupied" / "file", KeyError())


def test_the_file_has_the_permissions_of_any_new_one(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "file") as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_what_a_killed_write_of_the_same_file_left_is_removed_a_day_later(tmp_path):
    left = tmp_path / f".file.{'0a' * 16}.unfinished"
    others = [tmp_path / f".other.{'0a' * 16}.unfinished", tmp_path / ".file.unfinished"]
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in (left, *others):
        path.write_text("part")
        os.utime(path, (two_days_ago, two_days_ago))
    being_written = tmp_path / f".file.{'0b' * 16}.unfinished"
    being_written.write_text("part")
    with atomic_file(tmp_path / "file") as temporary:
        temporary.write_text("whole")
    assert not left.exists()
    assert all(path.exists() for path in (*others, being_written))


def test_a_block_that_writes_nothing_makes_no_file(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "file"):
        pass
    assert list(tmp_path.iterdir()) == []
