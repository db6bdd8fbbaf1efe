"""Frames before and after restyling, as a picture and as a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from splatscope.files import write_bytes
from splatscope.images import contact_sheet, encode_jpeg
from splatscope.shards import read_shard
from splatscope.video import open_video

COLUMNS, WIDTH = 4, 320
VIDEO_FRAMES_PER_SECOND, VIDEO_CRF = 5, 20


def draw_restyling(
    raw_shards: Sequence[str | Path],
    restyled_shards: Sequence[str | Path],
    strip_jpg: str | Path,
    video_mp4: str | Path,
) -> None:
    """A picture of COLUMNS frames spread over the shards, the unstyled above the restyled, and a video of all, side by
    side."""
    pairs = list(_pairs(raw_shards, restyled_shards))
    chosen = [pairs[i] for i in np.linspace(0, len(pairs) - 1, COLUMNS).round().astype(int)] if pairs else []
    height, width = pairs[0][0].shape[:2] if pairs else (256, WIDTH)
    blank = [np.zeros((height, width, 3), np.uint8)] * (2 * COLUMNS)
    images = [raw for raw, _ in chosen] + [restyled for _, restyled in chosen] or blank
    write_bytes(strip_jpg, encode_jpeg(contact_sheet(images, COLUMNS, WIDTH), 90))
    even = (height // 2 * 2, width // 2 * 2)  # H.264 halves the colours
    with open_video(video_mp4, 2 * even[1], even[0], VIDEO_FRAMES_PER_SECOND, VIDEO_CRF) as append:
        for raw, restyled in pairs:
            append(np.hstack([raw[: even[0], : even[1]], restyled[: even[0], : even[1]]]))


def _pairs(
    raw_shards: Sequence[str | Path], restyled_shards: Sequence[str | Path]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for raw, restyled in zip(raw_shards, restyled_shards):
        after = {frame.key: frame.rgb for frame in read_shard(restyled, maps=())}
        for frame in read_shard(raw, maps=(), keys=set(after)):
            yield frame.rgb, after[frame.key]
