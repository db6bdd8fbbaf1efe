"""YOLO labels, detection and segmentation, through `supervision`.

YOLO numbers classes from 0 without gaps: the class of a label file is the position of the category in COCO's list,
which is also the order of `names` in data.yaml.
"""

from __future__ import annotations

import numpy as np
import yaml
from supervision import Detections
from supervision.dataset.formats.yolo import detections_to_yolo_annotations

from splatscope.annotate.records import FrameRecord


def label_files(record: FrameRecord, yolo_class: dict[int, int]) -> tuple[str, str]:
    """Contents of the detection and the segmentation label file of one image.

    Boxes are `class x_centre y_centre width height` over the image size, exact to 0.00001. Segments are polygons along
    pixel centres without simplification, one line for each connected part: YOLO's format cannot join parts.
    """
    if not record.annotations:
        return "", ""
    boxes = np.array([annotation.box for annotation in record.annotations], np.float64)
    detections = Detections(
        xyxy=np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
        class_id=np.array([yolo_class[annotation.class_id] for annotation in record.annotations]),
    )
    shape = record.frame.rgb.shape
    detect = detections_to_yolo_annotations(detections, shape)
    detections.mask = np.stack([annotation.visible for annotation in record.annotations])
    segment = detections_to_yolo_annotations(detections, shape, approximation_percentage=0)
    return "\n".join(detect) + "\n", "\n".join(segment) + "\n"


def data_yaml(names: list[str]) -> str:
    """The data.yaml that YOLO trainers take: split lists beside it (no `path`, so the folder may move), class names."""
    return yaml.safe_dump({"train": "train.txt", "val": "val.txt", "names": dict(enumerate(names))}, sort_keys=False)
