"""The training loss of a diffusion model, for noise (epsilon) and velocity (v) prediction."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr


def prediction_target(
    scheduler: DDPMScheduler, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """What the U-Net should predict, [N, C, h, w]; `clean` latents and `noise` alike, `timesteps` int64 [N]."""
    if scheduler.config.prediction_type == "epsilon":
        return noise
    return scheduler.get_velocity(clean, noise, timesteps)


def snr_weights(scheduler: DDPMScheduler, timesteps: torch.Tensor, gamma: float | None) -> torch.Tensor:
    """Weight [N] of the squared error at each timestep, min-SNR-gamma (Hang et al., ICCV 2023).

    The paper weighs the error of the clean picture by min(SNR, gamma). In terms of noise that error is 1 / SNR times
    as large, in terms of velocity 1 / (SNR + 1) times.
    """
    if gamma is None:
        return torch.ones(len(timesteps), device=timesteps.device)
    snr = compute_snr(scheduler, timesteps)
    return snr.clamp(max=gamma) / (snr if scheduler.config.prediction_type == "epsilon" else snr + 1)


def weighted_error(prediction: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of the weighted mean squared error of each frame, in float32."""
    squares = (prediction.float() - target.float()) ** 2
    return (squares.flatten(1).mean(1) * weights).mean()
