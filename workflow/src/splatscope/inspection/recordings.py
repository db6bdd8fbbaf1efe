"""Recordings as they were brought, and as ingest left them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from splatscope.documents import read_file
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.images import decode_image
from splatscope.ingest.tracker_log import TrackerLog
from splatscope.ingest.trackers import read_tracker_log
from splatscope.ingest.video import IMAGE_SUFFIXES, read_frames, video_facts
from splatscope.inspection.description import Description, plain, rounded, value_range, wrong_kind
from splatscope.inspection.frames import describe_shard
from splatscope.inspection.pictures import plot, sheet, spread

LOG_SUFFIXES = (".csv", ".tsv", ".mha", ".txt")


def describe_video(file: Path) -> Description:
    """Size, rate and length as the container states them; pictures spread over the video."""
    facts = video_facts(file)
    return Description("video", facts | {"length": "as the file states it"}, lambda: _frames_of(file, facts["frames"]))


def describe_recording(folder: Path, videos: list[Path]) -> Description:
    """A folder with one video (or images) and perhaps a tracker log."""
    if len(videos) > 1:
        found = f"{len(videos)} videos: {', '.join(video.name for video in videos[:6])}"
        raise InputError(
            folder, found=found, expected="one recording", remedy="name one video, or begin a project: splatscope init"
        )
    if videos:
        described = describe_video(videos[0])
        facts = {"video": videos[0].name} | described.facts
        draw = described.draw
    else:
        images = sum(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.iterdir())
        facts = {"images": images}
        draw = lambda: _frames_of(folder, images)  # noqa: E731
    for log in sorted(file for file in folder.iterdir() if file.suffix.lower() in LOG_SUFFIXES):
        facts[f"log {log.name}"] = log_facts(read_tracker_log(log))
    return Description("recording", facts, draw)


def describe_log(log: TrackerLog) -> Description:
    """Sensors, rate, gaps and the path of each sensor."""

    def draw() -> np.ndarray:
        def tracks(figure):
            axes = figure.subplots(len(log.tracker_from_sensor), sharex=True, squeeze=False)[:, 0]
            for axis, (name, poses) in zip(axes, log.tracker_from_sensor.items()):
                for column, label in enumerate("xyz"):
                    axis.plot(log.time_s, poses[:, column, 3], label=label, lw=1)
                axis.set(title=name, ylabel="mm")
            axes[0].legend(ncol=3)
            axes[-1].set_xlabel("tracker time (s)")

        return plot(tracks)

    return Description("tracker log", log_facts(log), draw)


def log_facts(log: TrackerLog) -> dict:
    facts = log.statistics()
    for name, counts in facts["sensors"].items():
        seen = log.valid(name)
        if seen.sum() > 1:
            times = log.time_s[seen]
            counts["longest_gap_s"] = rounded(np.diff(times).max())
            counts["distance_mm"] = value_range(np.linalg.norm(log.tracker_from_sensor[name][seen][:, :3, 3], axis=1))
    return facts


def describe_ingested(folder: Path) -> Description:
    """results/ingest/<recording>: what was kept, what was dropped and why, the clock offset."""
    record = read_json(folder / "ingest.json")
    if not isinstance(record, dict):
        raise wrong_kind(folder / "ingest.json", f"a {type(record).__name__}", "the record of an ingested recording")
    facts = plain(record)
    if (folder / "frames.tar").is_file():
        facts["kept"] = describe_shard(folder / "frames.tar").facts
    sheet_file = folder / "thumbnails.jpg"
    draw = (
        (lambda: decode_image(read_file(sheet_file, "a contact sheet"), str(sheet_file)))
        if sheet_file.is_file()
        else None
    )
    return Description("ingested recording", facts, draw)


def _frames_of(source: Path, count: int) -> np.ndarray:
    wanted = set(spread(count))
    pictures = []
    for frame in read_frames(source):
        if frame.index in wanted:
            pictures.append(frame.rgb)
            if len(pictures) == len(wanted):
                break
    return sheet(pictures)
