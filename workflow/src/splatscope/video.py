"""Writing video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from splatscope.files import atomic_path

UNDATED = {"fflags": "+bitexact"}  # else the file says when it was made


@contextmanager
def open_video(path: str | Path, width: int, height: int, frames_per_second: int, crf: int) -> Iterator:
    """Yield a function that appends uint8 [H, W, 3] frames to an H.264 file; equal frames give equal bytes."""
    with atomic_path(path) as temporary, av.open(str(temporary), "w", options=UNDATED) as container:
        stream = container.add_stream("libx264", rate=frames_per_second)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        # x264's macroblock tree reads memory that it has not written: the same frames gave now these bytes, now those
        stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}

        def append(image: np.ndarray) -> None:
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)

        yield append
        for packet in stream.encode():
            container.mux(packet)
