"""The small model as a folder in Stable Diffusion's own layout, which diffusers' pipelines load."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from torch import nn
from transformers import CLIPTokenizer

from splatscope.restyle.mini.networks import noise_scheduler

CONTROLNET_FOLDER = "controlnet_scene"


def write_model(folder: str | Path, vae: AutoencoderTiny, networks: nn.ModuleDict, tokenizer: CLIPTokenizer) -> None:
    """Write model_index.json, vae/, unet/, text_encoder/, tokenizer/, scheduler/ and controlnet_scene/.

    Weights are stored in half precision (safetensors); `networks` holds unet, controlnet and text_encoder.
    """
    half = {name: copy.deepcopy(network).to(torch.float16) for name, network in networks.items()}
    pipeline = StableDiffusionPipeline(
        vae=copy.deepcopy(vae).to(torch.float16),
        text_encoder=half["text_encoder"],
        tokenizer=tokenizer,
        unet=half["unet"],
        scheduler=noise_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    half["controlnet"].save_pretrained(Path(folder) / CONTROLNET_FOLDER, safe_serialization=True)
