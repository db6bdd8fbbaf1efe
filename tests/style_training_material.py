"""A tiny Stable Diffusion of the real classes, and pictures, for the tests of style training."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

WORDS = ["red", "green", "blue", "style", "tissue", "laparoscopy", "surgery"]
WIDTH = 16  # of the text embedding


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    """Knows WORDS whole and every letter."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [","]
    merges, pieces = [], []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merge = (parts[0], parts[1])
            parts = ["".join(merge), *parts[2:]]
            if merge not in merges:
                merges.append(merge)
                pieces.append(parts[0])
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *pieces, "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(dict.fromkeys(tokens))}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(merge) for merge in merges) + "\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_model(folder: Path, prediction: str = "epsilon", sdxl: bool = False) -> Path:
    """The folder of a Stable Diffusion (1.5's layout, or SDXL's) with 200,000 random weights."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(folder / "words")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
        scaling_factor=5.0,
    )
    sizes = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 6 * 4 + WIDTH,
    }
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=2 * WIDTH if sdxl else WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
        **(sizes if sdxl else {}),
    )
    parts = {
        "vae": vae,
        "unet": unet,
        "text_encoder": CLIPTextModel(text),
        "tokenizer": tokenizer,
        "scheduler": DDPMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type=prediction,
            clip_sample=False,
            steps_offset=1,
        ),
    }
    if sdxl:
        second = {"text_encoder_2": CLIPTextModelWithProjection(text), "tokenizer_2": tokenizer}
        pipeline = StableDiffusionXLPipeline(**parts, **second)
    else:
        rest = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline = StableDiffusionPipeline(**parts, **rest)
    pipeline.save_pretrained(folder / "model")
    return folder / "model"


class BlockMeans(torch.nn.Module):
    """An autoencoder anyone understands: latents are means of 8 x 8 pixels, of red, green, blue and all, in -1..1."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(scaling_factor=1.0, latent_channels=4, block_out_channels=(1,) * 4)
        self.register_buffer("colours", torch.eye(3))

    @property
    def dtype(self) -> torch.dtype:
        return self.colours.dtype

    def encode(self, pixels):
        means = torch.nn.functional.avg_pool2d(pixels, 8)
        return SimpleNamespace(latents=torch.cat([means, means.mean(1, keepdim=True)], 1))

    def decode(self, latents):
        return SimpleNamespace(sample=latents[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3))


def make_pictures(folder: Path, count: int, colour=(0.8, 0.15, 0.1), size=(64, 64), seed: int = 0) -> Path:
    """Blotchy pictures about one colour; `size` is width, height."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        blotches = rng.normal(0, 0.12, (4, 4, 1)).repeat(-(-size[1] // 4), 0).repeat(-(-size[0] // 4), 1)
        picture = np.clip(np.array(colour) + blotches[: size[1], : size[0]], 0, 1)
        Image.fromarray((picture * 255).astype(np.uint8)).save(folder / f"{index:03d}.png")
    return folder
