"""Folders: what images one holds, and writing one so that nobody takes half of it for whole: made beside its place,
stored, then renamed into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from splatscope.files import sha256

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
WAITING_THREADS = 8  # that wait for the disk: it stores many files in the time that it takes for one


@contextmanager
def work_folder(out_dir: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `out_dir` to fill; `replace_folder` puts it in its place. Removed when left there.

    What a killed process left is removed first: nobody else may be writing `out_dir` now.
    """
    out_dir = Path(out_dir)
    work = out_dir.with_name(f".{out_dir.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def image_files(folder: str | Path) -> list[Path]:
    """The PNG and JPEG files of a folder by name, none from below it; empty where there is no such folder."""
    folder = Path(folder)
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES) if folder.is_dir() else []


def store_files(folder: str | Path) -> dict[str, str]:
    """Have all files of a folder safely on the disk; their SHA-256 by path in it."""
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(WAITING_THREADS) as pool:
        digests = pool.map(_store, paths)
        return {path.relative_to(folder).as_posix(): digest for path, digest in zip(paths, digests)}


def replace_folder(work: Path, out_dir: Path) -> None:
    """Put `work` in the place of `out_dir`, of which nothing stays."""
    old = out_dir.with_name(f".{out_dir.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out_dir.exists():
        os.rename(out_dir, old)
    os.rename(work, out_dir)
    shutil.rmtree(old, ignore_errors=True)


def _store(path: Path) -> str:
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())
    return sha256(path)
