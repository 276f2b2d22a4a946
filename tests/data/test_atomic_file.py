"""Atomic writes leave the old file, the new one, or nothing."""

import errno

import pytest

from coopetition_interp.data.atomic_file import atomic_file


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
