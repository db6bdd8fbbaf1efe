"""Pictures of artefacts, from existing ones: contact sheets, overlays, plots."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np

from splatscope.annotate.card import draw_overlay
from splatscope.images import contact_sheet, decode_image
from splatscope.shards import Frame

PICTURES, COLUMNS, WIDTH = 12, 4, 320


def spread(count: int, pictures: int = PICTURES) -> list[int]:
    """Indices of at most `pictures` of `count` things, evenly spread."""
    return np.unique(np.linspace(0, max(0, count - 1), min(pictures, count)).round().astype(int)).tolist()


def sheet(images: Sequence[np.ndarray], columns: int = COLUMNS) -> np.ndarray:
    """uint8 [H, W, 3]: images of any sizes side by side, each fitted to the first one's shape."""
    height, width = images[0].shape[:2]
    fitted = [_fit(_in_colour(image), width, height) for image in images]
    return contact_sheet(fitted, min(columns, len(fitted)), min(WIDTH, width) if len(images) > 1 else width)


def annotated(frame: Frame) -> np.ndarray:
    """uint8 [H, W, 3]: a frame with the masks and boxes of its instances."""
    if frame.instance_map is None:
        return frame.rgb
    numbers = [int(number) for number in np.unique(frame.instance_map) if number]
    masks = [frame.visible_mask(number) for number in numbers]
    return draw_overlay(frame.rgb, masks, [box_of(mask) for mask in masks], [number - 1 for number in numbers])


def box_of(mask: np.ndarray) -> list[int]:
    """x, y, width, height of a mask bool [H, W]."""
    return list(cv2.boundingRect(mask.astype(np.uint8)))


def plot(draw, width: float = 9.0, height: float = 4.5) -> np.ndarray:
    """uint8 [H, W, 3]: what `draw(figure)` draws with matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    draw(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return decode_image(content.getvalue(), "plot")


def _in_colour(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    return np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image


def _fit(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scaled to fit, black around it."""
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[0])))
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return canvas
