"""COCO annotations: run-length masks, boxes, and what COCO has no field for under keys of its own.

Extra keys of an annotation: `visibility` (visible over amodal area, 0..1), `amodal_segmentation` (RLE), `instance`
(its number in the instance mask) and `camera_from_tool_sensor` (4x4, mm, OpenCV camera axes; null when unknown).
"""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask

from splatscope.annotate.records import Annotation, FrameRecord


def encode_rle(mask: np.ndarray) -> dict:
    """COCO's compressed run-length encoding of a bool mask [H, W], as JSON can hold it."""
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def image_entry(record: FrameRecord, image_id: int, file_name: str) -> dict:
    width, height = record.size
    entry = {"id": image_id, "file_name": file_name, "width": width, "height": height, "license": 1}
    known = ("source", "time_s", "phase", "triplets")
    return entry | {key: record.frame.meta[key] for key in known if key in record.frame.meta}


def annotation_entry(annotation: Annotation, annotation_id: int, image_id: int) -> dict:
    entry = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": annotation.class_id,
        "segmentation": encode_rle(annotation.visible),
        "area": annotation.area,
        "bbox": list(annotation.box),
        "iscrowd": 0,
        "instance": annotation.instance,
        "name": annotation.name,
        "visibility": round(annotation.visibility, 6),
        "amodal_segmentation": encode_rle(annotation.amodal),
        "camera_from_tool_sensor": _rounded(annotation.camera_from_tool_sensor),
    }
    if annotation.camera_from_tool is not None:
        entry["camera_from_tool"] = _rounded(annotation.camera_from_tool)
    if annotation.keypoints:
        entry["keypoints"] = [value for name in sorted(annotation.keypoints) for value in annotation.keypoints[name]]
        entry["num_keypoints"] = sum(point[2] > 0 for point in annotation.keypoints.values())
    return entry


def _rounded(pose: np.ndarray | None) -> list | None:
    return None if pose is None else np.round(pose, 9).tolist()


def coco_document(
    images: list[dict],
    annotations: list[dict],
    categories: dict[int, str],
    keypoints: dict[int, list[str]],
    name: str,
    licence: str,
    author: str,
) -> dict:
    """`keypoints`: their names by category, in the order of the annotations' triples."""
    return {
        "info": {"description": f"{name}, made by SplatScope", "version": "1", "contributor": author},
        "licenses": [{"id": 1, "name": licence, "url": ""}],
        "categories": [
            {"id": identifier, "name": label, "supercategory": "instrument"}
            | ({"keypoints": keypoints[identifier], "skeleton": []} if identifier in keypoints else {})
            for identifier, label in categories.items()
        ],
        "images": images,
        "annotations": annotations,
    }
