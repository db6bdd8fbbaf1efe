"""Pictures that show how far a training has come: drawn from the same noise each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from splatscope.config.style_training import TrainingConfig
from splatscope.images import to_uint8
from splatscope.restyle.style_training.latent_cache import Example
from splatscope.restyle.style_training.learner import Learner

SHEET_HEIGHT = 256  # of each picture, in px


@torch.no_grad()
def draw_pictures(
    learner: Learner,
    examples: Sequence[Example],
    scheduler: DDPMScheduler,
    config: TrainingConfig,
    seed: int,
    autocast: Callable,
) -> np.ndarray:
    """uint8 [2 * 256, W, 3]: above, frames as their latents hold them; below, what is drawn with their captions."""
    columns = []
    for position, example in enumerate(examples):
        clean = example.latents()[None].to(learner.device)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed + position))
        drawn = sample_latents(learner, example, noise, scheduler, config, autocast)
        pair = learner.model.decode_latents(torch.cat([clean, drawn.to(clean)]))
        width = round(SHEET_HEIGHT * pair.shape[2] / pair.shape[1])
        size = (width, SHEET_HEIGHT)
        columns.append(np.vstack([cv2.resize(to_uint8(picture), size) for picture in pair]))
    return np.hstack(columns)


@torch.no_grad()
def sample_latents(
    learner: Learner,
    example: Example,
    noise: torch.Tensor,
    scheduler: DDPMScheduler,
    config: TrainingConfig,
    autocast: Callable,
) -> torch.Tensor:
    """Latents [1, C, h, w] drawn by DDIM from pure noise alike, with an example's caption (and condition)."""
    ddim = DDIMScheduler.from_config(scheduler.config, clip_sample=False)  # latents leave -1..1
    ddim.set_timesteps(config.sample_steps)
    latents, scale = noise.to(learner.device), config.sample_guidance_scale
    for timestep in ddim.timesteps:
        captions = [example.caption, ""] if scale > 1 else [example.caption]
        count = len(captions)
        timesteps = timestep.repeat(count).to(learner.device)
        with autocast():
            guess = learner.predict(latents.repeat(count, 1, 1, 1), timesteps, [example] * count, captions).float()
        if scale > 1:
            guess = guess[1:] + scale * (guess[:1] - guess[1:])
        latents = ddim.step(guess, timestep, latents).prev_sample
    return latents
