"""Which frame somebody means: by an image of a dataset, or by shard and key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from splatscope.errors import InputError
from splatscope.project import results_of
from splatscope.shards import read_shard

EXPECTED = "DATASET/NAME (sampled/000000_000012), an image of a dataset, or SHARD.tar:KEY"
_NAME = re.compile(r"(?P<shard>(?:episode_)?\d{6})_(?P<key>\d{6})")


@dataclass(frozen=True)
class FrameName:
    """A frame among results."""

    results: Path
    dataset: str
    shard: Path
    key: str

    @property
    def number(self) -> int:
        """Of its shard, or of its operation."""
        return int(self.shard.stem.rpartition("_")[2])

    def stored(self) -> dict[str, bytes]:
        """The members of the frame as they lie in its shard. Raises InputError when it is not there."""
        for frame in read_shard(self.shard, keys={self.key}):
            return frame.stored
        raise InputError(
            self.shard,
            f"frame {self.key}",
            found="no such frame",
            expected="a frame of the shard",
            remedy="correct its key",
        )


def find_frame(name: str, directory: Path) -> FrameName:
    """The frame that `name` means (see EXPECTED), with results in `directory`/results unless it is a path into others.

    Raises InputError when it means none.
    """
    tar, colon, key = name.rpartition(":")
    if colon and tar.endswith(".tar") and re.fullmatch(r"\d{6}", key):
        return _in_shard(Path(tar).absolute(), key)
    path = Path(name)
    path = path.absolute() if path.parent.name == "images" else path
    match = _NAME.fullmatch(path.stem if path.suffix in (".png", ".jpg") else path.name)
    if match is None:
        raise _unknown(name, "a name of another form")
    dataset = path.parent.name
    results = directory / "results"
    if path.parent.name == "images":
        dataset, results = path.parent.parent.name, results_of(path) or results
    if not dataset:
        raise _unknown(name, "no dataset before it")
    stem = match["shard"] if match["shard"].startswith("episode_") else f"shard_{match['shard']}"
    shard = shard_folder(results, dataset) / f"{stem}.tar"
    if not shard.is_file():
        raise _unknown(name, f"no {shard}")
    return FrameName(results, dataset, shard, match["key"])


def shard_folder(results: Path, dataset: str) -> Path:
    """Where the shards of a dataset lie."""
    if dataset.endswith("_restyled"):
        return results / "restyle" / dataset.removesuffix("_restyled") / "default"
    if dataset == "simulated":
        return results / "simulate"
    return results / ("mix" if dataset.startswith("mixed_") else "render") / dataset


def _in_shard(shard: Path, key: str) -> FrameName:
    results = results_of(shard)
    if not shard.is_file() or results is None:
        raise _unknown(f"{shard}:{key}", "no shard among the results of a run")
    inside = shard.absolute().relative_to(results).parts
    dataset = {"restyle": f"{inside[1]}_restyled", "simulate": "simulated"}.get(inside[0], inside[1])
    if shard_folder(results, dataset) != shard.absolute().parent:
        raise _unknown(f"{shard}:{key}", f"a shard of {inside[0]}")
    return FrameName(results, dataset, shard, key)


def _unknown(name: str, found: str) -> InputError:
    return InputError(name, found=found, expected=EXPECTED, remedy="correct the frame's name")
