"""Training of the small model's U-Net, ControlNet and text encoder together, resumable at any step.

Real frames come with weak conditions, simulated and phantom ones with exact ones; captions say which they are. Every
draw depends on the seed and the step alone, so that a resumed run goes on exactly as one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.training_utils import EMAModel, compute_snr
from torch import nn
from transformers import CLIPTokenizer

from splatscope.files import atomic_path
from splatscope.restyle.mini.captions import DOMAINS
from splatscope.restyle.mini.material import Picture
from splatscope.restyle.mini.networks import MiniShape, noise_scheduler

CONDITION_GROUPS = (slice(0, 1), slice(1, 4), slice(4, 5), slice(5, 8))  # depth, normals, soft edge, labels


@dataclass(frozen=True)
class Recipe:
    """How the networks are trained; the defaults made the model that ships."""

    steps: int = 5_000
    batch: int = 8
    crop_latents: tuple[int, int] = (16, 16)  # height and width of the crops at first
    full_latents: tuple[int, int] = (32, 40)  # and in the last part, with `full_batch` pictures a step
    full_batch: int = 2
    full_from: float = 0.8  # share of the steps after which whole pictures are trained on
    learning_rate: float = 4e-4
    warm_up_steps: int = 200
    decay_from: float = 0.7  # share of the steps after which the learning rate falls, to a twentieth
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    min_snr_gamma: float = 5.0
    domain_shares: tuple[float, float, float] = (0.62, 0.26, 0.12)  # of real, simulated, phantom
    low_noise_share: float = 0.9  # of the draws from the steps below `low_noise_steps`, where image-to-image works
    low_noise_steps: int = 700
    no_caption: float = 0.1
    domain_only_caption: float = 0.2
    no_condition: float = 0.12
    no_group: tuple[float, float, float, float] = (0.2, 0.4, 0.1, 0.15)  # chance to drop each of CONDITION_GROUPS
    seed: int = 7


class Training:
    """Networks, optimiser and moving averages, and how many steps they have made."""

    def __init__(self, recipe: Recipe, shape: MiniShape, tokenizer: CLIPTokenizer, pictures: Sequence[Picture]):
        torch.manual_seed(recipe.seed)
        self.recipe, self.tokenizer, self.shape = recipe, tokenizer, shape
        parts = {
            "unet": shape.unet(),
            "controlnet": shape.controlnet(),
            "text_encoder": shape.text_encoder(tokenizer),
        }
        self.networks = nn.ModuleDict(parts).to(memory_format=torch.channels_last)
        self.average = EMAModel(self.networks.parameters(), decay=recipe.ema_decay, foreach=True)
        self.optimizer = torch.optim.AdamW(
            self.networks.parameters(),
            lr=recipe.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.scheduler = noise_scheduler()
        self.step_number = 0
        self.losses: list[float] = []
        self._pictures = {domain: [p for p in pictures if p.domain == domain] for domain in DOMAINS}
        texts = sorted({"", *DOMAINS, *(p.caption for p in pictures)})
        tokens = tokenizer(
            texts, padding="max_length", max_length=shape.text_tokens, truncation=True, return_tensors="pt"
        ).input_ids
        self._tokens = dict(zip(texts, tokens, strict=True))

    def step(self) -> float:
        """One optimiser step; returns its loss."""
        loss = self.loss(self.step_number)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * self._learning_rate_factor()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self.optimizer.step()
        self.average.step(self.networks.parameters())
        self.step_number += 1
        self.losses.append(loss.item())
        return self.losses[-1]

    def loss(self, step_number: int) -> torch.Tensor:
        """Loss of the networks as they are, on what that step draws: v-prediction, weighted by min-SNR (Hang 2023)."""
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, step_number])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        latents, scenes, captions = self._draw(rng, whole=step_number >= recipe.full_from * recipe.steps)
        steps = torch.from_numpy(
            np.where(
                rng.random(len(latents)) < recipe.low_noise_share,
                rng.integers(0, recipe.low_noise_steps, len(latents)),
                rng.integers(recipe.low_noise_steps, 1000, len(latents)),
            )
        )
        noise = torch.randn(latents.shape, generator=generator)
        noisy = self.scheduler.add_noise(latents, noise, steps).contiguous(memory_format=torch.channels_last)
        text = self.networks["text_encoder"](torch.stack([self._tokens[c] for c in captions])).last_hidden_state
        down, middle = self.networks["controlnet"](noisy, steps, text, controlnet_cond=scenes, return_dict=False)
        got = self.networks["unet"](
            noisy,
            steps,
            text,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        snr = compute_snr(self.scheduler, steps)
        weight = snr.clamp(max=recipe.min_snr_gamma) / (snr + 1)
        wanted = self.scheduler.get_velocity(latents, noise, steps)
        return ((got - wanted).square().mean((1, 2, 3)) * weight).mean()

    def _learning_rate_factor(self) -> float:
        done = self.step_number / self.recipe.steps
        warm = min((self.step_number + 1) / self.recipe.warm_up_steps, 1.0)
        left = min((1 - done) / (1 - self.recipe.decay_from), 1.0)
        return warm * max(left, 0.05)

    def _draw(self, rng: np.random.Generator, whole: bool) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """Latents float32 [N, C, h, w], conditions float32 [N, 8, H, W] in 0..1, captions."""
        recipe = self.recipe
        height, width = recipe.full_latents if whole else recipe.crop_latents
        shares = np.array([share * bool(self._pictures[d]) for d, share in zip(DOMAINS, recipe.domain_shares)])
        latents, scenes, captions = [], [], []
        for _ in range(recipe.full_batch if whole else recipe.batch):
            domain = DOMAINS[rng.choice(len(DOMAINS), p=shares / shares.sum())]
            picture = self._pictures[domain][rng.integers(len(self._pictures[domain]))]
            top = rng.integers(picture.latents.shape[1] - height + 1)
            left = rng.integers(picture.latents.shape[2] - width + 1)
            latents.append(picture.latents[:, top : top + height, left : left + width].float())
            scene = picture.scene[:, 8 * top : 8 * (top + height), 8 * left : 8 * (left + width)].float() / 255
            for group, chance in zip(CONDITION_GROUPS, recipe.no_group, strict=True):
                if rng.random() < chance:
                    scene[group] = 0
            scenes.append(scene * float(rng.random() >= recipe.no_condition))
            kind = rng.random()
            if kind < recipe.no_caption:
                captions.append("")
            else:
                captions.append(domain if kind < recipe.no_caption + recipe.domain_only_caption else picture.caption)
        conditions = torch.stack(scenes).contiguous(memory_format=torch.channels_last)
        return torch.stack(latents), conditions, captions

    def save(self, path: str | Path) -> None:
        """Write all that is needed to go on exactly."""
        state = {
            "step_number": self.step_number,
            "losses": self.losses,
            "networks": self.networks.state_dict(),
            "average": [value.clone() for value in self.average.shadow_params],
            "average_step": self.average.optimization_step,
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: str | Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path, weights_only=True)
        self.step_number, self.losses = state["step_number"], state["losses"]
        self.networks.load_state_dict(state["networks"])
        self.average.shadow_params = state["average"]
        self.average.optimization_step = state["average_step"]
        self.optimizer.load_state_dict(state["optimizer"])

    def averaged_networks(self) -> nn.ModuleDict:
        """The networks with the moving averages of their weights."""
        shape = self.shape
        parts = {
            "unet": shape.unet(),
            "controlnet": shape.controlnet(),
            "text_encoder": shape.text_encoder(self.tokenizer),
        }
        averaged = nn.ModuleDict(parts)
        self.average.copy_to(averaged.parameters())
        return averaged.eval()


def train(training: Training, state: Path, log: Callable[[str], None], stop: Callable[[], bool], every: int) -> None:
    """Steps until the recipe's end or `stop`; the state is written every `every` steps and at the end."""
    while training.step_number < training.recipe.steps and not stop():
        training.step()
        if training.step_number % 50 == 0:
            mean = float(np.mean(training.losses[-200:]))
            log(f"step {training.step_number} of {training.recipe.steps}, loss {mean:.4f} over the last 200")
        if training.step_number % every == 0:
            training.save(state)
    training.save(state)
