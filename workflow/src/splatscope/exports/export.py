"""Writing one export: beside its place first, whole, with a card, then renamed into it."""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from splatscope import __version__
from splatscope.annotate.card import dataset_card
from splatscope.errors import InputError
from splatscope.exports.schema import AGAIN
from splatscope.exports.source import Dataset
from splatscope.exports.written import Advance, Written
from splatscope.files import read_json, write_json
from splatscope.folders import replace_folder, store_files, work_folder
from splatscope.storage import storage_error

MARKER = "splatscope_export.json"


FORMATS = {  # the module of this package whose `write` makes it, and with which settings
    "coco": ("coco", {}),
    "yolo-detect": ("yolo", {"task": "detect"}),
    "yolo-segment": ("yolo", {"task": "segment"}),
    "yolo-pose": ("yolo", {"task": "pose"}),
    "voc": ("voc", {}),
    "bop": ("bop", {}),
    "cholecseg8k": ("cholecseg8k", {}),
    "huggingface": ("huggingface", {}),
    "webdataset": ("webdataset", {}),
    "croissant": ("croissant", {}),
}


@dataclass(frozen=True)
class Exported:
    """What was written where."""

    format: str
    folder: Path
    images: int
    annotations: int | None  # None: the format knows no instances
    files: int
    size_bytes: int

    def to_dict(self) -> dict:
        return vars(self) | {"folder": str(self.folder)}


def check_formats(names: Sequence[str]) -> list[str]:
    """The names, each once. Raises InputError for one that is no format."""
    for name in names:
        if name not in FORMATS:
            raise InputError(
                "--to", found=repr(name), expected=f"one of {', '.join(FORMATS)}", remedy="correct the format's name"
            )
    return list(dict.fromkeys(names))


def export_dataset(dataset: Dataset, name: str, folder: str | Path, advance: Advance = lambda: None) -> Exported:
    """Write the dataset in the format `name` as `folder`, in the place of an older export, and say what was written.

    Equal datasets give equal bytes. `advance` is called after each image. Raises InputError when `folder` holds
    something else, when another process is writing it, when the disk is full or not to be written, and for a dataset
    that is damaged or does not have what the format is about.
    """
    (name,) = check_formats([name])
    folder = Path(folder)
    _check_place(dataset, folder)
    module_name, settings = FORMATS[name]
    module = importlib.import_module(f"splatscope.exports.{module_name}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_space(dataset, folder)
        with _alone(folder), work_folder(folder) as work:
            written = module.write(dataset, work, advance, **settings)
            dataset.copy("contact.jpg", work / "contact.jpg")
            (work / "README.md").write_text(_card(dataset, written), encoding="utf-8")
            digests = store_files(work)
            about = {"format": name, "dataset": dataset.name, "version": __version__, "files": digests}
            write_json(work / MARKER, about)
            replace_folder(work, folder)
    except OSError as error:
        raise storage_error(error, folder) or error from error
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Exported(name, folder, len(dataset.images), written.annotations, len(digests) + 1, size)


def _card(dataset: Dataset, written: Written) -> str:
    try:
        return dataset_card(dataset.manifest, written.card_lines(), written.head)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            dataset.folder / "manifest.json",
            found=f"no counts or statistics as a card needs them ({error})",
            expected="the manifest that annotate wrote",
            remedy=AGAIN,
        ) from error


def _check_place(dataset: Dataset, folder: Path) -> None:
    if dataset.folder.absolute() in (folder.absolute(), *folder.absolute().parents):
        raise InputError(
            folder,
            found="a folder in the dataset itself",
            expected="one outside it, as a dataset holds nothing but what its manifest names",
            remedy="name another folder (--output)",
        )
    if not os.path.lexists(folder) or _is_export(folder):
        return
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return
    raise InputError(
        folder,
        found=f"something that is no export of ours (without {MARKER})",
        expected="nothing there, or an older export, which is replaced",
        remedy="name another folder (--output), or move this one away",
    )


def _is_export(folder: Path) -> bool:
    try:
        about = read_json(folder / MARKER)
    except InputError:
        return False
    return not folder.is_symlink() and isinstance(about, dict) and about.get("format") in FORMATS


def _check_space(dataset: Dataset, folder: Path) -> None:
    """Images and masks take about as much again as in the dataset."""
    free = shutil.disk_usage(folder.parent).free
    if free < dataset.size_bytes:
        raise InputError(
            folder,
            found=f"{free / 1e6:.1f} MB free",
            expected=f"about {dataset.size_bytes / 1e6:.1f} MB, the size of the dataset",
            remedy="free some space, or name a folder on another disk (--output)",
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the same export. Raises InputError when one is."""
    place = folder.with_name(f".{folder.name}.lock")
    with open(place, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                folder,
                found="another process that is writing it",
                expected="one at a time",
                remedy="wait for it, or name another folder (--output)",
            ) from None
        try:
            yield
        finally:
            place.unlink(missing_ok=True)
