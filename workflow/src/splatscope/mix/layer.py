"""An instrument drawn alone, and its labels laid into a frame by depth.

One function for both directions: it asks nothing of the layer but colour, opacity and depth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from splatscope.images import resize_area
from splatscope.shards import Frame

FINE = 3  # samples of a layer for each pixel of the frame, along each side; odd, so that one is the pixel's centre
OWNED = 0.5  # an instance owns a pixel when its share of the colour exceeds this
DEPTH_STEP_MM = 3.0  # neighbours farther apart in depth are different surfaces
_FROM_CENTRE = np.argsort(
    [abs(row - FINE // 2) + abs(column - FINE // 2) for row in range(FINE) for column in range(FINE)], kind="stable"
)


@dataclass(frozen=True)
class Layer:
    """What a camera sees of one instrument alone, FINE samples to a pixel: arrays [FINE * H, FINE * W]."""

    alpha: np.ndarray  # float32, 0..1
    depth_mm: np.ndarray  # float32 along the optical axis; 0 where alpha is 0
    colour: np.ndarray | None = None  # float32 [.., 3] linear radiance times alpha; None: not drawn yet
    normals: np.ndarray | None = None  # float32 [.., 3] unit, camera axes; None: not known
    points: np.ndarray | None = None  # float32 [.., 4]: object number of the layer (1..), its point at rest, mm


@dataclass(frozen=True)
class Cover:
    """How a layer covers a frame."""

    seen: np.ndarray  # float32 [FINE * H, FINE * W]: opacity where the layer is before the frame's surfaces, else 0
    share: np.ndarray  # float32 [H, W]: of the pixel's colour
    alone: np.ndarray  # float32 [H, W]: what the share would be if nothing hid it
    owned: np.ndarray  # bool [H, W]: visible mask
    amodal: np.ndarray  # bool [H, W]

    @property
    def visibility(self) -> float:
        """Visible over amodal area."""
        return float(self.owned.sum() / max(1, self.amodal.sum()))


def cover(layer: Layer, depth_mm: np.ndarray, inside: np.ndarray) -> Cover:
    """Where the layer is seen before surfaces of depth `depth_mm` [H, W] (0: nothing there), within `inside` [H, W]."""
    height, width = depth_mm.shape
    behind = finer_depth(depth_mm)
    seen = layer.alpha * ((layer.depth_mm < behind) | (behind == 0))
    share, alone = (resize_area(value, width, height) * inside for value in (seen, layer.alpha))
    owned = share > OWNED
    return Cover(seen, share, alone, owned, (alone > OWNED) | owned)


def lay_labels(frame: Frame, layer: Layer, covered: Cover, instance: int, class_id: int, first_object: int) -> Frame:
    """The frame with the layer's labels; colour and meta data stay as they are.

    Where the layer owns a pixel, depth, normal and surface point are those of its sample nearest to the pixel's centre
    that is seen; a normal or point that the layer does not know becomes 0. Objects of its surface points count from
    `first_object`. Optical flow goes: where the pixel was or will be, no other frame shows.
    """
    owned, bit = covered.owned, np.uint16(1 << (instance - 1))
    samples = _blocks(covered.seen)[:, _FROM_CENTRE] > OWNED
    nearest = _FROM_CENTRE[samples.argmax(1)]

    def laid(old: np.ndarray | None, new: np.ndarray | None) -> np.ndarray | None:
        if old is None:
            return None
        value = old.copy()
        value[owned] = 0 if new is None else _picked(new, nearest)[owned]
        return value

    points = layer.points
    if points is not None:
        points = points.copy()
        points[..., 0] += np.where(points[..., 0] > 0, first_object - 1, 0)
    alpha = frame.alpha
    if alpha is not None:
        mixed = alpha * (1 - covered.share) + 255 * covered.share
        alpha = np.where(covered.share > 0, np.rint(mixed), alpha).astype(np.uint8)
    return replace(
        frame,
        class_map=np.where(owned, np.uint8(class_id), frame.class_map),
        instance_map=np.where(owned, np.uint8(instance), frame.instance_map),
        amodal_bits=frame.amodal_bits | np.where(covered.amodal, bit, np.uint16(0)),
        depth_mm=laid(frame.depth_mm, layer.depth_mm),
        alpha=alpha,
        normals=laid(frame.normals, layer.normals),
        surface_points=laid(frame.surface_points, points),
        flow_forward=None,
        flow_backward=None,
    )


def finer_depth(depth_mm: np.ndarray) -> np.ndarray:
    """Depth [FINE * H, FINE * W]: bilinear on a surface, the pixel's own where surfaces end."""
    size = depth_mm.shape[1] * FINE, depth_mm.shape[0] * FINE
    around = np.ones((3, 3), np.uint8)
    step = cv2.dilate(depth_mm, around) - cv2.erode(depth_mm, around) > DEPTH_STEP_MM
    smooth, own = (cv2.resize(depth_mm, size, interpolation=how) for how in (cv2.INTER_LINEAR, cv2.INTER_NEAREST))
    return np.where(cv2.resize(step.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), own, smooth)


def _blocks(fine: np.ndarray) -> np.ndarray:
    """[H * W, FINE * FINE, ..]: the samples of each pixel."""
    height, width = fine.shape[0] // FINE, fine.shape[1] // FINE
    split = fine.reshape(height, FINE, width, FINE, *fine.shape[2:]).swapaxes(1, 2)
    return split.reshape(height * width, FINE * FINE, *fine.shape[2:])


def _picked(fine: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """[H, W, ..]: of each pixel the sample with this number [H * W]."""
    values = _blocks(fine)[np.arange(len(sample)), sample]
    return values.reshape(fine.shape[0] // FINE, fine.shape[1] // FINE, *fine.shape[2:])
