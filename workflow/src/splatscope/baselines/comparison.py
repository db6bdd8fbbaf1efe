"""Table 1: our replay beside those of the baselines, with what each cost; and a picture of some frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from splatscope.errors import InputError
from splatscope.evaluate.replay import RealRecording
from splatscope.files import read_json, write_bytes, write_json, write_table
from splatscope.images import encode_png, resize_area
from splatscope.recorded_frames import read_camera, read_recorded
from splatscope.shards import read_shards

METRICS = ("psnr", "ssim", "lpips", "mask_iou")
NAMES = {"ours": "ours", "ngp": "Instant-NGP", "nerfacto": "Nerfacto"}
PARAMETERS_OF_A_GAUSSIAN = 3 + 4 + 3 + 1  # mean, quaternion, scales, opacity; colours come on top
SHOWN = 3  # frames in the picture
GAP = 4  # pixels between pictures
TITLE_HEIGHT = 22


@dataclass(frozen=True)
class Method:
    """What a row of the table is made of."""

    replay: Path  # evaluate/replay*.json
    frames: Sequence[Path]  # the shards that it judges
    training: Mapping[str, Path]  # by model: splat.json or the baseline's training.json


def compare_baselines(
    methods: Mapping[str, Method],
    real: Mapping[str, RealRecording],
    sh_degree: int,
    *,
    summary_json: Path,
    table_csv: Path,
    picture_png: Path,
) -> dict:
    """Write one row per method and a picture of real frames beside what each method makes of them.

    `methods` by key of NAMES; `real` frames and cameras by recording; `sh_degree` of our splats' colours.
    Raises InputError when the methods were not judged on the same number of images.
    """
    rows = {name: _row(name, method, sh_degree) for name, method in methods.items()}
    counts = {name: row["images"] for name, row in rows.items()}
    if len(set(counts.values())) > 1:
        raise InputError(
            ", ".join(str(method.replay) for method in methods.values()),
            "images",
            found=str(counts),
            expected="as many for each method",
            remedy="delete the older of these files and run the same command again",
        )
    write_json(summary_json, {"rows": list(rows.values())})
    flat = pd.json_normalize(list(rows.values()), sep="_")
    write_table(table_csv, flat)
    write_bytes(picture_png, encode_png(_picture(methods, real)))
    return rows


def _row(name: str, method: Method, sh_degree: int) -> dict:
    replay = read_json(method.replay)
    training = {model: read_json(path) for model, path in sorted(method.training.items())}
    per_gaussian = PARAMETERS_OF_A_GAUSSIAN + 3 * (sh_degree + 1) ** 2
    models = {
        model: {
            "heldout_psnr_mean": content["heldout_psnr_mean"],
            "training_seconds": content["seconds"],
            "training_cpu_seconds": content.get("cpu_seconds"),
            "iterations": content["iterations"],
            "parameters": content.get("parameters", content.get("gaussians", 0) * per_gaussian),
        }
        for model, content in training.items()
    }
    return {
        "method": name,
        "images": replay["images"],
        **{metric: {key: replay[metric][key] for key in ("mean", "std")} for metric in METRICS},
        "training_seconds": round(sum(model["training_seconds"] for model in models.values()), 1),
        "models": models,
    }


def _picture(methods: Mapping[str, Method], recordings: Mapping[str, RealRecording]) -> np.ndarray:
    """uint8 [H, W, 3]: SHOWN rows spread over the frames; the real one, then each method's."""
    drawn = {name: list(read_shards(method.frames)) for name, method in methods.items()}
    first = next(iter(drawn.values()))
    rows = []
    for place in np.linspace(0, len(first) - 1, min(SHOWN, len(first)) + 2).round().astype(int)[1:-1]:
        frame = first[place]
        height, width = frame.rgb.shape[:2]
        source = frame.meta["source"]
        key = f"{source['frame']:06d}"
        recording = recordings[source["recording"]]
        real = next(read_recorded(recording.frames, read_camera(recording.camera), {key}))
        rows.append([resize_area(real.rgb, width, height)] + [frames[place].rgb for frames in drawn.values()])
    titles = [_title(text, rows[0][0].shape[1]) for text in ("real", *(NAMES[name] for name in methods))]
    return np.vstack([_beside(row) for row in (titles, *rows)])


def _beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    row = np.hstack([part for number, picture in enumerate(pictures) for part in ((gap, picture)[number == 0 :])])
    return np.vstack([row, np.full((GAP, row.shape[1], 3), 255, np.uint8)])


def _title(text: str, width: int) -> np.ndarray:
    strip = np.full((TITLE_HEIGHT, width, 3), 255, np.uint8)
    return cv2.putText(strip, text, (4, TITLE_HEIGHT - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
