"""An autoencoder and pictures for the tests of style training."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image


class BlockMeans(torch.nn.Module):
    """An autoencoder anyone understands: latents are means of 8 x 8 pixels, of red, green, blue and all, in -1..1."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(scaling_factor=1.0, latent_channels=4, block_out_channels=(1,) * 4)
        self.register_buffer("colours", torch.eye(3))

    @property
    def dtype(self) -> torch.dtype:
        return self.colours.dtype

    def encode(self, pixels):
        means = torch.nn.functional.avg_pool2d(pixels, 8)
        return SimpleNamespace(latents=torch.cat([means, means.mean(1, keepdim=True)], 1))

    def decode(self, latents):
        return SimpleNamespace(sample=latents[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3))


def make_pictures(folder: Path, count: int, colour=(0.8, 0.15, 0.1), size=(64, 64), seed: int = 0) -> Path:
    """Blotchy pictures about one colour; `size` is width, height."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        blotches = rng.normal(0, 0.12, (4, 4, 1)).repeat(-(-size[1] // 4), 0).repeat(-(-size[0] // 4), 1)
        picture = np.clip(np.array(colour) + blotches[: size[1], : size[0]], 0, 1)
        Image.fromarray((picture * 255).astype(np.uint8)).save(folder / f"{index:03d}.png")
    return folder
