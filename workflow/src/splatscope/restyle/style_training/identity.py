"""What a training's result depends on, by name: a checkpoint of another training is told apart, and by what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from splatscope.config.style_training import TrainingConfig
from splatscope.restyle.base_model import LatentDiffusion
from splatscope.restyle.style_training.latent_cache import weights_digest

# settings that change pictures, files and messages, but not the weights
NOT_IN_WEIGHTS = {
    "frames",
    "min_frames",
    "checkpoint_every",
    "samples",
    "sample_steps",
    "sample_guidance_scale",
}


def training_identity(
    kind: str, base: LatentDiffusion, config: TrainingConfig, seed: int, frames: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """By name: base model (digest of its weights), frames (digest of `frames`), seed, and each setting."""
    modules = (base.unet, *base.text_encoders, base.vae)
    weights = hashlib.sha256("".join(weights_digest(module) for module in modules).encode()).hexdigest()
    settings = config.model_dump(mode="json", exclude=NOT_IN_WEIGHTS)
    return {
        "kind": kind,
        "base model": weights,
        "frames": hashlib.sha256(json.dumps(list(map(list, frames))).encode()).hexdigest(),
        "seed": seed,
        **settings,
    }
