"""The restyled picture of a frame foretold from those before it, and how far to trust that.

What is carried is the restyled picture, along the exact flow, from two sources: a key frame some frames back, reached
by joining the flows in between, so that it is resampled once however many frames lie between (resampled at every frame
a picture would blur away), and the frame before, for what the key frame did not see. What neither saw, or what changed,
is for the diffusion model to draw.

The unstyled frames, which are exact, say what may be carried. The light moves with the camera, so a carried picture is
brightened by what the unstyled frame has become brighter, smoothly over the picture. What then still differs between
the unstyled frame and its carried predecessor (a highlight that moved on, blood, smoke, char) is not trusted there.

A surface that comes nearer has more detail than was drawn of it: where a carried picture has less than a drawn one, the
missing share is the drawn one's (`blend`), and carried on from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from splatscope.images import to_float
from splatscope.restyle.warping import carry_image, carry_positions, flow_positions, pixel_centres, surfaces_of
from splatscope.shards import Frame

KEY_FRAME_INTERVAL = 12  # frames
KEY_FRAME_COVER = 0.6  # share of the picture; below it the key frame is renewed
LIGHT_SIGMA = 0.03  # of the picture's width: shading is smoother than texture
DARK = 0.05  # sRGB; below it ratios of brightness are held back
BRIGHTEN_LIMIT = 0.7  # of the logarithm
DIFFERENCE_LIMIT = 0.07  # sRGB, of the smoothed unstyled frames: trust falls to 1/e
DETAIL_SIGMA = 2.0  # pixels
DETAIL_WINDOW_SIGMA = 6.0  # pixels over which detail is compared
WHOLE_KERNEL = 0.9  # share of the kernel on the pixel's own surface that is trusted in full; half of it is not at all


@dataclass(frozen=True)
class Foretold:
    """What a restyled frame should look like, where it is known."""

    picture: np.ndarray  # float32 [H, W, 3], sRGB 0..1; the unstyled frame where nothing is known
    trust: np.ndarray  # float32 [H, W], 0..1


@dataclass(frozen=True)
class _Source:
    """A finished frame to carry from."""

    raw: np.ndarray  # float32 [H, W, 3], smoothed against image noise
    restyled: np.ndarray  # float32 [H, W, 3]
    surfaces: np.ndarray  # int32 [H, W]


class Propagation:
    """Foretells the frames of one clip, in order: `foretell` a frame, then `accept` what it has become."""

    def __init__(self):
        self._previous: _Source | None = None
        self._key: _Source | None = None
        self._key_positions: np.ndarray | None = None  # in the key frame, of the pixels of the frame before
        self._next_key_positions: np.ndarray | None = None
        self._age = 0
        self._frame_number: int | None = None

    def foretell(self, frame: Frame) -> Foretold:
        """Nothing is trusted in the first frame, in one that knows no flow, and in one that does not follow the last by
        its key. Raises ValueError for a frame of another size."""
        raw, surfaces = to_float(frame.rgb), surfaces_of(frame)
        if self._previous is not None and self._previous.raw.shape != raw.shape:
            raise ValueError(f"frame {frame.key}: expected {list(self._previous.raw.shape)}, got {list(raw.shape)}")
        if frame.flow_backward is None or self._frame_number is None or int(frame.key) != self._frame_number + 1:
            self._next_key_positions = None
            return Foretold(raw, np.zeros(surfaces.shape, np.float32))
        positions = flow_positions(frame.flow_backward)
        self._next_key_positions = carry_positions(self._key_positions, positions, self._previous.surfaces, surfaces)
        smooth = _smoothed(raw)
        recent = _carry(self._previous, positions, smooth, surfaces)
        if self._age == 0:  # the key frame is the frame before
            return _over(recent, Foretold(raw, np.zeros_like(recent.trust)))
        key = _carry(self._key, self._next_key_positions, smooth, surfaces)
        return _over(key, _over(recent, Foretold(raw, np.zeros_like(recent.trust))))

    def accept(self, frame: Frame, restyled: np.ndarray) -> None:
        """The frame last foretold is finished: float32 [H, W, 3] in 0..1."""
        source = _Source(_smoothed(to_float(frame.rgb)), restyled, surfaces_of(frame))
        self._previous, self._frame_number = source, int(frame.key)
        self._key_positions, self._next_key_positions = self._next_key_positions, None
        self._age += 1
        cover = 0 if self._key_positions is None else np.isfinite(self._key_positions[..., 0]).mean()
        if cover < KEY_FRAME_COVER or self._age >= KEY_FRAME_INTERVAL:
            self._key, self._key_positions, self._age = source, pixel_centres(*source.surfaces.shape), 0

    def forget(self) -> None:
        """A frame is left out: what came before cannot be followed past it."""
        self._previous = None


def blend(foretold: Foretold, drawn: np.ndarray) -> np.ndarray:
    """float32 [H, W, 3]: the foretold picture as far as it is trusted, else the drawn one.

    Detail finer than DETAIL_SIGMA is taken from the drawn picture by as much as the foretold one has lost of it.
    """
    trust = foretold.trust[..., None]
    blended = drawn + trust * (foretold.picture - drawn)
    (detail, amount), (drawn_detail, drawn_amount) = _detail(blended), _detail(drawn)
    lost = np.clip(1 - amount / np.maximum(drawn_amount, 1e-4), 0, 1)[..., None]
    return np.clip(blended + trust * lost * (drawn_detail - detail), 0, 1)


def _detail(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Detail [H, W, 3] of an image and its local root mean square [H, W]."""
    detail = image - cv2.GaussianBlur(image, (0, 0), DETAIL_SIGMA)
    energy = cv2.GaussianBlur((detail**2).mean(-1), (0, 0), DETAIL_WINDOW_SIGMA)
    return detail, np.sqrt(energy)


def _carry(source: _Source, positions: np.ndarray, smooth: np.ndarray, surfaces: np.ndarray) -> Foretold:
    both, share = carry_image(np.dstack([source.restyled, source.raw]), positions, source.surfaces, surfaces)
    restyled, raw = both[..., :3], both[..., 3:]
    brighter = _brightening(raw, smooth, share)[..., None]
    difference = np.abs(_brightened(raw, brighter) - smooth).max(-1)
    trust = np.exp(-((difference / DIFFERENCE_LIMIT) ** 2)) * np.clip(2 * share / WHOLE_KERNEL - 1, 0, 1)
    return Foretold(np.clip(_brightened(restyled, brighter), 0, 1), trust.astype(np.float32))


def _brightening(carried: np.ndarray, present: np.ndarray, share: np.ndarray) -> np.ndarray:
    """float32 [H, W]: smooth logarithm of how much brighter the unstyled frame has become than the carried one."""
    ratio = np.log((present.mean(-1) + DARK) / (carried.mean(-1) + DARK))
    # a pixel says little of the light where more than the light has changed
    weight = np.where(share > 0, np.exp(-((ratio / BRIGHTEN_LIMIT) ** 2)), 0).astype(np.float32)
    sigma = LIGHT_SIGMA * carried.shape[1]
    total, norm = (cv2.GaussianBlur(values, (0, 0), sigma) for values in (weight * ratio, weight))
    return np.clip(total / np.maximum(norm, 1e-3), -BRIGHTEN_LIMIT, BRIGHTEN_LIMIT)


def _brightened(image: np.ndarray, logarithm: np.ndarray) -> np.ndarray:
    return (image + DARK) * np.exp(logarithm) - DARK


def _smoothed(raw: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(raw, (0, 0), 1.0)


def _over(upper: Foretold, lower: Foretold) -> Foretold:
    """The upper picture as far as it is trusted, the lower for the rest."""
    rest = (1 - upper.trust) * lower.trust
    trust = upper.trust + rest
    share = np.divide(upper.trust, trust, out=np.zeros_like(trust), where=trust > 0)[..., None]
    picture = np.where(trust[..., None] > 0, lower.picture + share * (upper.picture - lower.picture), lower.picture)
    return Foretold(picture, trust)
