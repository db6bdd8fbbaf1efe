"""Image-to-image diffusion with ControlNets, in a loop of our own: every frame, and every part of it, has its own
strength, every frame its own noise, and memory that runs out costs time, not the run.

SDEdit (Meng et al. 2022): an image is encoded, noised as far as its strength says, and denoised from there. Where parts
of it differ in strength, the weaker ones stay what they are until their step comes (Levin and Fried 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import diffusers
import numpy as np
import torch

from splatscope.config.restyle import SamplerConfig
from splatscope.restyle.base_model import LatentDiffusion
from splatscope.restyle.denoiser import Denoiser, MemoryLimit

_SCHEDULERS = {
    "dpmpp_2m_karras": (diffusers.DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, {}),
    "ddim": (diffusers.DDIMScheduler, {}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_ancestral": (diffusers.EulerAncestralDiscreteScheduler, {}),
}


def restyle_batch(
    model: LatentDiffusion,
    images: np.ndarray,
    conditions: Sequence[np.ndarray],
    prompts: Sequence[str],
    config: SamplerConfig,
    noise: torch.Tensor,
    strength: np.ndarray | None = None,
    *,
    references: np.ndarray | None = None,
    seeds: Sequence[int] | None = None,
) -> np.ndarray:
    """float32 [N, H, W, 3] in 0..1: the images, restyled.

    images      float32 [N, H, W, 3] in 0..1 sRGB; padded by their edges to what the U-Net takes, and cropped back
    conditions  one float32 [N, H, W, C] in 0..1 per ControlNet of the model, in its order
    noise       standard normal [N, *model.latent_shape(H, W)]
    strength    [N] above 0 to 1, or float32 [N, H, W] in 0..1 for every pixel; config.strength where not given
    references  float32 [N, H, W, 3] for reference-only control; needed when config.reference_weight is above 0
    seeds       of each frame's own draws; needed by ancestral schedulers

    On a CPU a frame's result has the same bytes whatever its neighbours, because frames are computed one at a time;
    on CUDA they are batched, kernels depend on the batch's size, and the last bits with them.
    Raises ValueError for shapes that do not fit, InputError when memory does not hold a single frame.
    """
    count, height, width = _check(model, images, conditions, prompts, config, noise, strength, references, seeds)
    padded = model.padded_size(height, width)
    limit = MemoryLimit(model, config.batch_size)
    clean = torch.cat(limit.run(count, lambda rows: model.encode_images(_pad(images[rows], padded))))
    denoiser = Denoiser(
        model,
        config,
        limit,
        prompts,
        [torch.from_numpy(_pad(condition, padded)).permute(0, 3, 1, 2) for condition in conditions],
    )
    noise = noise.to(model.device, torch.float32)
    if config.reference_weight > 0:
        encoded = torch.cat(limit.run(count, lambda rows: model.encode_images(_pad(references[rows], padded))))
        denoiser.set_references(encoded, noise)

    strengths = np.full(count, config.strength) if strength is None else np.asarray(strength, np.float32)
    starts = None
    if strengths.ndim == 3:
        starts = _latent_starts(config.steps, _pad(strengths[..., None], padded), clean.shape[2:]).to(model.device)
        strengths = strengths.max(axis=(1, 2))
    trajectories = [
        Trajectory(model, config, float(strengths[i]), clean[i : i + 1], noise[i : i + 1], seeds and seeds[i])
        for i in range(count)
    ]
    with denoiser:
        for step in range(min(trajectory.start for trajectory in trajectories), config.steps):
            rows = [i for i, trajectory in enumerate(trajectories) if trajectory.start <= step]
            inputs = torch.cat([trajectories[i].model_input() for i in rows])
            times = torch.stack([trajectories[i].time(step) for i in rows])
            levels = [trajectories[i].level(step) for i in rows]
            outputs = denoiser.predict(inputs, times, rows, levels)
            if starts is not None:
                outputs = _held(model.prediction_type, inputs, outputs, levels, clean[rows], starts[rows] > step)
            for row, output in zip(rows, outputs.split(1)):
                trajectories[row].advance(step, output)
    latents = torch.cat([trajectory.latents for trajectory in trajectories])
    decoded = np.concatenate(limit.run(count, lambda rows: model.decode_latents(latents[rows])))[:, :height, :width]
    if config.detail > 0:
        lossy = np.concatenate(limit.run(count, lambda rows: model.decode_latents(clean[rows])))[:, :height, :width]
        share = np.full((count, 1, 1, 1), config.detail, np.float32)
        if np.ndim(strength) == 3:  # what is to change less is given more back
            share = np.maximum(share, 1 - (strength / strength.max(axis=(1, 2), keepdims=True))[..., None])
        decoded = (decoded + share * (images - lossy)).clip(0, 1)
    return decoded


def first_step(steps: int, strength: float) -> int:
    """Index of the step at which an image of this strength begins; at least the last step is taken."""
    return steps - min(max(int(steps * strength), 1), steps)


class Trajectory:
    """One frame's latents on their way from noise, and the state of its solver."""

    def __init__(self, model, config: SamplerConfig, strength: float, clean, noise, seed: int | None):
        kind, options = _SCHEDULERS[config.scheduler]
        self._scheduler = kind.from_config(model.scheduler_config, **options)
        self._scheduler.set_timesteps(config.steps, device=model.device)
        self._generator = None if seed is None else torch.Generator().manual_seed(seed)
        self.start = first_step(config.steps, strength)
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(self.start)
        self._time = self.time(self.start)
        self.latents = self._scheduler.add_noise(clean, noise, self._time[None])  # [1, C, h, w]

    def time(self, step: int) -> torch.Tensor:
        """The U-Net's time of a step, as the training schedule numbers it."""
        return self._scheduler.timesteps[step]

    def level(self, step: int) -> tuple[float, float]:
        """(alpha, sigma) of a step: the U-Net sees alpha x0 + sigma noise, alpha^2 + sigma^2 = 1."""
        if hasattr(self._scheduler, "sigmas"):
            ratio = float(self._scheduler.sigmas[step])
            alpha = (1 + ratio**2) ** -0.5
            return alpha, ratio * alpha
        alpha_squared = float(self._scheduler.alphas_cumprod[int(self.time(step))])
        return alpha_squared**0.5, (1 - alpha_squared) ** 0.5

    def model_input(self) -> torch.Tensor:
        """[1, C, h, w]: the noisy latents, in the scale the U-Net was trained with."""
        return self._scheduler.scale_model_input(self.latents, self._time)

    def advance(self, step: int, output: torch.Tensor) -> None:
        """Take one step with the U-Net's output [1, C, h, w]."""
        moved = self._scheduler.step(output, self._time, self.latents, generator=self._generator)
        self.latents = moved.prev_sample
        if step + 1 < len(self._scheduler.timesteps):
            self._time = self.time(step + 1)


def model_output(prediction_type: str, noisy, clean, alpha, sigma) -> torch.Tensor:
    """The U-Net's output that predicts the clean latents x0 of the noisy ones, alpha x0 + sigma noise."""
    if prediction_type == "epsilon":
        return (noisy - alpha * clean) / sigma
    return (alpha * noisy - clean) / sigma


def _latent_starts(steps: int, strength: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """[N, 1, h, w]: index of the step at which each latent begins; `steps` where its strength, the mean of its pixels'
    [N, H, W, 1], is not enough for one."""
    mean = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(strength).permute(0, 3, 1, 2), tuple(size))
    return steps - (steps * mean + 1e-4).floor().long()


def _held(prediction_type: str, inputs, outputs, levels, clean, held) -> torch.Tensor:
    """The U-Net's outputs, but where latents are held, those that lead back to the clean ones."""
    alpha, sigma = (torch.tensor(values, device=inputs.device)[:, None, None, None] for values in zip(*levels))
    return torch.where(held, model_output(prediction_type, inputs, clean, alpha, sigma), outputs)


def _pad(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    below, right = size[0] - images.shape[1], size[1] - images.shape[2]
    return np.pad(images, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")


def _check(model, images, conditions, prompts, config, noise, strength, references, seeds) -> tuple[int, int, int]:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.float32:
        raise ValueError(f"expected images float32 [N, H, W, 3], got {images.dtype} {list(images.shape)}")
    count, height, width = images.shape[:3]
    if len(conditions) != len(model.controlnets):
        raise ValueError(f"expected {len(model.controlnets)} conditions, one per ControlNet, got {len(conditions)}")
    expected = [("noise", noise, (count, *model.latent_shape(height, width)))]
    for controlnet, condition in zip(model.controlnets, conditions):
        channels = controlnet.model.config.conditioning_channels
        expected.append((f"condition {controlnet.condition}", condition, (count, height, width, channels)))
    if config.reference_weight > 0:
        expected.append(("references", references, (count, height, width, 3)))
    if strength is not None:
        whole = (count,) if np.ndim(strength) < 2 else (count, height, width)
        expected.append(("strength", strength, whole))
        of_frames = strength if np.ndim(strength) < 2 else strength.max(axis=tuple(range(1, np.ndim(strength))))
        if np.min(strength) < 0 or not ((of_frames > 0) & (of_frames <= 1)).all():
            raise ValueError(f"expected strengths above 0 to 1, got {list(of_frames)}")
    for what, value, shape in expected:
        found = None if value is None else tuple(value.shape)
        if found != shape:
            raise ValueError(f"expected {what} {list(shape)}, got {found and list(found)}")
    if len(prompts) != count:
        raise ValueError(f"expected {count} prompts, got {len(prompts)}")
    if config.scheduler == "euler_ancestral" and (seeds is None or len(seeds) != count):
        raise ValueError(f"expected {count} seeds for {config.scheduler}, got {seeds}")
    return count, height, width
