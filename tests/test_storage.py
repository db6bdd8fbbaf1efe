"""Full and read-only disks."""

import errno
import os
from pathlib import Path

import pytest

from splatscope import storage
from splatscope.errors import InputError
from splatscope.files import read_sealed, write_bytes, write_sealed
from splatscope.storage import check_writable, storage_error


@pytest.mark.parametrize("number, said", [(errno.ENOSPC, "no space left"), (errno.EROFS, "cannot be written")])
def test_trouble_with_the_disk_names_file_and_remedy(tmp_path, number, said):
    problem = storage_error(OSError(number, os.strerror(number)), tmp_path / "not yet" / "a.tar")
    assert said in problem.found and problem.file == str(tmp_path / "not yet" / "a.tar")
    assert "run the same command again" in problem.remedy


def test_libraries_that_lose_the_error_number(tmp_path, monkeypatch):
    assert "no space left" in storage_error(RuntimeError("No space left on device (os error 28)"), tmp_path / "a").found
    assert storage_error(RuntimeError("file write failed"), tmp_path / "a") is None
    monkeypatch.setattr(storage, "_bytes_of_disk", lambda folder: (4096, 10**9))
    assert "no space left" in storage_error(RuntimeError("file write failed"), tmp_path / "a").found


def test_other_errors_are_not_explained_away(tmp_path):
    assert storage_error(ValueError("wrong"), tmp_path / "a") is None
    assert storage_error(FileNotFoundError(errno.ENOENT, "no such file"), tmp_path / "a") is None
    assert storage_error(PermissionError(errno.EACCES, "an input"), tmp_path / "a") is None


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path, monkeypatch):
    write_bytes(tmp_path / "a.bin", b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("splatscope.files.os.fsync", full)
    with pytest.raises(InputError, match="no space left"):
        write_bytes(tmp_path / "a.bin", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"] and (tmp_path / "a.bin").read_bytes() == b"old"


def test_a_writable_folder_is_left_as_it_was(tmp_path):
    check_writable(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(path, content):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)  # folders are closed to users by their mode, but not to root
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path)


@pytest.mark.parametrize("damage", ["", "flipped", "truncated", "empty"])
def test_sealed_bytes(tmp_path, damage):
    write_sealed(tmp_path / "a", bytes(range(200)))
    stored = bytearray((tmp_path / "a").read_bytes())
    if damage == "":
        assert read_sealed(tmp_path / "a") == bytes(range(200))
        return
    stored[100] ^= 4
    (tmp_path / "a").write_bytes({"flipped": stored, "truncated": stored[:-1], "empty": b""}[damage])
    with pytest.raises(InputError, match="bytes other than those written"):
        read_sealed(tmp_path / "a")
