"""A diffusion model as training sees it: noisy latents and captions in, prediction out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from splatscope.restyle.style_training.latent_cache import Example

CACHED_CAPTIONS = 512


class Denoiser:
    """The base model, frozen; subclasses add what learns.

    Args:
        model: a LatentDiffusion. Its weights stay as they are, its requires_grad flags do not.
    """

    def __init__(self, model):
        self.model = model
        self.device = model.device
        for module in (model.vae, model.unet, *model.text_encoders):
            module.requires_grad_(False)
        self._embed_one = lru_cache(CACHED_CAPTIONS)(self._embed_frozen)
        self._wants_sizes = model.unet.config.addition_embed_type == "text_time"  # SDXL

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What learns, in groups of torch's optimizers: "params" and, where it differs, "lr"."""
        raise NotImplementedError

    def predict(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, examples: Sequence[Example], captions: Sequence[str]
    ) -> torch.Tensor:
        """Noise or velocity [N, C, h, w] of noisy latents alike; timesteps int64 [N]."""
        return self._run_unet(noisy, timesteps, self._prompt(examples, captions))

    def _prompt(self, examples: Sequence[Example], captions: Sequence[str]) -> dict[str, Any]:
        """The arguments by which U-Net and ControlNet are told captions and, of SDXL, sizes."""
        hidden, pooled = self._embed(captions)
        arguments: dict[str, Any] = {"encoder_hidden_states": hidden}
        if self._wants_sizes:
            sizes = torch.tensor([example.time_ids for example in examples], device=self.device, dtype=hidden.dtype)
            arguments["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes}
        return arguments

    def _run_unet(self, noisy, timesteps, arguments) -> torch.Tensor:
        return self.model.unet(noisy, timesteps, **arguments, return_dict=False)[0]

    def _embed(self, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Hidden states [N, T, D] and, where the model has it, the pooled embedding [N, P]."""
        hidden, pooled = zip(*(self._embed_one(caption) for caption in captions))
        return torch.cat(hidden), None if pooled[0] is None else torch.cat(pooled)

    def _embed_frozen(self, caption: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        with torch.no_grad():
            embedding = self.model.encode_prompts([caption])
        return embedding.hidden, embedding.pooled
