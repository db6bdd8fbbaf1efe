"""The state of a training, in memory and as a checkpoint."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from splatscope.config.splat import SplatConfig
from splatscope.files import read_sealed, remove_leftovers, write_sealed
from splatscope.splats.initialise import TrainingView
from splatscope.splats.optimizer import Adam
from splatscope.splats.strategies.base import Strategy


@dataclass
class TrainingState:
    """All that changes during training, and so all that a checkpoint holds; there on the CPU, from whatever device."""

    optimizers: dict[str, Adam]  # of "gaussians", "light", "exposure", "poses"
    strategy: Strategy
    rng: np.random.Generator
    iteration: int = 0
    order: list[int] = field(default_factory=list)  # views still to be looked at in this round
    curve: list[dict] = field(default_factory=list)
    seconds: float = 0.0

    def save(self, path: Path, digest: str) -> None:
        """Write a checkpoint; `digest` stands for the views, settings and seed that it belongs to."""
        content = {
            "digest": digest,
            "optimizers": {name: optimizer.state() for name, optimizer in self.optimizers.items()},
            "strategy": self.strategy.state(),
            "rng": self.rng.bit_generator.state,
            "iteration": self.iteration,
            "order": self.order,
            "curve": self.curve,
            "seconds": self.seconds,
        }
        stream = io.BytesIO()
        torch.save(content, stream)
        write_sealed(path, stream.getvalue())

    def load(self, path: Path, digest: str) -> str:
        """Take over a checkpoint; one of another digest, or a broken one, is left aside. Says what was done."""
        remove_leftovers(path)
        try:
            # torch does not look whether the numbers are those that it wrote
            content = torch.load(io.BytesIO(read_sealed(path)), weights_only=True, map_location="cpu")
            fits = content["digest"] == digest
        except Exception as error:  # torch raises many kinds for a broken file
            return f"{path} is no checkpoint ({type(error).__name__}): starting anew"
        if not fits:
            return f"{path} belongs to other views or settings: starting anew"
        for name, optimizer in self.optimizers.items():
            optimizer.restore(content["optimizers"][name])
        self.strategy.restore(content["strategy"])
        self.rng.bit_generator.state = content["rng"]
        self.iteration, self.order, self.curve = content["iteration"], content["order"], content["curve"]
        self.seconds = content["seconds"]
        return f"going on from {path} at iteration {self.iteration}"


def digest_of(views: Sequence[TrainingView], config: SplatConfig, seed: int, start: dict[str, torch.Tensor]) -> str:
    """SHA-256 over all that a training depends on but its device; `start` holds the Gaussians' parameters by name."""
    digest = hashlib.sha256(f"{config.model_dump_json()} {seed}".encode())
    for view in views:
        digest.update(np.ascontiguousarray(view.image).tobytes() + view.world_from_camera.tobytes())
        digest.update(repr(view.camera).encode() + (b"" if view.mask is None else view.mask.tobytes()))
    for value in start.values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
