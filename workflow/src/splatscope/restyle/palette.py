"""The colours of the real look, which rendered tissue is brought to before diffusion.

A picture that is only half noised keeps much of its colour, and rendered tissue is duller and of less contrast than
filmed tissue. So each channel of CIELAB is mapped to make its distribution over the tissue of a clip that of real
frames (histogram matching): one mapping for the whole clip, so that nothing flickers. Instruments keep their colour.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from splatscope.errors import InputError
from splatscope.files import write_bytes
from splatscope.images import decode_image, to_float
from splatscope.restyle.style_features import IMAGE_SUFFIXES
from splatscope.shards import Frame

LEVELS = np.linspace(0, 1, 257)
DARK = 3.0  # CIELAB lightness below which a pixel is border or deep shadow, and has no colour of its own
PIXELS_A_PICTURE = 20_000
_SEAM_PX = 1.0  # softness of the border between what is mapped and what is not


@dataclass(frozen=True)
class Palette:
    """How the colours of pictures are distributed."""

    quantiles: np.ndarray  # float32 [3, 257]: of L, a and b of CIELAB, at LEVELS
    provenance: dict  # what the pictures are, their licence

    def save(self, path: str | Path) -> None:
        """Write as .safetensors, provenance in its metadata."""
        about = json.dumps(self.provenance, sort_keys=True)
        write_bytes(path, save({"quantiles": self.quantiles}, metadata={"palette": about}))


def measure_palette(pixels: Iterable[np.ndarray], provenance: dict | None = None) -> Palette:
    """Of uint8 [N, 3] sRGB pixels of each picture; the same number counts of each, evenly chosen."""
    chosen = []
    for colours in pixels:
        lab = _lab(colours[None])[0]
        lit = lab[lab[:, 0] > DARK]
        chosen.append(lit[np.linspace(0, len(lit) - 1, min(PIXELS_A_PICTURE, len(lit))).astype(int)])
    quantiles = np.quantile(np.concatenate(chosen), LEVELS, axis=0).T
    return Palette(np.ascontiguousarray(quantiles, np.float32), provenance or {})


def load_palette(source: str | Path) -> Palette:
    """Of a folder of PNG and JPEG images (not below it), or from a file that `Palette.save` wrote.

    Raises InputError for a folder without images, an unreadable one, and a broken file.
    """
    source = Path(source)
    remedy = "name a folder that holds real frames itself, a file of their palette, or '' to leave colours alone"
    if source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise InputError(source, found="no PNG or JPEG file", expected="one or more", remedy=remedy)
        images = (decode_image(path.read_bytes(), str(path)) for path in paths)
        return measure_palette((image.reshape(-1, 3) for image in images), {"folder": source.name})
    try:
        with safe_open(source, framework="numpy") as file:
            palette = Palette(file.get_tensor("quantiles"), json.loads((file.metadata() or {})["palette"]))
        if palette.quantiles.shape != (3, len(LEVELS)) or not np.isfinite(palette.quantiles).all():
            raise ValueError(f"quantiles {list(palette.quantiles.shape)}")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        found = "no such file or folder" if isinstance(error, FileNotFoundError) else f"{error or type(error).__name__}"
        raise InputError(source, found=found, expected="a palette (.safetensors)", remedy=remedy) from error
    return palette


class ColourMatch:
    """Maps the colours of a clip's frames, but for instruments, to those of a palette."""

    def __init__(self, clip: Iterable[Frame], palette: Palette, instruments: Iterable[int]):
        """`clip`: frames that show the clip's colours; `instruments`: classes whose colour is kept."""
        self._kept = np.array(sorted(instruments), int)
        self._from = measure_palette(frame.rgb[self._tissue(frame)] for frame in clip).quantiles
        self._to = palette.quantiles

    def __call__(self, frame: Frame) -> np.ndarray:
        """float32 [H, W, 3] in 0..1 sRGB: the frame's picture in the palette's colours."""
        image = to_float(frame.rgb)
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        mapped = [np.interp(lab[..., i], _rising(self._from[i]), self._to[i]) for i in range(3)]
        matched = cv2.cvtColor(np.stack(mapped, -1).astype(np.float32), cv2.COLOR_LAB2RGB).clip(0, 1)
        tissue = self._tissue(frame) & (lab[..., 0] > DARK)
        share = cv2.GaussianBlur(tissue.astype(np.float32), (0, 0), _SEAM_PX)[..., None]
        return image + share * (matched - image)

    def _tissue(self, frame: Frame) -> np.ndarray:
        if frame.class_map is None:
            return np.ones(frame.rgb.shape[:2], bool)
        return ~np.isin(frame.class_map, self._kept)


def _lab(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(to_float(pixels), cv2.COLOR_RGB2LAB)


def _rising(values: np.ndarray) -> np.ndarray:
    """Quantiles as np.interp wants them: equal ones, of colours that many pixels share, a hair apart."""
    return np.maximum.accumulate(values) + np.arange(len(values)) * 1e-6
