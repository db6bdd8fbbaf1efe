"""LoRA (Hu et al., 2022) of a diffusion model on a folder of real frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from splatscope.config.style_training import StyleTrainingConfig
from splatscope.errors import InputError
from splatscope.restyle.base_model import LatentDiffusion, PromptEmbedding
from splatscope.restyle.loras import remove_adapters
from splatscope.restyle.style_training.buckets import bucket_sizes, check_bucket_step, choose_crop
from splatscope.restyle.style_training.frames import StyleFrame, read_frames
from splatscope.restyle.style_training.identity import training_identity
from splatscope.restyle.style_training.latent_cache import Example, LatentCache
from splatscope.restyle.style_training.learner import Learner, join_embeddings
from splatscope.restyle.style_training.tensor_files import write_tensors
from splatscope.restyle.style_training.trainer import Trainer

LORA_FILE = "pytorch_lora_weights.safetensors"  # the name that diffusers looks for in a folder
ADAPTER = "style"
_ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
UNET_LAYERS = {
    "attention": _ATTENTION,
    "transformer": [*_ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"],
}
TEXT_LAYERS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def train_lora(
    base: LatentDiffusion,
    frames_folder: str | Path,
    config: StyleTrainingConfig,
    out: str | Path,
    *,
    seed: int,
    cache: str | Path | None = None,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> Path:
    """Learn the style of a folder of real frames.

    Args:
        base: the model to start from, on the device to train on, without LoRAs. It comes back as it was,
            frozen.
        frames_folder: see frames.read_frames.
        config: settings.
        out: folder that gets pytorch_lora_weights.safetensors, in the format of diffusers' `load_lora_weights`;
            curve.csv; samples/step_<number>.png. checkpoint.safetensors is there while the training runs: the next call
            goes on from it, to the same bytes as without the interruption.
        seed: of all that is random. Equal bytes are a promise of one machine's CPU.
        cache: folder of encoded frames, which trainings may share; None: out/latents.
        log: called with lines of progress.
        stop_at: end early, as an interruption does, before this step (for tests).

    Returns the path of the LoRA.

    Raises InputError for what read_frames refuses, frames too small, a base model of another kind, a checkpoint of
    another training, and a loss that is not finite.
    """
    out = Path(out)
    check_bucket_step(base, config)
    frames = read_frames(frames_folder, config.trigger_words, config.min_frames, log)
    latents = LatentCache(Path(cache) if cache is not None else out / "latents", base)
    training, heldout = encode_frames(frames, latents, config)
    log(
        f"{len(frames)} frames of {frames_folder}: {len(training)} pictures to train on, {len(heldout)} held out, in "
        f"{len({example.bucket for example in training})} sizes; {latents.encoded} newly encoded"
    )
    identity = training_identity("LoRA", base, config, seed, [(frame.sha256, frame.caption) for frame in frames])
    learner = LoraLearner(base, config, seed)
    try:
        trainer = Trainer(learner, training, heldout, config, seed, out, identity, log)
        trainer.run(stop_at)
        if stop_at is None:
            _write_lora(out / LORA_FILE, learner, config, seed, identity)
            trainer.checkpoint.unlink(missing_ok=True)
    finally:
        learner.remove_adapters()
    return out / LORA_FILE


def encode_frames(
    frames: Sequence[StyleFrame], latents: LatentCache, config: StyleTrainingConfig
) -> tuple[list[Example], list[Example]]:
    """Pictures to train on and held-out pictures, each cropped to its bucket.

    Raises InputError that lists all frames too small for theirs.
    """
    sizes = bucket_sizes(config.resolution, config.bucket_min, config.bucket_max, config.bucket_step)
    training: list[Example] = []
    heldout: list[Example] = []
    errors = []
    for index, frame in enumerate(frames):
        held = bool(config.heldout_every) and index % config.heldout_every == config.heldout_every // 2
        for mirrored in (False, True)[: 2 if config.flip and not held else 1]:
            try:
                example = latents.example(
                    str(frame.path),
                    frame.sha256,
                    (frame.width, frame.height),
                    choose_crop(frame.width, frame.height, sizes),
                    frame.pixels,
                    caption=frame.caption,
                    mirrored=mirrored,
                )
                (heldout if held else training).append(example)
            except InputError as error:
                errors.append(error)
    if errors:
        raise InputError.of_several(errors)
    return training, heldout


class LoraLearner(Learner):
    """The base model with LoRAs in its U-Net and, when the settings say so, in its text encoders."""

    def __init__(self, model: LatentDiffusion, config: StyleTrainingConfig, seed: int):
        super().__init__(model)
        self._config = config
        self._adapted: dict[str, torch.nn.Module] = {"unet": model.unet}
        if config.text_encoder:
            names = ["text_encoder", *(f"text_encoder_{number}" for number in range(2, 9))]
            self._adapted |= dict(zip(names, model.text_encoders))
        if config.gradient_checkpointing:
            model.unet.enable_gradient_checkpointing()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for name, module in self._adapted.items():
                self._add_adapter(name, module)

    def _add_adapter(self, name: str, module: torch.nn.Module) -> None:
        try:
            module.add_adapter(self.adapter_config(name), adapter_name=ADAPTER)
        except ValueError as error:  # peft's, when no layer has such a name
            raise InputError(
                self.model.name,
                name,
                found=str(error),
                expected=f"layers named {', '.join(self.adapter_config(name).target_modules)}",
                remedy="take a base model of Stable Diffusion's layout",
            ) from error
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.data = (
                    parameter.data.float()
                )  # the base may lie in half precision; steps are too small for it

    def adapter_config(self, name: str) -> LoraConfig:
        layers = UNET_LAYERS[self._config.layers] if name == "unet" else TEXT_LAYERS
        return LoraConfig(r=self._config.rank, lora_alpha=self._config.alpha, target_modules=sorted(layers))

    def parameter_groups(self) -> list[dict[str, Any]]:
        groups = []
        for name, module in self._adapted.items():
            group: dict[str, Any] = {"params": [value for value in module.parameters() if value.requires_grad]}
            if name != "unet":
                group["lr"] = self._config.text_encoder_learning_rate
            groups.append(group)
        return groups

    def _embed(self, captions: Sequence[str]) -> PromptEmbedding:
        if not self._config.text_encoder:
            return super()._embed(captions)
        zeros = self.model.zero_empty_prompt
        return join_embeddings(
            [
                self.model.encode_prompt(caption) if caption or not zeros else self.model.encode_negative("", 1)
                for caption in captions
            ]
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """The LoRA's matrices by diffusers' names."""
        return {
            f"{prefix}.{name}": value
            for prefix, module in self._adapted.items()
            for name, value in get_peft_model_state_dict(module, adapter_name=ADAPTER).items()
        }

    def remove_adapters(self) -> None:
        """Leave the base model as it was, but frozen."""
        self.model.unet.disable_gradient_checkpointing()
        for module in self._adapted.values():
            remove_adapters(module)


def _write_lora(path: Path, learner: LoraLearner, config: StyleTrainingConfig, seed: int, identity: dict) -> None:
    """Write the matrices, with what diffusers needs to scale them, and what a reader wants to know, as metadata."""
    tensors = learner.tensors()
    adapters = {}
    for prefix in sorted({name.split(".")[0] for name in tensors}):
        adapter = {"r": config.rank, "lora_alpha": config.alpha}
        adapter["target_modules"] = sorted(learner.adapter_config(prefix).target_modules)
        adapters |= {f"{prefix}.{key}": value for key, value in adapter.items()}
    metadata = {
        "format": "pt",
        LORA_ADAPTER_METADATA_KEY: json.dumps(adapters, sort_keys=True),
        "rank": str(config.rank),
        "alpha": str(config.alpha),
        "base_model": learner.model.name,
        "base_licence": learner.model.licence,
        "base_sha256": identity["base model"],
        "steps": str(config.steps),
        "seed": str(seed),
        "trigger_words": config.trigger_words,
        "frames_sha256": identity["frames"],
        "settings": config.model_dump_json(exclude={"frames"}),
    }
    write_tensors(path, tensors, metadata)
