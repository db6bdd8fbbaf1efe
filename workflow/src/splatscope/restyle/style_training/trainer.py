"""Training of a part of a diffusion model: same seed, same bytes, also after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel

from splatscope.config.style_training import TrainingConfig
from splatscope.errors import InputError
from splatscope.files import write_bytes, write_table
from splatscope.images import encode_png
from splatscope.restyle.style_training.batches import BatchOrder
from splatscope.restyle.style_training.latent_cache import Example
from splatscope.restyle.style_training.learner import Learner
from splatscope.restyle.style_training.losses import (
    prediction_target,
    snr_weights,
    weighted_error,
)
from splatscope.restyle.style_training.optimizers import arithmetic, make_optimizer
from splatscope.restyle.style_training.sample_pictures import draw_pictures
from splatscope.restyle.style_training.training_state import TrainingState

CHECKPOINT, CURVE, SAMPLES = "checkpoint.safetensors", "curve.csv", "samples"
PROBE_FRAMES, PROBE_LEVELS = 8, 4  # on which and at how many noise levels a loss without chance is measured
PROGRESS_EVERY_S = 5.0


class Trainer:
    """Goes down the gradient of a Learner's loss.

    Args:
        learner: what learns.
        training, heldout: pictures to learn from, and pictures that are only measured.
        config: settings.
        seed: of all that is random.
        folder: gets curve.csv (step; mean loss since the row before; learning rate; losses at fixed noise on training
            and held-out pictures), samples/step_<number>.png, and while it runs checkpoint.safetensors.
        identity: what a checkpoint must have been made with.
        log: called with lines of progress.
    """

    def __init__(
        self,
        learner: Learner,
        training: Sequence[Example],
        heldout: Sequence[Example],
        config: TrainingConfig,
        seed: int,
        folder: Path,
        identity: dict[str, Any],
        log: Callable[[str], None],
    ):
        self.learner, self.training, self.heldout = learner, training, heldout
        self.config, self.seed, self.folder, self.identity, self.log = config, seed, Path(folder), identity, log
        self.device = learner.device
        self.dtype = arithmetic(config.precision, self.device)
        self.scheduler = DDPMScheduler.from_config(learner.model.scheduler_config)
        self.order = BatchOrder([example.bucket for example in training], config.batch_size, seed)
        groups = learner.parameter_groups()
        parameters = [parameter for group in groups for parameter in group["params"]]
        average = EMAModel(parameters, decay=config.ema_decay, foreach=True) if config.ema_decay else None
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.state = TrainingState(parameters, average, *make_optimizer(groups, config), scaler)

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def run(self, stop_at: int | None = None) -> list[dict]:
        """Train, from the checkpoint when there is one. Returns the curve; the averaged weights are in place then.

        `stop_at` ends before its time, as an interruption does (for tests).

        Raises InputError when a loss is not finite, or the checkpoint is one of another training.
        """
        state, config = self.state, self.config
        if self.checkpoint.exists():
            self.log(state.load(self.checkpoint, self.identity))
        if not state.curve:
            self.measure()
        said, since, first = time.monotonic(), time.monotonic(), state.step
        while state.step < config.steps:
            if state.step == stop_at:
                return state.curve
            state.losses.append(self.take_step())
            state.step += 1
            last = state.step == config.steps
            if state.step % config.measure_every == 0 or last:
                self.measure()
            if state.step % config.checkpoint_every == 0 and not last:
                state.save(self.checkpoint, self.identity)
            now = time.monotonic()
            if now - said >= PROGRESS_EVERY_S:
                said, speed = now, (state.step - first) / (now - since)
                recent = np.mean(state.losses or [state.curve[-1]["loss"]])
                left = (config.steps - state.step) / speed
                self.log(f"{state.step}/{config.steps}  {speed:.2f} it/s  loss {recent:.4f}  {left:.0f} s to go")
        if state.average is not None:
            state.average.copy_to(state.parameters)
        return state.curve

    def take_step(self) -> float:
        """One step down the gradient of one or several batches; returns their mean loss."""
        state, config = self.state, self.config
        losses = []
        for part in range(config.gradient_accumulation):
            loss = self.loss(state.step * config.gradient_accumulation + part)
            losses.append(loss.item())
            if not np.isfinite(losses[-1]):
                raise InputError(
                    self.folder,
                    f"step {state.step + 1}",
                    found=f"a loss of {losses[-1]}",
                    expected="a finite loss",
                    remedy="lower learning_rate, or take precision bfloat16 or float32, and start anew",
                )
            state.scaler.scale(loss / config.gradient_accumulation).backward()
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.parameters, config.max_gradient_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.schedule.step()
        if state.average is not None:
            state.average.step(state.parameters)
        return float(np.mean(losses))

    def loss(self, number: int) -> torch.Tensor:
        """The loss of the batch of this number; everything random in it follows from the seed and the number."""
        examples = [self.training[index] for index in self.order[number]]
        clean = torch.stack([example.latents() for example in examples])
        generator = _generator(self.seed, number)
        levels = self.scheduler.config.num_train_timesteps
        timesteps = torch.randint(levels, (len(examples),), generator=generator).to(self.device)
        noise = torch.randn(clean.shape, generator=generator)
        offset = torch.randn(*clean.shape[:2], 1, 1, generator=generator)
        silent = torch.rand(len(examples), generator=generator) < self.config.caption_dropout
        noise = (noise + self.config.noise_offset * offset).to(self.device)
        captions = ["" if drop else example.caption for example, drop in zip(examples, silent)]
        weights = snr_weights(self.scheduler, timesteps, self.config.min_snr_gamma)
        return self.error(clean.to(self.device), noise, timesteps, examples, captions, weights)

    def error(self, clean, noise, timesteps, examples, captions, weights) -> torch.Tensor:
        noisy = self.scheduler.add_noise(clean, noise, timesteps)
        with self.autocast():
            prediction = self.learner.predict(noisy, timesteps, examples, captions)
        return weighted_error(prediction, prediction_target(self.scheduler, clean, noise, timesteps), weights)

    def autocast(self):
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @torch.no_grad()
    def measure(self) -> None:
        """A row of the curve and a sheet of pictures, both with the averaged weights."""
        state = self.state
        with self.averaged():
            probes = [self.probe_loss(examples) for examples in (self.training, self.heldout)]
            if self.config.samples:
                shown = _spread(self.heldout or self.training, self.config.samples)
                sheet = draw_pictures(self.learner, shown, self.scheduler, self.config, self.seed, self.autocast)
                write_bytes(self.folder / SAMPLES / f"step_{state.step:06d}.png", encode_png(sheet))
        row = {
            "step": state.step,
            "loss": float(np.mean(state.losses)) if state.losses else None,
            "learning_rate": state.optimizer.param_groups[0]["lr"],
            "probe_training": probes[0],
            "probe_heldout": probes[1],
        }
        state.curve.append(row)
        state.losses = []
        write_table(self.folder / CURVE, pd.DataFrame(state.curve))
        heldout = "" if probes[1] is None else f", held-out {probes[1]:.4f}"
        self.log(f"step {state.step}: loss at fixed noise: training {probes[0]:.4f}{heldout}")

    @torch.no_grad()
    def probe_loss(self, examples: Sequence[Example]) -> float | None:
        """Mean squared error, not weighted, over some pictures at evenly spaced noise levels with fixed noise."""
        if not examples:
            return None
        spacing = self.scheduler.config.num_train_timesteps / PROBE_LEVELS
        timesteps = ((torch.arange(PROBE_LEVELS) + 0.5) * spacing).long().to(self.device)
        weights, errors = torch.ones(PROBE_LEVELS, device=self.device), []
        for position, example in enumerate(_spread(examples, PROBE_FRAMES)):
            clean = example.latents().expand(PROBE_LEVELS, -1, -1, -1)
            noise = torch.randn(clean.shape, generator=_generator(self.seed, -1 - position)).to(self.device)
            same = [example] * PROBE_LEVELS
            captions = [example.caption] * PROBE_LEVELS
            errors.append(self.error(clean.to(self.device), noise, timesteps, same, captions, weights).item())
        return float(np.mean(errors))

    @contextmanager
    def averaged(self):
        """While it lasts, the parameters are the averaged ones."""
        average, parameters = self.state.average, self.state.parameters
        if average is None:
            yield
            return
        average.store(parameters)
        average.copy_to(parameters)
        try:
            yield
        finally:
            average.restore(parameters)


def _generator(seed: int, number: int) -> torch.Generator:
    """Of batch `number`, or of a probe, which have negative numbers."""
    words = np.random.SeedSequence([seed, abs(number), int(number < 0)]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))


def _spread(examples: Sequence[Example], count: int) -> list[Example]:
    """At most `count` of them, evenly spaced."""
    chosen = np.linspace(0, len(examples) - 1, min(count, len(examples))).round().astype(int)
    return [examples[index] for index in chosen]
