"""Which tracker log belongs to which video: by name, by duration, by the time of writing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from splatscope.project.finding import FoundLog, FoundVideo

NAME_WEIGHT, DURATION_WEIGHT, TIME_WEIGHT = 10.0, 10.0, 0.5
SHORT_LOG = 2.0  # how much worse a log that is too short is than one too long: people log before they film
LONGEST_MISMATCH = 0.25  # of the longer duration, for files whose names do not agree
IMPOSSIBLE_MISMATCH = 0.5  # the same, whatever the names
CLOSE_S = 60.0  # between the times of writing
LEAST_MARGIN = 0.3  # by which a pair must be better than the next one for the same video


@dataclass(frozen=True)
class Pair:
    """A video and its log, or no log."""

    video: FoundVideo
    log: FoundLog | None
    why: str
    doubtful: bool = False  # another log would do nearly as well, or durations differ


def pair_recordings(videos: Sequence[FoundVideo], logs: Sequence[FoundLog]) -> list[Pair]:
    """A pair for each video, in their order; each log belongs to one video at most."""
    if not logs:
        return [Pair(video, None, "no tracker logs in the folder") for video in videos]
    common = _common_words([*(video.path for video in videos), *(log.path for log in logs)])
    scores = np.array([[_score(video, log, common) for log in logs] for video in videos])
    rows, columns = linear_sum_assignment(-scores)
    chosen = dict(zip(rows.tolist(), columns.tolist()))
    pairs = []
    for row, video in enumerate(videos):
        column = chosen.get(row)
        if column is None or not _plausible(video, logs[column], common):
            pairs.append(Pair(video, None, "no log fits its name or duration"))
            continue
        others = np.delete(scores[row], column)
        close = bool(len(others)) and float(others.max()) > scores[row, column] - LEAST_MARGIN
        doubtful = close or (_mismatch(video, logs[column]) or 0.0) > LONGEST_MISMATCH
        pairs.append(Pair(video, logs[column], _reason(video, logs[column], common), doubtful))
    return pairs


def words(path: Path) -> tuple[list[str], list[str]]:
    """Words and numbers of a file's name, and of its folder's, in lower case."""
    return tuple(re.findall(r"[a-z]+|[0-9]+", name.lower()) for name in (path.stem, path.parent.name))


def _common_words(paths: Sequence[Path]) -> set[str]:
    """Words that most names have tell nothing."""
    counts = Counter(word for path in paths for word in {*words(path)[0], *words(path)[1]})
    return {word for word, count in counts.items() if count > max(2, len(paths) / 2)}


def _name_agreement(video: FoundVideo, log: FoundLog, common: set[str]) -> float:
    """0 to 1: one for the same name, 0.9 for a folder of their own, else the share of words in common."""
    if video.path.with_suffix("") == log.path.with_suffix(""):
        return 1.0
    folder = {*words(video.path)[1]} - common
    if folder and video.path.parent == log.path.parent:
        return 0.9
    first, second = ({*words(path)[0], *words(path)[1]} - common for path in (video.path, log.path))
    return len(first & second) / len(first | second) if first | second else 0.0


def _mismatch(video: FoundVideo, log: FoundLog) -> float | None:
    """How far the durations are apart, over the longer one; None where the video states none."""
    if not video.duration_s:
        return None
    return abs(video.duration_s - log.duration_s) / max(video.duration_s, log.duration_s)


def _written_apart_s(video: FoundVideo, log: FoundLog) -> float:
    return abs(video.path.stat().st_mtime - log.path.stat().st_mtime)


def _score(video: FoundVideo, log: FoundLog, common: set[str]) -> float:
    mismatch = _mismatch(video, log) or 0.0
    if video.duration_s and log.duration_s < video.duration_s:
        mismatch *= SHORT_LOG
    closeness = max(0.0, 1 - _written_apart_s(video, log) / CLOSE_S)
    return NAME_WEIGHT * _name_agreement(video, log, common) - DURATION_WEIGHT * mismatch + TIME_WEIGHT * closeness


def _plausible(video: FoundVideo, log: FoundLog, common: set[str]) -> bool:
    mismatch, named = _mismatch(video, log), _name_agreement(video, log, common) >= 0.5
    if mismatch is None:
        return named
    return mismatch <= (IMPOSSIBLE_MISMATCH if named else LONGEST_MISMATCH)


def _reason(video: FoundVideo, log: FoundLog, common: set[str]) -> str:
    parts = []
    if _name_agreement(video, log, common) >= 0.5:
        parts.append("names agree")
    if (mismatch := _mismatch(video, log)) is not None:
        verb = "fit" if mismatch <= LONGEST_MISMATCH else "DIFFER"
        parts.append(f"durations {verb} ({video.duration_s:.1f} s and {log.duration_s:.1f} s)")
    if not parts:
        parts.append(f"written {_written_apart_s(video, log):.0f} s apart")
    return ", ".join(parts)
