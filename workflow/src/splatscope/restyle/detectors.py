"""Conditions estimated from the picture by controlnet-aux's detectors, as published work has to (SimuScope's mode)."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from splatscope.errors import InputError
from splatscope.restyle.model_files import first_line
from splatscope.shards import Frame


@dataclass(frozen=True)
class _Detector:
    class_name: str  # in controlnet_aux
    weights: str  # file in its folder of weights; empty: needs none
    source: str  # where they are published


_DETECTORS = {
    "depth_estimated": _Detector("MidasDetector", "dpt_hybrid-midas-501f0c75.pt", "lllyasviel/Annotators"),
    "soft_edge_hed": _Detector("HEDdetector", "ControlNetHED.pth", "lllyasviel/Annotators"),
    "soft_edge_pidinet": _Detector("PidiNetDetector", "table5_pidinet.pth", "lllyasviel/Annotators"),
    "canny": _Detector("CannyDetector", "", ""),
}
ESTIMATED = tuple(_DETECTORS)
_SIDE_PX = 512


class Detectors:
    """Detectors, each loaded when first asked for.

    `weights` is a folder that holds the detectors' weight files under their published names.
    """

    def __init__(self, weights: str | Path, device: str = "cpu"):
        self._folder, self._device = Path(weights), device
        self._loaded: dict = {}

    def image(self, name: str, frame: Frame) -> np.ndarray:
        """float32 [H, W, 3] in 0..1: the estimated condition of a frame's picture, detected with its shorter side at
        512 pixels, and with soft edges in "safe" steps, as SimuScope did.

        Raises InputError when the weights are absent or broken, ValueError for an unknown name.
        """
        if name not in _DETECTORS:
            raise ValueError(f"expected one of {list(ESTIMATED)}, got {name!r}")
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        height, width = frame.rgb.shape[:2]
        # without "safe" the networks' probabilities come unquantised; steps hide image content in the faint ones
        options = {"safe": True} if name.startswith("soft_edge") else {}
        found = self._loaded[name](
            frame.rgb, detect_resolution=_SIDE_PX, image_resolution=_SIDE_PX, output_type="np", **options
        )
        kind = cv2.INTER_AREA if height < found.shape[0] else cv2.INTER_LINEAR
        return cv2.resize(found, (width, height), interpolation=kind).astype(np.float32) / 255

    def _load(self, name: str):
        detector = _DETECTORS[name]
        path = self._folder / detector.weights
        remedy = (
            f"huggingface-cli download {detector.source} {detector.weights} --local-dir {self._folder}, "
            "or choose an exact condition"
        )
        if detector.weights and not path.is_file():
            raise InputError(path, found="no such file", expected=f"the weights of {name}", remedy=remedy)
        with warnings.catch_warnings():  # it imports all its detectors, and warns of libraries that others would need
            warnings.simplefilter("ignore")
            import controlnet_aux
        kind = getattr(controlnet_aux, detector.class_name)
        if not detector.weights:
            return kind()
        try:
            return kind.from_pretrained(str(self._folder), filename=detector.weights).to(self._device)
        except (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise InputError(path, found=first_line(error), expected=f"the weights of {name}", remedy=remedy) from error
