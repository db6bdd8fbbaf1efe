"""A small results tree as the chain leaves it, fabricated from drawings, for tests of the last stages."""

from __future__ import annotations

import cv2
import numpy as np

from splatscope.geometry import Camera, look_at, make_transform
from splatscope.shards import Frame

CAMERA = Camera(128, 96, 110.0, 110.0, 64.0, 48.0)
DRIVER, GRASPER = 14, 5
CLASS_TABLE = {0: "background", 5: "grasper", 14: "needle driver", 255: "ignore"}


def tissue(index: int, width: int = 128, height: int = 96, sharp: float = 1.0) -> np.ndarray:
    """uint8 [H, W, 3]: a reddish texture that drifts with `index`."""
    y, x = np.mgrid[:height, :width] * (128 / width)
    wave = np.sin(0.21 * x + 0.3 * index) + np.sin(0.17 * y - 0.2 * index) + 0.5 * np.sin(0.5 * (x + y)) * sharp
    shade = 0.5 + 0.16 * wave
    return (np.stack([shade * 220, shade * 110, shade * 100], -1)).clip(0, 255).astype(np.uint8)


def tool_masks(index: int, width: int = 128, height: int = 96, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Visible and amodal bool [H, W] of a slanted tool; tissue hides a strip of it."""
    scale = width / 128
    amodal = np.zeros((height, width), np.uint8)
    tip = np.array([40 + 2 * index % 50 + shift, 40 + index % 20])
    corners = np.array([tip, tip + [90, 30], tip + [84, 44], tip + [-4, 9]]) * scale
    cv2.fillPoly(amodal, [corners.round().astype(np.int32)], 1)
    hidden = np.zeros_like(amodal, bool)
    start = int((tip[0] + 22) * scale)
    hidden[:, start : start + int((index % 4) * 5 * scale)] = True
    return (amodal == 1) & ~hidden, amodal == 1


def frame(index: int, recording: str = "scene", *, shift: float = 0.0, second: bool = False, key=None) -> Frame:
    """A rendered frame: the needle driver, and with `second` a small grasper."""
    height, width = CAMERA.height, CAMERA.width
    visible, amodal = tool_masks(index, shift=shift)
    instance = np.where(visible, 1, 0).astype(np.uint8)
    class_map = np.where(visible, DRIVER, 0).astype(np.uint8)
    bits = np.where(amodal, 1, 0).astype(np.uint16)
    rgb = tissue(index, sharp=0.9)
    rgb[visible] = (170, 175, 185)
    world_from_camera = look_at(np.array([0.0, 5 * np.sin(index / 3), -80]), np.zeros(3), np.array([0, -1.0, 0]))
    tools = [("needle_driver", DRIVER, make_transform(np.eye(3), [3.0, index, 10]))]
    if second:
        square = np.zeros((height, width), bool)
        square[10 : 16 + index % 7, 12 : 20 + index % 5] = True
        instance[square], class_map[square] = 2, GRASPER
        bits |= (square.astype(np.uint16)) << 1
        rgb[square] = (90, 95, 100)
        tools.append(("grasper", GRASPER, make_transform(np.eye(3), [1.0, 2, 3])))
    return Frame(
        key or f"{index:06d}",
        rgb,
        {
            "camera": CAMERA.to_dict(),
            "world_from_camera": world_from_camera.tolist(),
            "recording": recording,
            "frame": index,
            "instances": [
                {"instance": number, "name": name, "class_id": class_id, "world_from_tool_sensor": pose.tolist()}
                for number, (name, class_id, pose) in enumerate(tools, start=1)
            ],
        },
        class_map=class_map,
        instance_map=instance,
        amodal_bits=bits,
        depth_mm=np.full((height, width), 80, np.float32),
        alpha=np.full((height, width), 255, np.uint8),
    )
