"""What of the real look can be told in numbers, and given to frames without any network: colours and contrast.

A picture that is only half noised keeps much of its colour, and rendered tissue is duller and of less contrast than
filmed tissue: before diffusion, `ColourMatch` gives it the colours of real frames. A small autoencoder loses the finest
detail, and rendered light leaves broader contrasts than an endoscope's picture has: after diffusion, `ContrastMatch`
gives every scale the contrast of real frames. Both are one mapping for a whole clip, so that nothing flickers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from splatscope.documents import parse_json
from splatscope.errors import InputError
from splatscope.files import write_bytes
from splatscope.folders import image_files
from splatscope.images import decode_image, resize_area, to_float
from splatscope.shards import Frame

LEVELS = np.linspace(0, 1, 257)
DARK = 3.0  # CIELAB lightness below which a pixel is border or deep shadow, and has no colour of its own
LEAST_A, LEAST_B = 6.0, -4.0  # of CIELAB: what is less red or more blue than tissue is metal, gauze or glare
PIXELS_A_PICTURE = 20_000
HEIGHT = 256  # pixels of the pictures in which contrast is measured
SIGMAS = (0.8, 1.6, 3.2, 6.4)  # of the Gaussians between whose blurs the bands lie, in pixels of such a picture
GAINS = (0.5, 2.0)
SEAM_PX = 1.0  # softness of the border between what is mapped and what is not


@dataclass(frozen=True)
class Look:
    """How the colours of pictures are distributed, and how much contrast they have at each scale."""

    colours: np.ndarray  # float32 [3, 257]: quantiles of L, a and b of the tissue's CIELAB, at LEVELS
    contrast: np.ndarray  # float32 [4]: standard deviation of L in the bands, mean over the pictures
    provenance: dict  # what the pictures are, their licence

    def save(self, path: str | Path) -> None:
        """Write as .safetensors, provenance in its metadata."""
        about = json.dumps(self.provenance, sort_keys=True)
        write_bytes(path, save({"colours": self.colours, "contrast": self.contrast}, metadata={"look": about}))


def measure_look(images: Iterable[np.ndarray], provenance: dict | None = None) -> Look:
    """Of one or more images, uint8 [H, W, 3] sRGB. Black borders do not count, nor, for the colours, what is not red as
    tissue is."""
    pixels, contrasts = [], []
    for image in images:
        lab = _lab(to_float(image)).reshape(-1, 3)
        pixels.append(lab[(lab[:, 1] >= LEAST_A) & (lab[:, 2] >= LEAST_B)])
        contrasts.append(band_contrast(to_float(image)))
    return Look(_quantiles(pixels), np.mean(contrasts, axis=0, dtype=np.float32), provenance or {})


def load_look(source: str | Path) -> Look:
    """Of a folder of PNG and JPEG images (not below it), or from a file that `Look.save` wrote.

    Raises InputError for a folder without images, one without a reddish pixel, an unreadable image and a broken file.
    """
    source = Path(source)
    remedy = "name a folder that holds real frames itself, a file of their look, or '' to leave frames as they are"
    if source.is_dir():
        paths = image_files(source)
        if not paths:
            raise InputError(source, found="no PNG or JPEG file", expected="one or more", remedy=remedy)
        try:
            return measure_look((decode_image(path.read_bytes(), str(path)) for path in paths), {"folder": source.name})
        except ValueError as error:
            raise InputError(source, found=str(error), expected="pictures of tissue", remedy=remedy) from error
    try:
        with safe_open(source, framework="numpy") as file:
            tensors = [file.get_tensor(name) for name in ("colours", "contrast")]
            look = Look(*tensors, parse_json((file.metadata() or {})["look"], source))
        for name, shape in (("colours", (3, len(LEVELS))), ("contrast", (len(SIGMAS),))):
            value = getattr(look, name)
            if value.shape != shape or value.dtype != np.float32 or not np.isfinite(value).all():
                raise ValueError(f"{name} {value.dtype} {list(value.shape)}, or numbers that are none")
        if not isinstance(look.provenance, dict):
            raise ValueError("a provenance that is no mapping")
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        found = "no such file or folder" if isinstance(error, FileNotFoundError) else f"{error or type(error).__name__}"
        raise InputError(source, found=found, expected="a look (.safetensors)", remedy=remedy) from error
    return look


class ColourMatch:
    """Maps the colours of a clip's frames, but for instruments, to those of a look: histogram matching, one channel of
    CIELAB at a time."""

    def __init__(self, clip: Iterable[Frame], look: Look, instruments: Iterable[int]):
        """`clip`: frames that show the clip's colours; `instruments`: classes whose colour is kept."""
        self._kept = np.array(sorted(instruments), int)
        self._from = _quantiles(_lab(to_float(frame.rgb))[self._tissue(frame)] for frame in clip)
        self._to = look.colours

    def __call__(self, frame: Frame) -> np.ndarray:
        """float32 [H, W, 3] in 0..1 sRGB: the frame's picture in the look's colours."""
        image = to_float(frame.rgb)
        lab = _lab(image)
        mapped = [np.interp(lab[..., i], _rising(self._from[i]), self._to[i]) for i in range(3)]
        matched = cv2.cvtColor(np.stack(mapped, -1).astype(np.float32), cv2.COLOR_LAB2RGB).clip(0, 1)
        tissue = self._tissue(frame) & (lab[..., 0] > DARK)
        share = cv2.GaussianBlur(tissue.astype(np.float32), (0, 0), SEAM_PX)[..., None]
        return image + share * (matched - image)

    def _tissue(self, frame: Frame) -> np.ndarray:
        if frame.class_map is None:
            return np.ones(frame.rgb.shape[:2], bool)
        return ~np.isin(frame.class_map, self._kept)


class ContrastMatch:
    """Gives the pictures of a clip the contrast of a look at every scale; what that takes, its first picture says."""

    def __init__(self, look: Look):
        self._wanted = look.contrast
        self._gains: np.ndarray | None = None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """float32 [H, W, 3] in 0..1 sRGB of the same."""
        if self._gains is None:
            self._gains = (self._wanted / np.maximum(band_contrast(image), 1e-3)).clip(*GAINS)
        lab = _lab(image)
        lightness, lit = lab[..., 0], (lab[..., 0] > DARK).astype(np.float32)
        for gain, band in zip(self._gains, _bands(lightness, lit, image.shape[0] / HEIGHT)):
            lab[..., 0] += lit * np.float32(gain - 1) * band
        lab[..., 0] = lab[..., 0].clip(0, 100)
        return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1)


def band_contrast(image: np.ndarray) -> np.ndarray:
    """float32 [4]: standard deviation of CIELAB lightness in octave bands of an image float32 [H, W, 3] in 0..1 sRGB,
    over its lit part, measured at a height of HEIGHT pixels."""
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    lightness = _lab(resize_area(image, width, HEIGHT))[..., 0]
    lit = (lightness > DARK).astype(np.float32)
    count = max(lit.sum(), 1)
    return np.array([np.sqrt((lit * band**2).sum() / count) for band in _bands(lightness, lit, 1.0)], np.float32)


def _bands(lightness: np.ndarray, lit: np.ndarray, scale: float) -> list[np.ndarray]:
    """The octave bands of a picture; blurs look at its lit part alone, so that a black border is no contrast."""
    blurs = [lightness]
    for sigma in SIGMAS:
        weight = cv2.GaussianBlur(lit, (0, 0), sigma * scale)
        blurs.append(cv2.GaussianBlur(lightness * lit, (0, 0), sigma * scale) / np.maximum(weight, 1e-3))
    return [finer - coarser for finer, coarser in pairwise(blurs)]


def _quantiles(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """float32 [3, 257] of CIELAB pixels [N, 3] of each picture; of each an equal number counts, evenly chosen."""
    chosen = []
    for pixels in pictures:
        lit = pixels[pixels[:, 0] > DARK]
        chosen.append(lit[np.linspace(0, len(lit) - 1, min(PIXELS_A_PICTURE, len(lit))).astype(int)])
    if not any(map(len, chosen)):
        raise ValueError("no pixel that could be tissue")
    return np.ascontiguousarray(np.quantile(np.concatenate(chosen), LEVELS, axis=0).T, np.float32)


def _lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB)


def _rising(values: np.ndarray) -> np.ndarray:
    """Quantiles as np.interp wants them: equal ones, of colours that many pixels share, a hair apart."""
    return np.maximum.accumulate(values) + np.arange(len(values)) * 1e-6
