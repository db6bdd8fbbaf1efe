"""Replayed frames against the real frames they imitate: the protocol of the paper's Table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from splatscope.config.evaluate import EvaluateConfig
from splatscope.errors import InputError
from splatscope.evaluate.overlap import box_iou, mask_box, mask_iou
from splatscope.evaluate.overlays import GAP, PANELS, pair_picture
from splatscope.evaluate.similarity import HOW_TO_GET_LPIPS, load_lpips, psnr, ssim
from splatscope.files import sha256, write_bytes, write_json, write_table
from splatscope.images import encode_png, resize_area, to_float
from splatscope.recorded_frames import read_camera, read_recorded, read_usable
from splatscope.shards import Frame, read_shard, read_shards

METRICS = ("psnr", "ssim", "lpips", "mask_iou", "box_iou", "amodal_iou")


@dataclass(frozen=True)
class RealRecording:
    """Where a replayed recording's real frames lie."""

    frames: Path  # ingest's frames.tar, key = six-digit video frame index
    valid_mask: Path | None = None  # ingest's valid.png, 255 = usable
    truth: Path | None = None  # the phantom's truth shard, same keys; its camera without distortion
    camera: Path | None = None  # poses' <recording>.camera.json, which only a comparison with rendered frames needs


@dataclass(frozen=True)
class ReplayOutputs:
    """Files that `evaluate_replay` writes."""

    table_parquet: Path
    table_csv: Path
    summary_json: Path
    best_png: Path
    worst_png: Path


def evaluate_replay(
    rendered: Sequence[str | Path],
    recordings: Mapping[str, RealRecording],
    config: EvaluateConfig,
    outputs: ReplayOutputs,
) -> dict:
    """Compare the frames of the `rendered` shards with the real ones and return the summary that is written.

    Each rendered frame's meta names what it imitates: `source`, with `recording` and `frame` (the video frame's index).
    The real frame is undistorted, where it is not yet, and reduced to the rendered size by area averaging. Per image:
    PSNR (dB), SSIM and LPIPS over the valid pixels (see similarity.py), and where there is truth the IoU of visible
    masks, of the boxes round them and of amodal masks, each the mean over the tool classes that either image shows.
    The true maps are reduced like the image; a pixel belongs to a mask when more than half of its area does.

    The summary holds mean and sample standard deviation over the images for each metric (null where not available) and
    the best and worst image by PSNR, whose overlays are written.

    Raises InputError when a frame's recording or real frame is not there, or when there are no frames.
    """
    lpips = load_lpips(config.lpips_backbone_weights)
    sources = {name: _Source(name, recording) for name, recording in sorted(recordings.items())}
    wanted: dict[str, dict[int, Frame]] = {}
    for frame in read_shards(rendered):
        name, index = _imitated(frame, sources, rendered)
        wanted.setdefault(name, {})[index] = frame
    rows: list[dict] = []
    extremes: dict[str, tuple[dict, Frame, Frame | None]] = {}  # row, real and true frame of the best and worst pair
    for name, frames in sorted(wanted.items()):
        for index, real, truth in sources[name].pairs(frames):
            row = {"recording": name, "frame": index} | _compare(frames[index], real, truth, sources[name], lpips)
            rows.append(row)
            if "best" not in extremes or row["psnr"] > extremes["best"][0]["psnr"]:
                extremes["best"] = row, real, truth
            if "worst" not in extremes or row["psnr"] < extremes["worst"][0]["psnr"]:
                extremes["worst"] = row, real, truth
            if len(rows) % 50 == 0:
                print(f"evaluate: {len(rows)} images", flush=True)
    if not rows:
        raise InputError(
            rendered[0] if rendered else "no shards",
            found="no frames",
            expected="at least one replayed frame",
            remedy="look at what compose made of the scene recording: its poses may all be invalid",
        )
    table = pd.DataFrame(rows).sort_values(["recording", "frame"], ignore_index=True)
    write_table(outputs.table_parquet, table)
    write_table(outputs.table_csv, table)
    summary = _summary(table, lpips, rendered)
    for which, path in (("best", outputs.best_png), ("worst", outputs.worst_png)):
        row, real, truth = extremes[which]
        summary[which] = {key: row[key] for key in ("recording", "frame")} | {"psnr": _finite(row["psnr"])}
        write_bytes(path, encode_png(_picture(wanted[row["recording"]][row["frame"]], real, truth)))
    write_json(outputs.summary_json, summary)
    return summary


class _Source:
    """One real recording: reads its frames, mask and truth at the rendered size."""

    def __init__(self, name: str, recording: RealRecording):
        self.name, self.recording, self.camera = name, recording, read_camera(recording.camera)
        self._valid: dict[tuple[int, int], np.ndarray | None] = {}

    def pairs(self, frames: Mapping[int, Frame]):
        """(index, real frame, truth frame or None) for each wanted index, in one pass over the files."""
        keys, maps = {f"{index:06d}" for index in frames}, ("class_map", "instance_map", "amodal_bits")
        truth = iter(())
        if self.recording.truth:
            truth = ((int(frame.key), frame) for frame in read_shard(self.recording.truth, maps=maps, keys=keys))
        following = next(truth, None)
        missing = set(frames)
        for real in read_recorded(self.recording.frames, self.camera, keys):
            index = int(real.key)
            missing.discard(index)
            while following is not None and following[0] < index:
                following = next(truth, None)
            yield index, real, following[1] if following is not None and following[0] == index else None
        if missing:
            raise InputError(
                self.recording.frames,
                f"frame {min(missing):06d}",
                found=f"{len(missing)} of {len(frames)} replayed frames are not among the real frames",
                expected="every frame that was replayed",
                remedy="make ingest and compose run again on the same recording",
            )

    def valid(self, height: int, width: int) -> np.ndarray | None:
        """bool [H, W] at the rendered size, None when every pixel is usable; a pixel is when all of it is."""
        if (height, width) not in self._valid:
            path = self.recording.valid_mask
            self._valid[height, width] = None if path is None else read_usable(path, self.camera, width, height)
        return self._valid[height, width]


def _imitated(frame: Frame, sources: Mapping[str, _Source], rendered: Sequence[str | Path]) -> tuple[str, int]:
    source = frame.meta.get("source", {})
    name, index = source.get("recording"), source.get("frame", -1)
    if name not in sources or index < 0:
        raise InputError(
            rendered[0],
            f"frame {frame.key}",
            found=f"source {source}",
            expected=f"one of the recordings {sorted(sources)} and the index of a video frame",
            remedy="evaluate only replayed datasets, with the recordings they replay",
        )
    return name, int(index)


def _reduced(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.clip(resize_area(to_float(image), width, height), 0, 1)


def _compare(rendered: Frame, real: Frame, truth: Frame | None, source: _Source, lpips) -> dict:
    height, width = rendered.rgb.shape[:2]
    synthetic, real_image, valid = (
        to_float(rendered.rgb),
        _reduced(real.rgb, width, height),
        source.valid(height, width),
    )
    row = {
        "psnr": psnr(synthetic, real_image, valid),
        "ssim": ssim(synthetic, real_image, valid),
        "lpips": lpips(synthetic, real_image, valid) if lpips else np.nan,
    }
    overlaps: dict[str, list[float]] = {"mask_iou": [], "box_iou": [], "amodal_iou": []}
    if truth is not None and rendered.instance_map is not None:
        for class_id in sorted(_tool_classes(rendered) | _tool_classes(truth)):
            true_visible, true_amodal = _true_masks(truth, class_id, width, height)
            visible, amodal = _class_masks(rendered, class_id)
            overlaps["mask_iou"].append(mask_iou(visible, true_visible))
            overlaps["box_iou"].append(box_iou(mask_box(visible), mask_box(true_visible)))
            if true_amodal is not None and amodal is not None:
                overlaps["amodal_iou"].append(mask_iou(amodal, true_amodal))
    known = {name: [value for value in values if not np.isnan(value)] for name, values in overlaps.items()}
    return row | {name: float(np.mean(values)) if values else np.nan for name, values in known.items()}


def _picture(rendered: Frame, real: Frame, truth: Frame | None) -> np.ndarray:
    height, width = rendered.rgb.shape[:2]
    shown, true_mask = np.zeros((height, width), bool), None
    if rendered.instance_map is not None:
        shown = rendered.instance_map > 0
    if truth is not None and truth.instance_map is not None:
        true_mask = _reduced_mask(truth.instance_map > 0, width, height)
    return pair_picture(_reduced(real.rgb, width, height), to_float(rendered.rgb), shown, true_mask)


def _tool_classes(frame: Frame) -> set[int]:
    """Classes of everything that has an instance number: the tools."""
    if frame.instance_map is None or frame.class_map is None:
        return set()
    return set(np.unique(frame.class_map[frame.instance_map > 0]).tolist())


def _class_masks(frame: Frame, class_id: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Visible and amodal bool [H, W] of all instances of a class."""
    visible = (frame.class_map == class_id) & (frame.instance_map > 0)
    if frame.amodal_bits is None:
        return visible, None
    amodal = visible.copy()
    for instance in np.unique(frame.instance_map[visible]):
        amodal |= frame.amodal_mask(int(instance))
    return visible, amodal


def _true_masks(truth: Frame, class_id: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
    visible, amodal = _class_masks(truth, class_id)
    return _reduced_mask(visible, width, height), None if amodal is None else _reduced_mask(amodal, width, height)


def _reduced_mask(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    return resize_area(mask.astype(np.float32), width, height) > 0.5


def _summary(table: pd.DataFrame, lpips, rendered: Sequence[str | Path]) -> dict:
    summary: dict = {
        "images": len(table),
        "overlay": {"panels": PANELS, "gap_px": GAP},
        "rendered": {Path(path).name: sha256(path) for path in rendered},
    }
    for name in METRICS:
        values = table[name].to_numpy(np.float64)
        values = values[np.isfinite(values)]
        summary[name] = {
            "images": len(values),
            "mean": _finite(values.mean()) if len(values) else None,
            "std": _finite(values.std(ddof=1)) if len(values) > 1 else None,
        }
    if lpips:
        summary["lpips"] |= {"network": lpips.network, "weights_sha256": lpips.weights_sha256}
    else:
        summary["lpips"]["not_available"] = HOW_TO_GET_LPIPS
    if not summary["mask_iou"]["images"]:
        summary["mask_iou"]["not_available"] = "There are no true masks for this recording."
    return summary


def _finite(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
