"""A diffusion model as training sees it: noisy latents and captions in, prediction out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from splatscope.restyle.base_model import LatentDiffusion, PromptEmbedding
from splatscope.restyle.style_training.latent_cache import Example

CACHED_CAPTIONS = 512


class Learner:
    """The base model, frozen; subclasses add what learns.

    Args:
        model: its weights stay as they are, its requires_grad flags do not.
    """

    def __init__(self, model: LatentDiffusion):
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
        embedding = self._embed(captions)
        arguments: dict[str, Any] = {"encoder_hidden_states": embedding.hidden}
        if self._wants_sizes:
            sizes = [example.time_ids for example in examples]
            sizes = torch.tensor(sizes, device=self.device, dtype=torch.float32)  # half precision would round them
            arguments["added_cond_kwargs"] = {"text_embeds": embedding.pooled, "time_ids": sizes}
        return arguments

    def _run_unet(self, noisy, timesteps, arguments) -> torch.Tensor:
        return self.model.unet(noisy, timesteps, **arguments, return_dict=False)[0]

    def _embed(self, captions: Sequence[str]) -> PromptEmbedding:
        return join_embeddings([self._embed_one(caption) for caption in captions])

    def _embed_frozen(self, caption: str) -> PromptEmbedding:
        # a caption left out is what guidance will lead away from: to SDXL that is not the text "", but zeros
        return self.model.encode_prompts([caption]) if caption else self.model.encode_negative("", 1)


def join_embeddings(embeddings: Sequence[PromptEmbedding]) -> PromptEmbedding:
    """One embedding of the prompts of several."""
    pooled = [embedding.pooled for embedding in embeddings]
    hidden = torch.cat([embedding.hidden for embedding in embeddings])
    return PromptEmbedding(hidden, None if pooled[0] is None else torch.cat(pooled))
