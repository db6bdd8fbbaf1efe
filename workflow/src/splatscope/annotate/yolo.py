"""YOLO labels: detection through `supervision`, segmentation.

YOLO numbers classes from 0 without gaps: the class of a label file is the position of the category in COCO's list,
which is also the order of `names` in data.yaml.
"""

from __future__ import annotations

import numpy as np
import yaml
from supervision import Detections
from supervision.dataset.formats.yolo import detections_to_yolo_annotations

from splatscope.annotate.records import FrameRecord
from splatscope.polygons import mask_polygon

CENTRE = 0.499  # of a pixel, just before it: ultralytics rounds down, supervision to the nearest whole number


def label_files(record: FrameRecord, yolo_class: dict[int, int]) -> tuple[str, str]:
    """Contents of the detection and the segmentation label file of one image, a line for each annotation.

    Boxes are `class x_centre y_centre width height` over the image size, exact to 0.00001. Segments are polygons along
    the centres of pixels, which become those pixels again when a trainer fills them; see `mask_polygon`.
    """
    if not record.annotations:
        return "", ""
    boxes = np.array([annotation.box for annotation in record.annotations], np.float64)
    detections = Detections(
        xyxy=np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
        class_id=np.array([yolo_class[annotation.class_id] for annotation in record.annotations]),
    )
    detect = detections_to_yolo_annotations(detections, record.frame.rgb.shape)
    segment = [_segment_line(yolo_class[annotation.class_id], annotation.visible) for annotation in record.annotations]
    return "\n".join(detect) + "\n", "\n".join(segment) + "\n"


def _segment_line(number: int, mask: np.ndarray) -> str:
    height, width = mask.shape
    points = (mask_polygon(mask) + CENTRE) / (width, height)
    return f"{number} " + " ".join(f"{value:.7f}" for value in points.ravel())


def data_yaml(names: list[str], train: str = "train.txt", val: str = "val.txt", **more) -> str:
    """The data.yaml that YOLO trainers take: where the images are (without `path`, so the folder may move), the names
    of the classes, and what else is given."""
    return yaml.safe_dump({"train": train, "val": val, "names": dict(enumerate(names)), **more}, sort_keys=False)
