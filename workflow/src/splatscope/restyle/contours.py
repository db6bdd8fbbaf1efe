"""Contours of labelled regions and what an image does across them.

Every point of a region's visible contour has a normal; the image is read along it, from inside to outside. Where it
changes most is where the picture has the edge that the labels say is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from splatscope.classes import BACKGROUND_ID, IGNORE_ID
from splatscope.shards import Frame

REFERENCE_WIDTH = 320  # px: frame width for which lengths here are stated; they grow with the frame
REACH_PX = 8.0  # how far to either side the image is read
STEPS = 33  # samples on the way: half a pixel apart
ALONG = 9  # contour points that are averaged: texture varies along a contour, the edge does not
LEAST_REGION = 1e-3  # share of the frame below which a region is not judged
OCCLUSION_STEP = 0.02  # relative depth step from which a contour is taken for one surface hiding another


@dataclass(frozen=True)
class Region:
    """What is judged as one: an instance, or all of a class that has no instances."""

    name: str
    class_id: int
    instance: int  # 0: a class without instances
    mask: np.ndarray  # bool [H, W]
    points: np.ndarray  # float32 [P, 2]: x, y of its contour with other labels, in order
    normals: np.ndarray  # float32 [P, 2]: unit, pointing outwards
    occludes: np.ndarray  # bool [P]: the region hides what lies behind it there


def regions_of(frame: Frame, class_names: dict[int, str] | None = None) -> list[Region]:
    """Regions of a frame that are large enough to judge: instances first, then classes, each by number.

    Contours end where the frame, the round view or an ignored pixel begins: no label is compared there.
    """
    names = class_names or {}
    instances = frame.instance_map if frame.instance_map is not None else np.zeros_like(frame.class_map)
    least = LEAST_REGION * frame.class_map.size
    found = []
    for instance in np.unique(instances[instances > 0]).tolist():
        mask = instances == instance
        if mask.sum() >= least:
            class_id = int(np.bincount(frame.class_map[mask]).argmax())
            found.append((f"{names.get(class_id, f'class {class_id}')} {instance}", class_id, instance, mask))
    for class_id in np.unique(frame.class_map).tolist():
        mask = (frame.class_map == class_id) & (instances == 0)
        if class_id not in (BACKGROUND_ID, IGNORE_ID) and mask.sum() >= least:
            found.append((names.get(class_id, f"class {class_id}"), class_id, 0, mask))
    return [Region(*entry, *_contour(frame, entry[3])) for entry in found]


def scale_of(width: int) -> float:
    """What lengths in pixels of a frame REFERENCE_WIDTH wide are multiplied by."""
    return width / REFERENCE_WIDTH


def profiles(image: np.ndarray, region: Region) -> np.ndarray:
    """float32 [P, STEPS, 3], CIELAB, averaged along the contour: the image across it, from inside to outside.

    `image` is uint8 [H, W, 3] sRGB.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), 0.7 * scale_of(image.shape[1]))
    offsets = np.linspace(-REACH_PX, REACH_PX, STEPS, dtype=np.float32) * np.float32(scale_of(image.shape[1]))
    places = region.points[:, None] + offsets[None, :, None] * region.normals[:, None]
    sampled = cv2.remap(lab, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.blur(sampled, (1, ALONG), borderType=cv2.BORDER_REPLICATE)


def edge_offsets(across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where along each profile the colour changes most, px of REFERENCE_WIDTH from the contour, and by how much.

    float32 [P], signed, positive outside; float32 [P], CIELAB units over 2 px. From profiles [P, STEPS, 3].
    """
    span = 4  # samples: 2 px
    change = np.linalg.norm(across[:, span:] - across[:, :-span], axis=2)
    best = change.argmax(1)
    step = 2 * REACH_PX / (STEPS - 1)
    return ((best + span / 2) * step - REACH_PX).astype(np.float32), change[np.arange(len(change)), best]


def side_contrast(across: np.ndarray) -> np.ndarray:
    """float32 [P]: CIELAB distance between the mean colours 1 to 5 px inside and outside, from [P, STEPS, 3]."""
    middle, near, far = STEPS // 2, 2, 10
    inside, outside = across[:, middle - far : middle - near + 1], across[:, middle + near : middle + far + 1]
    return np.linalg.norm(inside.mean(1) - outside.mean(1), axis=1)


def _contour(frame: Frame, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    height, width = mask.shape
    scale = scale_of(width)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    pixels = np.concatenate([outline[:, 0] for outline in outlines]) if outlines else np.zeros((0, 2), np.int32)
    # smoothing the mask gives normals that do not follow the stairs of its pixels
    smooth = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0 * scale)
    towards = -np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)], axis=-1)
    normals = towards[pixels[:, 1], pixels[:, 0]]
    length = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(length, 1e-9)[:, None]
    # contour pixels lie within the mask, the edge half a pixel outside
    points = pixels.astype(np.float32) + 0.5 * normals
    nothing = np.isin(frame.class_map, (BACKGROUND_ID, IGNORE_ID)).astype(np.uint8)
    near_nothing = cv2.dilate(nothing, np.ones((5, 5), np.uint8)) > 0
    inner = (pixels >= 2).all(1) & (pixels[:, 0] < width - 2) & (pixels[:, 1] < height - 2)
    kept = inner & (length > 1e-4) & ~near_nothing[pixels[:, 1], pixels[:, 0]]
    points, normals = points[kept], normals[kept].astype(np.float32)
    return points, normals, _hides(frame.depth_mm, points, normals, scale)


def _hides(depth_mm: np.ndarray | None, points: np.ndarray, normals: np.ndarray, scale: float) -> np.ndarray:
    """bool [P]: 2 px outside lies farther away than 2 px inside by more than a slope explains."""
    if depth_mm is None or not len(points):
        return np.zeros(len(points), bool)

    def at(offset: float) -> np.ndarray:
        places = np.rint(points + offset * scale * normals).astype(int)
        return depth_mm[
            places[:, 1].clip(0, depth_mm.shape[0] - 1), places[:, 0].clip(0, depth_mm.shape[1] - 1)
        ].astype(np.float32)

    inside, outside = at(-2.0), at(2.0)
    return (inside > 0) & (outside > inside * (1 + OCCLUSION_STEP))
