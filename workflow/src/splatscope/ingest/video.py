"""Frames of a video file (PyAV) or of a folder of images, one after the other, with their times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from splatscope.errors import InputError
from splatscope.images import MAX_PIXELS, decode_image

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
LACKING_FRAMES_TOLERATED = 2  # containers may count a frame that an edit list hides


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame."""

    index: int  # from 0, in order of presentation
    time_s: float  # presentation time of the container, or index / folder_fps
    rgb: np.ndarray  # uint8 [H, W, 3]


def read_frames(source: str | Path, folder_fps: float = 30.0) -> Iterator[VideoFrame]:
    """Yield the frames of a video file or a folder of images; only one is in memory at a time.

    Raises InputError when the source cannot be opened, has no frame, ends before its stated end (with the number of
    frames that were readable), or changes its size.
    """
    source = Path(source)
    if source.is_dir():
        yield from _read_folder(source, folder_fps)
    else:
        yield from _read_video(source)


def first_frame(source: str | Path, folder_fps: float = 30.0) -> VideoFrame:
    """The first frame: a cheap way to learn the size and whether the source opens at all."""
    frames = read_frames(source, folder_fps)
    try:
        return next(frames)
    finally:
        frames.close()


def count_frames(source: str | Path) -> int:
    """About how many frames there are, by what the container states, without decoding any.

    Raises InputError when the source does not open.
    """
    source = Path(source)
    if source.is_dir():
        return len(list_images(source))
    with _open(source) as container:
        stream = container.streams.video[0]
        return stream.frames or round(_stated_end(container, stream) * float(stream.average_rate or 0))


def video_facts(source: str | Path) -> dict:
    """Width, height, codec, frames per second, frames and duration in s of a video file, by what it states, without
    decoding it. Raises InputError when it does not open.
    """
    with _open(Path(source)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 0)
        duration_s = round(_stated_end(container, stream), 3)
        return {
            "width": stream.width,
            "height": stream.height,
            "codec": stream.codec_context.name,
            "fps": round(rate, 3),
            "frames": stream.frames or round(duration_s * rate),
            "duration_s": duration_s,
        }


def list_images(folder: str | Path) -> list[Path]:
    """Image files of a folder in natural order (`2.png` before `10.png`). Raises InputError when there is none."""
    images = [path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise InputError(
            folder,
            found="no image in this folder",
            expected=f"files with {', '.join(sorted(IMAGE_SUFFIXES))}",
            remedy="put the frames there, or give the path of a video file",
        )
    return sorted(images, key=lambda path: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", path.name)])


def _read_folder(folder: Path, fps: float) -> Iterator[VideoFrame]:
    size = None
    for index, path in enumerate(list_images(folder)):
        content = path.read_bytes()
        image = decode_image(content, str(path))
        truncated = (path.suffix.lower() in {".jpg", ".jpeg"} and b"\xff\xd9" not in content[-64:]) or (
            path.suffix.lower() == ".png" and b"IEND" not in content[-16:]
        )
        if truncated or image.dtype != np.uint8:
            raise InputError(
                path,
                found="an image that ends too early" if truncated else f"{image.dtype} pixels",
                expected="a whole image of 8 bits per channel",
                remedy="copy or export this image again, or remove it",
            )
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)
        size = size or image.shape
        if image.shape != size:
            raise _size_changed(path, "", size, image.shape)
        yield VideoFrame(index, index / fps, image)


def _read_video(path: Path) -> Iterator[VideoFrame]:
    with _open(path) as container:
        stream = container.streams.video[0]
        if not 0 < stream.width * stream.height <= MAX_PIXELS:
            raise InputError(
                path,
                found=f"frames of {stream.width}x{stream.height} pixels",
                expected=f"at most {MAX_PIXELS} pixels, those of 8K video",
                remedy="scale the video down with ffmpeg",
            )
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        yield from _decode(path, container, stream)


@contextmanager
def _open(path: Path) -> Iterator[av.container.InputContainer]:
    try:
        # "file:", so that no name is taken for a protocol; and no playlist may fetch anything
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except FileNotFoundError as error:
        raise InputError(path, found="no such file", expected="a video", remedy="correct the path") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            path,
            found=f"a file that does not open as video ({_reason(error)})",
            expected="a whole video file, such as MP4, MKV or AVI, or a folder of images",
            remedy="copy the file again, or convert it with ffmpeg; an MP4 that was cut off cannot be opened",
        ) from error
    with container:
        if not container.streams.video:
            raise InputError(
                path, found="no video stream", expected="a video", remedy="give the path of the video recording"
            )
        yield container


def _decode(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[VideoFrame]:
    count, size, last_time, problem = 0, None, -np.inf, ""
    frames = container.decode(stream)
    while True:
        try:
            frame = next(frames)
        except StopIteration:
            break
        except (av.FFmpegError, OSError, ValueError) as error:
            problem = _reason(error)
            break
        if frame.is_corrupt:
            problem = "a damaged frame"
            break
        if frame.pts is None:
            raise InputError(
                path,
                f"frame {count}",
                found="no time stamp",
                expected="a presentation time for every frame",
                remedy="remux the video: ffmpeg -i in -c copy out.mp4",
            )
        time_s = float(frame.pts * frame.time_base)
        if time_s <= last_time:
            raise InputError(
                path,
                f"frame {count}",
                found=f"time {time_s:.6f} s after {last_time:.6f} s",
                expected="times that increase",
                remedy="convert the video with ffmpeg, which mends its time stamps",
            )
        rgb = frame.to_ndarray(format="rgb24")
        size = size or rgb.shape
        if rgb.shape != size:
            raise _size_changed(path, f"frame {count}", size, rgb.shape)
        yield VideoFrame(count, time_s, rgb)
        count, last_time = count + 1, time_s
    _check_whole(path, container, stream, count, last_time, problem)


def _check_whole(path: Path, container, stream, count: int, last_time: float, problem: str) -> None:
    stated_frames, stated_end = stream.frames, _stated_end(container, stream)
    short = count < stated_frames - LACKING_FRAMES_TOLERATED if stated_frames else last_time < stated_end - 0.5
    if problem or count == 0 or short:
        of = f" of {stated_frames}" if stated_frames else ""
        until = f", up to {last_time:.3f} s" if count else ""
        until += f" of {stated_end:.3f} s" if stated_end else ""
        raise InputError(
            path,
            found=f"{count}{of} frames readable{until}{f'; then {problem}' if problem else ''}",
            expected="a video that is readable to its stated end",
            remedy="copy the file again from the recorder, or cut it to its readable part with ffmpeg",
        )


def _stated_end(container, stream) -> float:
    """Time in seconds at which the container says that the video ends; 0 when it does not say."""
    if stream.duration:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return ((container.start_time or 0) + container.duration) / av.time_base
    return 0.0


def _size_changed(path: Path, where: str, first: tuple, second: tuple) -> InputError:
    return InputError(
        path,
        where,
        found=f"{second[1]}x{second[0]} after {first[1]}x{first[0]}",
        expected="frames of one size",
        remedy="split the recording where its size changes",
    )


def _reason(error: Exception) -> str:
    """FFmpeg's words without errno and file name."""
    return re.sub(r"^\[Errno \d+\]\s*|:\s*'.*$|;.*$", "", str(error)).strip()
