"""Clips whose surfaces, motion and restyled look are known exactly, for the tests of consistency."""

import cv2
import numpy as np

from splatscope.shards import Frame

HEIGHT, WIDTH = 96, 128
FOCAL_PX = 93.0
MM_PER_PX = 0.9


def sliding_frame(index, step_px=(8.0, 0.0), *, slanted=False, bar=True, height=HEIGHT, width=WIDTH, light=0.0):
    """A textured plane (object 1) that moves by step_px to the right and down from frame to frame, and in front of it
    an upright bar (object 2, instance 1) that stands still. `slanted`: the plane's millimetres per pixel double across.
    `light`: how much brighter each frame is than the one before."""
    across, down = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
    behind = np.zeros((height, width), bool)
    if bar:
        behind[:, width // 2 : width // 2 + 12] = True
    x, y = across - index * step_px[0], down - index * step_px[1]  # the pixel of frame 0 that shows the same point
    place = np.stack([MM_PER_PX * x * (1 + x / width if slanted else 1), MM_PER_PX * y, np.zeros_like(x)], -1)
    points = np.dstack([np.where(behind, 2, 1), np.where(behind[..., None], np.dstack([across, down, down]), place)])
    colour = 0.45 + 0.2 * np.stack([np.sin(0.35 * x + phase) * np.cos(0.3 * y) for phase in (0, 1, 2)], -1)
    colour[behind] = (0.2, 0.2, 0.25)
    colour *= (1 + light) ** index
    meta = {"camera": {"fx": FOCAL_PX}}
    frame = Frame(f"{index:06d}", (np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8), meta)
    frame.surface_points = points.astype(np.float32)
    frame.class_map = np.where(behind, 5, 2).astype(np.uint8)
    frame.instance_map = behind.astype(np.uint8)
    frame.flow_forward = _flow(across, down, behind, step_px)
    frame.flow_backward = _flow(across, down, behind, (-step_px[0], -step_px[1]))
    return frame


def _flow(across, down, behind, step):
    x, y = across + step[0], down + step[1]
    height, width = behind.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    hidden = behind[np.clip(y.astype(int), 0, height - 1), np.clip(x.astype(int), 0, width - 1)]
    state = np.where(behind | (inside & ~hidden), 1, 2)
    return np.dstack([np.where(behind, 0, step[0]), np.where(behind, 0, step[1]), state]).astype(np.float32)


def flickering(frame, seed=0, amount=0.12):
    """float32 [H, W, 3]: the frame in other colours with blotches of its own, as a diffusion model would draw it."""
    rng = np.random.default_rng([seed, int(frame.key)])
    height, width = frame.rgb.shape[:2]
    coarse = rng.normal(0, amount, (height // 4, width // 4, 3)).astype(np.float32)
    recoloured = frame.rgb.astype(np.float32) / 255 * np.float32([1.2, 0.9, 0.8]) + np.float32(0.05)
    return np.clip(recoloured + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
