"""Making a layer look as if the frame's own endoscope had filmed it: exposure, haze, sharpness, noise, contact shade.

Frames are read as sRGB with the soft shoulder of `meshes.endoscope`; light is added where light adds, in linear units.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from splatscope.images import resize_area
from splatscope.meshes.endoscope import FULL_SCALE, LEVELS, display_table
from splatscope.mix.layer import Cover, Layer

TISSUE_RED = 0.30  # median red radiance of tissue at REFERENCE_MM under the renderer's light: organs agree best in red
REFERENCE_MM = 70.0
NOISE_BLOCK = 16  # pixels

_DISPLAY = display_table()
_LINEAR = np.interp(
    np.arange(256),
    *(values.astype(np.float64) for values in np.unique(_DISPLAY, return_index=True)),
).astype(np.float32) * np.float32(FULL_SCALE / LEVELS)


def to_linear(levels: np.ndarray) -> np.ndarray:
    """float32 radiance of sRGB levels 0..255, whole or not; what the display cuts off stays cut off."""
    return np.interp(levels, np.arange(256), _LINEAR).astype(np.float32)


def to_display(radiance: np.ndarray) -> np.ndarray:
    """uint8 sRGB of linear radiance."""
    return _DISPLAY[np.rint(np.clip(radiance, 0, FULL_SCALE) * (LEVELS / FULL_SCALE)).astype(np.uint16)]


def reference_brightness(radiance: np.ndarray, depth_mm: np.ndarray, rays: np.ndarray, where: np.ndarray) -> float:
    """Median red radiance at `where` [H, W], brought to REFERENCE_MM from a light at the camera by the square law.

    `radiance` [H, W, 3] linear; `rays` [H, W, 2] of the image plane at depth 1.
    """
    squared = depth_mm[where] ** 2 * (1 + (rays[where] ** 2).sum(-1))
    return float(np.median(radiance[where][:, 0] * squared)) / REFERENCE_MM**2


@dataclass(frozen=True)
class Filming:
    """What a frame says of how it was filmed."""

    exposure: float  # 1: as bright as the renderer's scenes
    haze: float  # radiance that smoke or mist adds everywhere
    noise: float  # standard deviation in levels of 255

    @classmethod
    def of(cls, rgb: np.ndarray, depth_mm: np.ndarray, rays: np.ndarray, tissue: np.ndarray) -> Filming:
        """Estimated from a frame and its tissue's pixels [H, W]."""
        radiance = to_linear(rgb)
        exposure = reference_brightness(radiance, depth_mm, rays, tissue) / TISSUE_RED
        return cls(exposure, float(np.percentile(radiance[tissue].min(-1), 0.5)), noise_level(rgb))


def noise_level(rgb: np.ndarray) -> float:
    """Standard deviation of the noise in levels, from the smoothest tenth of the image (Immerkaer 1996, in blocks)."""
    grey = rgb[..., 1].astype(np.float32)
    response = np.abs(cv2.filter2D(grey, -1, np.float32([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])))
    rows, columns = (side // NOISE_BLOCK for side in grey.shape)
    blocks = response[: rows * NOISE_BLOCK, : columns * NOISE_BLOCK]
    blocks = blocks.reshape(rows, NOISE_BLOCK, columns, NOISE_BLOCK).mean((1, 3))
    lit = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA) > 16
    return float(np.percentile(blocks[lit], 10) * np.sqrt(np.pi / 2) / 6) if lit.any() else 0.0


def contact_shade(layer: Layer, covered: Cover, depth_mm: np.ndarray, reach_mm: float, focal_px: float) -> np.ndarray:
    """float32 [H, W], 0..1: how much of the surroundings the layer hides from the surfaces just behind it.

    Screen space: its share of the neighbourhood of `reach_mm`, fading as the gap between both grows.
    """
    height, width = depth_mm.shape
    own_depth = resize_area(layer.depth_mm * covered.seen, width, height)
    own = resize_area(covered.seen, width, height)
    typical = max(float(np.median(depth_mm[depth_mm > 0])), 1.0) if (depth_mm > 0).any() else REFERENCE_MM
    sigma = reach_mm * focal_px / typical
    near, near_depth = (cv2.GaussianBlur(value, (0, 0), sigma) for value in (own, own_depth))
    gap = np.maximum(depth_mm - near_depth / np.maximum(near, 1e-3), 0)
    return np.where(depth_mm > 0, near * np.exp(-gap / reach_mm), 0).astype(np.float32)


def blend(
    rgb: np.ndarray,
    layer: Layer,
    covered: Cover,
    inside: np.ndarray,
    filming: Filming | None,
    shade: np.ndarray,
    blur_px: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """uint8 [H, W, 3]: the layer over the frame; pixels that it neither covers nor shades stay as they are.

    `shade` [H, W] darkens what is behind. Without `filming` the layer's colours are taken as they are.
    """
    height, width = rgb.shape[:2]
    light = layer.colour * np.where(layer.alpha > 0, covered.seen / np.maximum(layer.alpha, 1e-6), 0)[..., None]
    light, share = resize_area(light, width, height), resize_area(covered.seen, width, height)
    if blur_px > 0:
        light, share = (cv2.GaussianBlur(value, (0, 0), blur_px) for value in (light, share))
    light, share = light * inside[..., None], share * inside
    if filming is not None:
        light = light * (1 - filming.haze) + filming.haze * share[..., None]
    mixed = to_linear(rgb) * ((1 - shade) * (1 - share))[..., None] + light
    beyond = rgb - to_display(to_linear(rgb)).astype(np.float32)  # what of the frame the display curve cannot show
    levels = to_display(mixed) + beyond * (1 - share)[..., None]
    noise = cv2.GaussianBlur(rng.standard_normal(rgb.shape).astype(np.float32), (0, 0), 0.55)
    levels += noise * (share * (filming.noise / noise.std() if filming else 0))[..., None]
    changed = (share > 1 / 512) | (shade > 1 / 512)
    return np.where(changed[..., None], np.clip(np.rint(levels), 0, 255).astype(np.uint8), rgb)
