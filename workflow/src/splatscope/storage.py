"""Disks that are full or cannot be written, said so that they can be mended."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from splatscope.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
NOTHING_LEFT = 64 * 1024  # bytes; libraries that lose the error number run into a full disk too


def storage_error(error: BaseException, path: str | Path) -> InputError | None:
    """What to tell the user when writing `path` failed for want of space or permission; None for any other error."""
    folder = _existing(Path(path).absolute().parent)
    number = getattr(error, "errno", None)
    free, total = _bytes_of_disk(folder)
    full = number in FULL or "No space left on device" in str(error)
    if full or (number is None and total > 0 and free < NOTHING_LEFT):
        return InputError(
            path,
            found=f"no space left ({error}; {free / 1e6:.1f} MB free in {folder})",
            expected="room for this result",
            remedy="free some space and run the same command again: what is finished is kept",
        )
    if number == errno.EROFS or (number in REFUSED and not os.access(folder, os.W_OK)):
        return InputError(
            path,
            found=f"{folder}, which cannot be written ({os.strerror(number)})",
            expected="a folder that may be written",
            remedy="make it writable and run the same command again: what is finished is kept",
        )
    return None


def check_writable(folder: str | Path) -> None:
    """Raise InputError unless a file can be made and filled in `folder`, which is made when missing."""
    probe = Path(folder) / f".probe.{os.getpid()}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(bytes(NOTHING_LEFT))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, probe.with_name("new file")) or error from None


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _bytes_of_disk(folder: Path) -> tuple[int, int]:
    """Free and all."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
