"""ControlNet (Zhang et al., ICCV 2023) trained on frames of our own shards and conditions drawn from their maps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel

from splatscope.config.style_training import ControlNetTrainingConfig
from splatscope.digests import code_digest
from splatscope.errors import InputError
from splatscope.files import sha256, write_json
from splatscope.restyle import conditions
from splatscope.restyle.base_model import LatentDiffusion
from splatscope.restyle.conditions import DEPTH_RANGE_MM, condition_channels, condition_image
from splatscope.restyle.detectors import Detectors
from splatscope.restyle.style_training.buckets import bucket_sizes, check_bucket_step, choose_crop
from splatscope.restyle.style_training.identity import training_identity
from splatscope.restyle.style_training.latent_cache import Example, LatentCache, weights_digest
from splatscope.restyle.style_training.learner import Learner
from splatscope.restyle.style_training.trainer import Trainer
from splatscope.shards import Frame, read_shard

RECORD = "training.json"  # beside the weights: how they were trained


def train_controlnet(
    base: LatentDiffusion,
    shards: Sequence[str | Path],
    condition: str,
    config: ControlNetTrainingConfig,
    out: str | Path,
    *,
    seed: int,
    start: ControlNetModel | None = None,
    captions: Callable[[Frame], str] | None = None,
    depth_range_mm: tuple[float, float] | None = DEPTH_RANGE_MM,
    detectors: Detectors | None = None,
    cache: str | Path | None = None,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> Path:
    """Teach a copy of the base model's encoder to follow a condition.

    Args:
        base: the model to steer, on the device to train on. It comes back as it was, frozen.
        shards: frames to learn from, with the maps that the condition needs.
        condition, depth_range_mm, detectors: see conditions.condition_image.
        config: settings.
        out: folder that gets the ControlNet as diffusers loads it, and training.json. Beside it, in <out>.training/,
            lie curve.csv, samples/step_<number>.png and while the training runs checkpoint.safetensors: the next call
            goes on from it, to the same bytes as without the interruption.
        seed: of all that is random. Equal bytes are a promise of one machine's CPU.
        start: ControlNet to go on from, which is changed; None starts from the U-Net's own weights, its influence 0.
        captions: of a frame; None: config.caption for all.
        cache: folder of encoded frames, which trainings may share; None: in <out>.training/.
        log: called with lines of progress.
        stop_at: end early, as an interruption does, before this step (for tests).

    Returns `out`.

    Raises InputError for broken shards, frames without the maps needed or too small, a base model of another kind, a
    checkpoint of another training, and a loss that is not finite.
    """
    out = Path(out)
    folder = out.with_name(f"{out.name}.training")
    check_bucket_step(base, config)
    latents = LatentCache(Path(cache) if cache is not None else folder / "latents", base)
    caption_of = captions or (lambda frame: config.caption)

    def draw(frame: Frame):
        return condition_image(condition, frame, depth_range_mm=depth_range_mm, detectors=detectors)

    how = f"{condition} {depth_range_mm} {code_digest(conditions.__file__)}"
    training, heldout = encode_shards(shards, latents, config, draw, how, caption_of)
    log(
        f"{len(training)} frames of {len(shards)} shards to train on, {len(heldout)} held out; {latents.encoded} newly "
        "encoded"
    )
    learner = ControlNetLearner(base, start, condition_channels(condition), config, seed)
    frames = [(example.file.name, example.caption) for example in (*training, *heldout)]
    identity = training_identity(f"ControlNet for {condition}", base, config, seed, frames)
    identity["start"] = weights_digest(learner.controlnet)
    try:
        trainer = Trainer(learner, training, heldout, config, seed, folder, identity, log)
        trainer.run(stop_at)
        if stop_at is None:
            _write_controlnet(out, learner.controlnet, {"condition": condition, "base_model": base.name, **identity})
            trainer.checkpoint.unlink(missing_ok=True)
    finally:
        base.unet.disable_gradient_checkpointing()
    return out


class ControlNetLearner(Learner):
    """The base model with a ControlNet that is shown each example's condition."""

    def __init__(
        self,
        model: LatentDiffusion,
        start: ControlNetModel | None,
        channels: int,
        config: ControlNetTrainingConfig,
        seed: int,
    ):
        super().__init__(model)
        if start is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                start = ControlNetModel.from_unet(model.unet, conditioning_channels=channels)
        self.controlnet = start.to(model.device, torch.float32).requires_grad_(True)
        if config.gradient_checkpointing:
            model.unet.enable_gradient_checkpointing()
            self.controlnet.enable_gradient_checkpointing()

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.controlnet.parameters())}]

    def predict(self, noisy, timesteps, examples: Sequence[Example], captions: Sequence[str]) -> torch.Tensor:
        shown = torch.stack([example.condition() for example in examples]).to(self.device)
        arguments = self._prompt(examples, captions)
        down, middle = self.controlnet(noisy, timesteps, controlnet_cond=shown, **arguments, return_dict=False)
        arguments |= {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        return self._run_unet(noisy, timesteps, arguments)


def encode_shards(
    shards, latents: LatentCache, config: ControlNetTrainingConfig, draw, how: str, caption_of
) -> tuple[list[Example], list[Example]]:
    """Pictures to train on and held-out ones; `how` tells the conditions that `draw` makes from all others."""
    sizes = bucket_sizes(config.resolution, config.bucket_min, config.bucket_max, config.bucket_step)
    training: list[Example] = []
    heldout: list[Example] = []
    for index, shard in enumerate(shards):
        held = bool(config.heldout_every) and index % config.heldout_every == config.heldout_every // 2
        content = sha256(shard) if Path(shard).is_file() else ""
        for frame in read_shard(shard):
            height, width = frame.rgb.shape[:2]
            example = latents.example(
                f"{shard}, frame {frame.key}",
                f"{content} {frame.key} {how}",
                (width, height),
                choose_crop(width, height, sizes),
                lambda frame=frame: frame.rgb,
                caption=caption_of(frame),
                condition=lambda frame=frame: draw(frame),
            )
            (heldout if held else training).append(example)
    if not training:
        raise InputError(
            ", ".join(str(shard) for shard in shards) or "shards",
            found="no frame to train on",
            expected="frames with exact maps",
            remedy="render or simulate some",
        )
    return training, heldout


def _write_controlnet(out: Path, controlnet: ControlNetModel, record: dict) -> None:
    """Write the folder under another name, then give it its own: a reader never sees half of it."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        controlnet.save_pretrained(temporary)
        write_json(temporary / RECORD, record)
        for path in temporary.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(out, ignore_errors=True)
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
