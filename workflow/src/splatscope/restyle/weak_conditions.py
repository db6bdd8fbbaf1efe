"""Weak conditions of real frames, estimated from their colours alone, so that they can teach a ControlNet.

Real frames have no maps. Without any, a ControlNet learns from simulated frames only, and with it that whatever has a
condition looks simulated. What is guessed here is rough, and meant to be: a class by colour (yellow is fat, dark red
liver, grey an instrument), soft edges where the smoothed picture changes, nearness by brightness, because the light
sits at the camera, and normals as if brightness were height. None of it is ever used as a label.
"""

from __future__ import annotations

import cv2
import numpy as np

from splatscope.classes import voc_colours

NOTHING, WALL, LIVER, GUT, FAT, GRASPER, BLOOD, GALLBLADDER = 0, 1, 2, 3, 4, 5, 7, 10

# CIE Lab of each class's typical colour; several rows where a class has several looks
_PROTOTYPES = (
    (NOTHING, (3, 0, 0)),
    (LIVER, (22, 24, 10)),
    (LIVER, (34, 27, 13)),
    (GUT, (60, 30, 14)),
    (WALL, (47, 23, 8)),
    (WALL, (68, 16, 6)),
    (FAT, (62, 16, 34)),
    (FAT, (48, 22, 32)),
    (FAT, (75, 6, 28)),
    (FAT, (60, 30, 40)),
    (GRASPER, (38, 1, 0)),
    (GRASPER, (62, 0, 1)),
    (GALLBLADDER, (60, 8, 8)),
    (GALLBLADDER, (46, 9, -7)),
    (BLOOD, (26, 46, 26)),
)
_WHITE_NEARNESS = 0.6  # the depth condition of a white area
_RELIEF = 0.5  # how high a white spot stands above black, in picture heights, where brightness is taken for height
_LIGHTNESS_WEIGHT = 0.6  # shading moves lightness more than hue tells classes apart


def guess_classes(rgb: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [H, W]: the class whose typical colour is nearest, in patches of some pixels' size."""
    lab = cv2.cvtColor(_smooth(rgb).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    scale = np.float32([_LIGHTNESS_WEIGHT, 1, 1])
    distance = [((lab - np.float32(colour)) * scale) ** 2 for _, colour in _PROTOTYPES]
    nearest = np.argmin([d.sum(axis=2) for d in distance], axis=0)
    classes = np.array([c for c, _ in _PROTOTYPES], np.uint8)[nearest]
    return cv2.medianBlur(cv2.medianBlur(classes, 9), 9)


def guess_scene(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [H, W, 3] -> the "scene" condition uint8 [H, W, 8] in 0..255, and the classes it was drawn with [H, W]."""
    classes = guess_classes(rgb)
    smooth = _smooth(rgb)
    lightness = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    nearness = _WHITE_NEARNESS * cv2.GaussianBlur(lightness, (0, 0), rgb.shape[0] / 24).clip(0, 1)
    relief = cv2.GaussianBlur(lightness, (0, 0), rgb.shape[0] / 42) * (_RELIEF * rgb.shape[0])
    leaning = np.dstack([cv2.Scharr(relief, cv2.CV_32F, *axis, scale=1 / 32) for axis in ((1, 0), (0, 1))])
    normals = np.dstack([leaning, np.ones_like(relief)]) / np.sqrt(1 + (leaning**2).sum(axis=2, keepdims=True))
    gradient = np.zeros(classes.shape, np.float32)
    for channel in np.moveaxis(cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32), 2, 0):
        across, down = cv2.Sobel(channel, cv2.CV_32F, 1, 0), cv2.Sobel(channel, cv2.CV_32F, 0, 1)
        gradient = np.maximum(gradient, np.hypot(across, down))
    edge = cv2.GaussianBlur((gradient / 110 - 0.25).clip(0, 1), (0, 0), 0.8)
    scene = np.dstack([nearness, 0.5 + 0.5 * normals, edge, voc_colours()[classes]])
    return np.rint(scene * 255).astype(np.uint8), classes


def _smooth(rgb: np.ndarray) -> np.ndarray:
    """Texture and highlights gone, outlines kept. Highlights must not be in a condition: exact ones have none."""
    size = 2 * (rgb.shape[0] // 56) + 1
    without_highlights = cv2.morphologyEx(
        rgb, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size,) * 2)
    )
    return cv2.bilateralFilter(cv2.medianBlur(without_highlights, 5), 9, 30, 5)
