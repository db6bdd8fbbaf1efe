"""The paper's trainer: ultralytics with YOLOv5's architecture. AGPL-3.0, so an extra that the user installs.

It runs in a folder that is removed afterwards, and is kept from the network: no fonts, no test of mixed precision
(which fetches a model), no reports on its use. It chooses its own number of threads, so equal seeds need not give
equal bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
import yaml
from matplotlib import font_manager
from safetensors.torch import save

from splatscope.config.proof import DetectionConfig
from splatscope.errors import InputError
from splatscope.files import write_bytes
from splatscope.images import encode_png
from splatscope.proof.detectors.interface import Detections
from splatscope.proof.image_sets import AnnotatedImage

MAX_DETECTIONS = 100  # as COCO counts them
FONT = "Arial.ttf"  # which ultralytics would download


class UltralyticsDetector:
    """A model that ultralytics has trained."""

    def __init__(self, model, class_ids: Sequence[int], config: DetectionConfig, device: torch.device):
        self.model, self.class_ids, self.config, self.device = model, tuple(class_ids), config, device

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """See `Detector.detect`."""
        class_ids, found = np.array(self.class_ids, np.int64), []
        for image in images:
            result = self.model.predict(
                cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                imgsz=image.shape[:2],
                conf=self.config.min_confidence,
                iou=self.config.nms_iou,
                max_det=MAX_DETECTIONS,
                device=str(self.device),
                verbose=False,
            )[0].boxes
            corners = result.xyxy.cpu().numpy().astype(np.float32)
            boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
            scores = result.conf.cpu().numpy().astype(np.float32)
            found.append(Detections(boxes, scores, class_ids[result.cls.cpu().numpy().astype(np.int64)]))
        return found

    def save(self, path: str | Path) -> None:
        """See `Detector.save`."""
        about = {"detector": self.config.ultralytics_model, "class_ids": self.class_ids}
        weights = {name: value.detach().cpu().clone() for name, value in self.model.model.state_dict().items()}
        write_bytes(path, save(weights, metadata={"splatscope": json.dumps(about, sort_keys=True)}))


def train_ultralytics(
    images: Sequence[AnnotatedImage],
    class_ids: Sequence[int],
    config: DetectionConfig,
    steps: int,
    seed: int,
    *,
    device: torch.device | str = "cpu",
) -> UltralyticsDetector:
    """See `train_detector`. ultralytics' own defaults but for batch and epochs, which give about `steps` steps.

    Raises InputError when it is not installed, or when weights are named instead of an architecture.
    """
    if not config.ultralytics_model.endswith(".yaml"):
        raise InputError(
            "config",
            "key proof.detection.ultralytics_model",
            found=f"{config.ultralytics_model}; ultralytics' weights are pickles, which may run any program",
            expected="an architecture such as yolov5n.yaml",
            remedy="name the architecture: training begins at random weights, as for real and synthetic frames alike",
        )
    device = torch.device(device)
    with tempfile.TemporaryDirectory() as place, mock.patch.dict(os.environ, _offline(Path(place))):
        yolo = _import_yolo()
        data = _write_dataset(Path(place) / "data", images, class_ids)
        model = yolo(config.ultralytics_model)
        model.train(
            data=str(data),
            epochs=max(1, round(steps / -(-len(images) // config.batch))),
            batch=config.batch,
            imgsz=max(images[0].rgb.shape[:2]),
            seed=seed,
            deterministic=True,
            device=str(device),
            workers=0,
            amp=False,
            plots=False,
            val=False,
            project=place,
            name="run",
            exist_ok=True,
            verbose=False,
        )
        return UltralyticsDetector(yolo(str(Path(place) / "run" / "weights" / "last.pt")), class_ids, config, device)


def _offline(place: Path) -> dict[str, str]:
    """Environment that ultralytics reads when it is imported; the font that it would fetch is put where it looks."""
    settings = place / "settings"
    (settings / "Ultralytics").mkdir(parents=True)
    for folder in (settings, settings / "Ultralytics"):
        shutil.copyfile(font_manager.findfont("DejaVu Sans"), folder / FONT)
    return {
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_CONFIG_DIR": str(settings),
        "WANDB_MODE": "disabled",
    }


def _import_yolo():
    try:
        from ultralytics import YOLO
    except ImportError as error:
        raise InputError(
            "config",
            "key proof.detection.detector",
            found="ultralytics, which is not installed",
            expected="the package ultralytics; its licence is AGPL-3.0",
            remedy="if that licence suits you, `uv pip install ultralytics`; or choose yolox_nano",
        ) from error
    return YOLO


def _write_dataset(folder: Path, images: Sequence[AnnotatedImage], class_ids: Sequence[int]) -> Path:
    """A dataset in YOLO's layout; the first image stands for the validation set, which training does not look at."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for index, item in enumerate(images):
        height, width = item.rgb.shape[:2]
        (folder / "images" / f"{index:06d}.png").write_bytes(encode_png(item.rgb))
        centres = item.boxes[:, :2] + item.boxes[:, 2:] / 2
        rows = np.concatenate([centres, item.boxes[:, 2:]], 1) / np.float32([width, height, width, height])
        lines = [
            " ".join([str(list(class_ids).index(int(class_id))), *(f"{value:.6f}" for value in row)])
            for class_id, row in zip(item.classes, rows)
        ]
        (folder / "labels" / f"{index:06d}.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "val.txt").write_text(f"{folder}/images/000000.png\n")
    names = {label: f"class {class_id}" for label, class_id in enumerate(class_ids)}
    described = {"path": str(folder), "train": "images", "val": "val.txt", "names": names}
    (folder / "data.yaml").write_text(yaml.safe_dump(described))
    return folder / "data.yaml"
