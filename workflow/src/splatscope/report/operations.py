"""The simulated operations on the page: contact sheet, videos, what happened."""

from __future__ import annotations

import base64
from pathlib import Path

import pandas as pd

from splatscope.config.report import ReportConfig
from splatscope.report.inputs import ReportInputs
from splatscope.report.pictures import embed_file

SHOWN_EVENTS = ("grasp", "slip", "clip", "cut", "tear", "bond_broken", "coagulate", "vaporise", "bleed", "seal")


def simulated(inputs: ReportInputs, config: ReportConfig) -> dict | None:
    """Contact sheet, and of every operation its video, length, phases and events; None when none was simulated."""
    if not inputs.episodes:
        return None
    episodes = [_episode(path, with_video=number < config.videos) for number, path in enumerate(inputs.episodes)]
    return {
        "sheet": embed_file(inputs.episodes[0].with_name("contact.jpg"), config.jpeg_quality),
        "episodes": episodes,
        "frames": sum(episode["frames"] for episode in episodes),
        "events": SHOWN_EVENTS,
    }


def _episode(tar: Path, with_video: bool) -> dict:
    triplets, events, log = (
        pd.read_parquet(tar.with_suffix(f".{name}.parquet")) for name in ("triplets", "events", "log")
    )
    frames = triplets.drop_duplicates("frame")
    video = tar.with_suffix(".mp4")
    return {
        "name": tar.stem,
        "frames": len(frames),
        "seconds": float(frames["time_s"].max()),
        "phases": [str(name) for name in frames["phase"].unique()],
        "events": events.loc[events["amount"] > 0, "kind"].value_counts().to_dict(),
        "given_up": int((log["outcome"] == "aborted").sum()),
        "video": base64.b64encode(video.read_bytes()).decode("ascii") if with_video and video.is_file() else None,
    }
