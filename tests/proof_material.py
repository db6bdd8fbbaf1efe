"""Small labelled frames with the five classes of the public protocol, for tests of what proves a restyling."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from splatscope.restyle.labelled_images import GROUP_NAMES, LabelledImage, group_of_class
from splatscope.restyle.segmenter import Segmenter
from splatscope.shards import Frame

CLASS_TABLE = {
    "background": 0,
    "abdominal wall": 1,
    "liver": 2,
    "fat": 4,
    "grasper": 5,
    "blood": 7,
    "l-hook electrocautery": 9,
    "gallbladder": 10,
    "ignore": 255,
}
GROUP_OF = group_of_class(CLASS_TABLE)
WALL, LIVER, FAT, GRASPER, BLOOD, HOOK, GALLBLADDER = 1, 2, 4, 5, 7, 9, 10
COLOURS = {0: (0, 0, 0), WALL: (150, 90, 85), LIVER: (120, 45, 40), FAT: (200, 160, 80), GRASPER: (150, 150, 160)}
COLOURS |= {BLOOD: (140, 10, 10), HOOK: (60, 62, 70), GALLBLADDER: (150, 170, 110)}
torch.set_num_threads(1)


def frame(index: int, width: int = 160, height: int = 128) -> Frame:
    """Wall above, liver, fat below, a gallbladder, a grasper before the liver and the gallbladder, a hook."""
    rng = np.random.default_rng([7, index])
    classes = np.full((height, width), WALL, np.uint8)
    depth = np.full((height, width), 120, np.float32)
    instances = np.zeros((height, width), np.uint8)
    shift = rng.integers(-8, 9, 2)

    def draw(class_id: int, depth_mm: float, instance: int, shape) -> None:
        mask = np.zeros((height, width), np.uint8)
        shape(mask)
        classes[mask > 0], depth[mask > 0], instances[mask > 0] = class_id, depth_mm, instance

    def ellipse(x, y, a, b):
        centre, axes = (int(x + shift[0]), int(y + shift[1])), (int(a), int(b))
        return lambda mask: cv2.ellipse(mask, centre, axes, 10, 0, 360, 1, -1)

    def shaft(x0, y0, x1, y1, thickness):
        return lambda mask: cv2.line(
            mask, (int(x0), int(y0)), (int(x1 + shift[0]), int(y1 + shift[1])), 1, int(thickness)
        )

    draw(LIVER, 100, 0, ellipse(0.5 * width, 0.5 * height, 0.42 * width, 0.3 * height))
    draw(FAT, 90, 0, lambda mask: mask[int(0.72 * height) + shift[1] :].fill(1))
    draw(GALLBLADDER, 85, 0, ellipse(0.35 * width, 0.6 * height, 0.14 * width, 0.16 * height))
    draw(GRASPER, 60, 1, shaft(0, 0.3 * height, 0.4 * width, 0.6 * height, 0.07 * height))
    draw(HOOK, 60, 2, shaft(width - 1, 0, 0.65 * width, 0.5 * height, 0.05 * height))
    colours = np.zeros((256, 3))
    for class_id, colour in COLOURS.items():
        colours[class_id] = colour
    image = cv2.GaussianBlur(colours[classes] + rng.normal(0, 4, (height, width, 3)), (0, 0), 0.6)
    return Frame(
        f"{index:06d}",
        image.clip(0, 255).astype(np.uint8),
        class_map=classes,
        instance_map=instances,
        depth_mm=depth,
    )


def labelled(count: int, first: int = 0) -> list[LabelledImage]:
    frames = (frame(first + index) for index in range(count))
    return [LabelledImage(item.rgb, GROUP_OF[item.class_map]) for item in frames]


class NearestColour(Segmenter):
    """Stands in for a trained segmenter: the protocol's class whose colour is nearest."""

    def __init__(self):
        super().__init__(torch.nn.Identity(), "unet", None, None, "colours")
        known = [(GROUP_OF[class_id], colour) for class_id, colour in COLOURS.items() if GROUP_OF[class_id] != 255]
        self.groups = np.array([group for group, _ in known], np.uint8)
        self.colours = np.array([colour for _, colour in known], np.float32)
        assert set(self.groups.tolist()) == set(range(len(GROUP_NAMES)))

    def predict(self, images) -> np.ndarray:
        pixels = np.asarray(images, np.float32)
        return self.groups[((pixels[..., None, :] - self.colours) ** 2).sum(-1).argmin(-1)]
