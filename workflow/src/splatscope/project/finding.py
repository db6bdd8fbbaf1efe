"""Videos, tracker logs and calibrations in a folder, told by what they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from splatscope.errors import InputError
from splatscope.ingest.calibration import is_calibration_file, read_calibration
from splatscope.ingest.tracker_log import TrackerLog
from splatscope.ingest.trackers import read_tracker_log
from splatscope.ingest.video import IMAGE_SUFFIXES, video_facts

VIDEO_SUFFIXES = {".mp4", ".mkv", ".avi", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv"}
LOG_SUFFIXES = {".csv", ".tsv", ".mha", ".txt"}
LEAST_IMAGES = 10  # that make a folder of images a recording
CHECKERBOARD_WORDS = ("checkerboard", "chessboard", "calib")
MOST_FILES = 2000  # looked at: more is no folder of recordings


@dataclass(frozen=True)
class FoundVideo:
    """A video, or a folder of images (whose length in time nobody states)."""

    path: Path
    duration_s: float | None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class FoundLog:
    """A tracker log, read."""

    path: Path
    log: TrackerLog
    unit: str = "mm"  # of the file

    @property
    def duration_s(self) -> float:
        return float(self.log.time_s[-1] - self.log.time_s[0])


@dataclass
class Found:
    """What lies in a folder."""

    videos: list[FoundVideo] = field(default_factory=list)
    logs: list[FoundLog] = field(default_factory=list)
    calibrations: list[Path] = field(default_factory=list)  # files of numbers, or videos of a checkerboard
    aside: dict[Path, str] = field(default_factory=dict)  # what is not used, and why


def find_recordings(folder: Path) -> Found:
    """Look through a folder and those in it. Raises InputError when there is no video, or far too many files."""
    if not folder.is_dir():
        raise InputError(
            folder, found="no such folder", expected="a folder of videos and tracker logs", remedy="correct the path"
        )
    files = sorted(file for file in folder.rglob("*") if not _hidden(file.relative_to(folder)) and file.is_file())
    if len(files) > MOST_FILES and not any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        raise InputError(
            folder,
            found=f"{len(files)} files",
            expected=f"at most {MOST_FILES}",
            remedy="name the folder of recordings",
        )
    found = Found()
    _take_image_folders(files, found)
    for file in files:
        suffix = file.suffix.lower()
        if suffix in VIDEO_SUFFIXES:
            _take_video(file, found)
        elif is_calibration_file(file) and _take_calibration(file, found):
            continue
        elif suffix in LOG_SUFFIXES:
            _take_log(file, found)
        elif suffix not in IMAGE_SUFFIXES:
            found.aside.setdefault(file, "no video, tracker log or calibration by its name")
    if not found.videos:
        seen = ", ".join(file.name for file in files[:8]) or "nothing"
        raise InputError(
            folder,
            found=f"no video among {seen}",
            expected=f"videos ({', '.join(sorted(VIDEO_SUFFIXES))}) or folders of {LEAST_IMAGES} images and more",
            remedy="name the folder that holds your recordings",
        )
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _take_image_folders(files: list[Path], found: Found) -> None:
    images: dict[Path, int] = {}
    for file in files:
        if file.suffix.lower() in IMAGE_SUFFIXES:
            images[file.parent] = images.get(file.parent, 0) + 1
    for folder, count in images.items():
        if count >= LEAST_IMAGES:
            found.videos.append(FoundVideo(folder, None))
        else:
            found.aside[folder] = f"{count} images: too few for a recording"


def _take_video(file: Path, found: Found) -> None:
    try:
        facts = video_facts(file)
    except InputError as error:
        found.aside[file] = error.found
        return
    if any(word in file.stem.lower() for word in CHECKERBOARD_WORDS):
        found.calibrations.append(file)
    else:
        found.videos.append(FoundVideo(file, facts["duration_s"] or None, facts["width"], facts["height"]))


def _take_calibration(file: Path, found: Found) -> bool:
    try:
        read_calibration(file)
    except InputError as error:
        if file.suffix.lower() not in LOG_SUFFIXES:
            found.aside[file] = f"no calibration: {error.found}"
        return file.suffix.lower() not in LOG_SUFFIXES
    found.calibrations.append(file)
    return True


def _take_log(file: Path, found: Found) -> None:
    try:
        found.logs.append(FoundLog(file, read_tracker_log(file)))
    except InputError as error:
        try:
            found.logs.append(FoundLog(file, read_tracker_log(file, unit="m"), "m"))
        except InputError:
            found.aside[file] = f"no tracker log that can be used: {error.where} {error.found}".replace("  ", " ")
