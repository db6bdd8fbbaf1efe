"""Training pictures as latents on disk: each is encoded once, whatever the number of trainings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from splatscope.errors import InputError
from splatscope.images import to_float, to_uint8
from splatscope.restyle.base_model import LatentDiffusion
from splatscope.restyle.style_training.buckets import MAX_ENLARGEMENT, Crop
from splatscope.restyle.style_training.tensor_files import read_tensor, read_tensors, write_tensors


@dataclass(frozen=True)
class Example:
    """One picture to train on, ready in the cache."""

    name: str
    caption: str
    bucket: tuple[int, int]  # width, height in pixels
    time_ids: tuple[int, ...]  # what SDXL is told: height, width before the crop; its top, left; height, width
    file: Path  # tensors "latents" float32 [C, h, w] and, of a conditioned one, "condition" uint8 [C, H, W]

    def latents(self) -> torch.Tensor:
        return read_tensor(self.file, "latents")

    def condition(self) -> torch.Tensor:
        """float32 [C, H, W] in 0..1."""
        return read_tensor(self.file, "condition").float() / 255


class LatentCache:
    """Latents of pictures, in one file each, named by a digest of picture, crop and autoencoder.

    Args:
        folder: where the files lie; made when it is not there.
        model: whose autoencoder encodes. Latents are the mean of what it makes of a picture.
    """

    def __init__(self, folder: Path, model: LatentDiffusion):
        self._folder, self._model = Path(folder), model
        self._vae = weights_digest(model.vae), model.vae.config.scaling_factor
        self.encoded = 0  # pictures that were not there yet

    def example(
        self,
        name: str,
        source: str,
        size: tuple[int, int],
        crop: Crop,
        pixels,
        *,
        caption: str,
        mirrored: bool = False,
        condition=None,
    ) -> Example:
        """The example of one picture; `pixels` and `condition` are only called when it is not in the cache.

        Args:
            source: what tells the picture from all others: a digest of its file (and of how it is conditioned).
            size: its width and height in pixels.
            pixels: gives it as uint8 [H, W, 3].
            condition: gives its conditioning image as float [H, W, C] in 0..1; kept with 8 bits.

        Raises InputError for pictures too small for their bucket, and when encoding gives values that are not finite.
        """
        if crop.enlargement > MAX_ENLARGEMENT:
            raise InputError(
                name,
                found=f"{size[0]} x {size[1]} pixels",
                expected=f"at least 1/{MAX_ENLARGEMENT:g} of the training size {crop.bucket[0]} x {crop.bucket[1]}",
                remedy="take larger frames, or lower the key resolution to the frames' size",
            )
        key = hashlib.sha256(repr((source, crop, mirrored, self._vae)).encode()).hexdigest()[:32]
        file = self._folder / f"{key}.safetensors"
        if not self._holds(file, conditioned=condition is not None):
            self._encode(name, file, crop, pixels(), None if condition is None else condition(), mirrored)
            self.encoded += 1
        scale = crop.bucket[0] / crop.width
        whole, corner = (round(size[1] * scale), round(size[0] * scale)), (crop.top, crop.left)
        time_ids = (*whole, *(round(value * scale) for value in corner), crop.bucket[1], crop.bucket[0])
        return Example(name, caption, crop.bucket, time_ids, file)

    def _holds(self, file: Path, conditioned: bool) -> bool:
        if not file.is_file():
            return False
        try:
            return ("condition" in read_tensors(file)[0]) == conditioned
        except InputError:
            return False  # a broken file is made again

    def _encode(self, name: str, file: Path, crop: Crop, pixels: np.ndarray, condition, mirrored: bool) -> None:
        turn = slice(None, None, -1 if mirrored else 1)
        picture = np.clip(crop.apply(to_float(pixels)), 0, 1)[:, turn]
        latents = self._model.encode_images(np.ascontiguousarray(picture)[None])[0].float()
        if not torch.isfinite(latents).all():
            raise InputError(
                name,
                found="latents that are not finite",
                expected="finite ones",
                remedy="load the base model in float32 or bfloat16: its autoencoder overflows in float16",
            )
        tensors = {"latents": latents}
        if condition is not None:
            tensors["condition"] = torch.from_numpy(to_uint8(crop.apply(condition)[:, turn]).transpose(2, 0, 1).copy())
        write_tensors(file, tensors, {"format": "pt"})


def weights_digest(module: torch.nn.Module) -> str:
    """SHA-256 over a module's weights as they are in memory."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {list(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
