"""The restyled picture of a frame foretold from the one before it, and how far to trust that.

What is carried is the restyled picture, along the exact flow. What the frame before did not see, or what has changed,
is for the diffusion model to draw; what that draws is carried on in its turn.

The unstyled frames, which are exact, say what may be carried. The light moves with the camera, so a carried picture is
brightened by what the unstyled frame has become brighter, smoothly over the picture. What then still differs between
the unstyled frame and its carried predecessor (a highlight that moved on, blood, smoke, char) is not trusted there.
Nor is what lay beside another surface and no longer does: a decoder draws some pixels at once, and what it drew beside
an instrument has something of the instrument.

Carrying costs a little of the finest detail each time, and a surface that comes nearer has more than was drawn of it:
`blend` adds detail of the drawn picture until there is as much as it has, and lets colours return to it slowly. So what
is lost or drifts does not pile up over a clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from splatscope.images import to_float
from splatscope.restyle.warping import carry_image, flow_positions, surfaces_of
from splatscope.shards import Frame

LIGHT_SIGMA = 0.03  # of the picture's width: shading is smoother than texture
DARK = 0.05  # sRGB; below it ratios of brightness are held back
LIGHT_OUTLIERS = (0.7, 0.2)  # of the logarithm of brightness, in a first and a second estimate
DIFFERENCE_LIMIT = 0.07  # sRGB, of the smoothed unstyled frames: trust falls to 1/e
BESIDE = 0.016  # of the picture's width: as far as a decoder mixes what lies side by side
SEAM_SIGMA = 0.012  # of the picture's width
COLOUR_SIGMA = 0.025  # of the picture's width
COLOUR_RETURN = 0.1
DETAIL_SIGMA = 0.7  # pixels: what one resampling costs; at 1.5 added detail piles up to leather in 30 frames
DETAIL_WINDOW_SIGMA = 6.0  # pixels over which detail is compared
KERNEL_SHARES = (
    0.7,
    0.9,
)  # of the kernel on the pixel's own surface: not trusted up to the first, in full from the second


@dataclass(frozen=True)
class Foretold:
    """What a restyled frame should look like, where it is known."""

    picture: np.ndarray  # float32 [H, W, 3], sRGB 0..1; the unstyled frame where nothing is known
    trust: np.ndarray  # float32 [H, W], 0..1
    surfaces: np.ndarray  # int32 [H, W]: see `warping.surfaces_of`


class Propagation:
    """Foretells the frames of one clip, in order: `foretell` a frame, then `accept` what it has become."""

    def __init__(self):
        self._before: tuple[Frame, np.ndarray] | None = None

    def foretell(self, frame: Frame) -> Foretold:
        """Nothing is trusted in the first frame, in one that knows no flow, and in one that does not follow the last by
        its key. Raises ValueError for a frame of another size."""
        raw, surfaces = to_float(frame.rgb), surfaces_of(frame)
        if self._before is None or frame.flow_backward is None or int(frame.key) != int(self._before[0].key) + 1:
            return Foretold(raw, np.zeros(surfaces.shape, np.float32), surfaces)
        earlier, restyled = self._before
        if earlier.rgb.shape != frame.rgb.shape:
            raise ValueError(f"frame {frame.key}: expected {list(earlier.rgb.shape)}, got {list(frame.rgb.shape)}")
        carried, share = carry_image(
            np.dstack([restyled, _smoothed(to_float(earlier.rgb)), _beside_another(surfaces_of(earlier))]),
            flow_positions(frame.flow_backward),
            surfaces_of(earlier),
            surfaces,
        )
        carried_restyled, carried_raw, smooth = carried[..., :3], carried[..., 3:6], _smoothed(raw)
        light = _brightening(carried_raw, smooth, share)[..., None]
        difference = np.abs(_brightened(carried_raw, light) - smooth).max(-1)
        trust = np.exp(-((difference / DIFFERENCE_LIMIT) ** 2)) * np.interp(share, KERNEL_SHARES, (0, 1))
        trust *= 1 - carried[..., 6].clip(0, 1) * (1 - _beside_another(surfaces))
        picture = np.where(share[..., None] > 0, np.clip(_brightened(carried_restyled, light), 0, 1), raw)
        return Foretold(picture, trust.astype(np.float32), surfaces)

    def accept(self, frame: Frame, restyled: np.ndarray) -> None:
        """The frame is finished: float32 [H, W, 3] in 0..1."""
        self._before = frame, restyled

    def forget(self) -> None:
        """A frame is left out: what came before cannot be followed past it."""
        self._before = None


def blend(foretold: Foretold, drawn: np.ndarray) -> np.ndarray:
    """float32 [H, W, 3]: the foretold picture as far as it is trusted, else the drawn one.

    Beside what is trusted the drawn picture is brought to the colours there, each surface by itself: else rims, which
    are drawn, would stand out. Colours of the whole, over COLOUR_SIGMA, come back to the drawn ones by COLOUR_RETURN a
    frame, lest they drift. Detail finer than DETAIL_SIGMA is added from the drawn picture until there is as much of it
    as there.
    """
    trust = foretold.trust[..., None]
    fitting = drawn + _step_at_seams(foretold, drawn)
    picture = fitting + trust * (foretold.picture - fitting)
    colour = cv2.GaussianBlur(drawn - picture, (0, 0), COLOUR_SIGMA * drawn.shape[1])
    picture += COLOUR_RETURN * trust * colour
    detail, wanted = _detail(picture), _detail(drawn)
    present, common, full = (
        cv2.GaussianBlur((first * second).mean(-1), (0, 0), DETAIL_WINDOW_SIGMA)
        for first, second in ((detail, detail), (detail, wanted), (wanted, wanted))
    )
    # the share that solves |detail + share wanted|^2 = |wanted|^2, of means over the window
    root = np.sqrt(np.maximum(common**2 + full * (full - present), 0))
    share = np.where(present < full, (root - common) / np.maximum(full, 1e-8), 0)
    return np.clip(picture + trust * share[..., None] * wanted, 0, 1).astype(np.float32)


def _step_at_seams(foretold: Foretold, drawn: np.ndarray) -> np.ndarray:
    """float32 [H, W, 3]: foretold minus drawn picture as it is nearby, on the same surface, where that is trusted."""
    step = np.zeros_like(drawn)
    weighted = np.dstack([foretold.trust[..., None] * (foretold.picture - drawn), foretold.trust])
    reach = int(np.ceil(3 * SEAM_SIGMA * drawn.shape[1]))
    for box, own in _regions(foretold.surfaces, reach):
        blurred = cv2.GaussianBlur(weighted[box] * own[..., None], (0, 0), SEAM_SIGMA * drawn.shape[1])
        step[box][own] = (blurred[..., :3] / (blurred[..., 3:] + np.float32(0.02)))[own]
    return step


def _regions(surfaces: np.ndarray, margin: int) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Of each surface the box around it, `margin` pixels wider, and bool: which pixels of the box are its own."""
    for surface in np.unique(surfaces):
        own = surfaces == surface
        box = tuple(
            slice(max(0, int(used[0]) - margin), int(used[-1]) + margin + 1)
            for used in (np.flatnonzero(own.any(axis)) for axis in (1, 0))
        )
        yield box, own[box]


def _beside_another(surfaces: np.ndarray) -> np.ndarray:
    """float32 [H, W]: 1 where another surface is within BESIDE."""
    numbers = np.unique(surfaces, return_inverse=True)[1].reshape(surfaces.shape).astype(np.uint16)
    radius = max(1, round(BESIDE * surfaces.shape[1]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    return (cv2.dilate(numbers, disc) != cv2.erode(numbers, disc)).astype(np.float32)


def _detail(image: np.ndarray) -> np.ndarray:
    return image - cv2.GaussianBlur(image, (0, 0), DETAIL_SIGMA)


def _brightening(carried: np.ndarray, present: np.ndarray, share: np.ndarray) -> np.ndarray:
    """float32 [H, W]: smooth logarithm of how much brighter the unstyled frame has become than the carried one."""
    ratio = np.log((present.mean(-1) + DARK) / (carried.mean(-1) + DARK))
    sigma = LIGHT_SIGMA * carried.shape[1]
    light = np.zeros_like(ratio)
    for limit in LIGHT_OUTLIERS:  # where more than the light has changed a pixel has no say
        weight = np.where(share > 0, np.exp(-(((ratio - light) / limit) ** 2)), 0).astype(np.float32)
        total, norm = (cv2.GaussianBlur(values, (0, 0), sigma) for values in (weight * ratio, weight))
        light = total / (norm + np.float32(0.01))
    return light


def _brightened(image: np.ndarray, logarithm: np.ndarray) -> np.ndarray:
    return (image + DARK) * np.exp(logarithm) - DARK


def _smoothed(raw: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(raw, (0, 0), 1.0)
