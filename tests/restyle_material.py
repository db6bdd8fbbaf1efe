"""Latent diffusion models of the true classes, tiny and with random weights, for the tests of restyling."""

import json
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers

WORDS = ["a", "real", "simulated", "laparoscopy", "liver", "style"]
TEXT_WIDTH = 16
NOISE_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def make_tokenizer() -> transformers.CLIPTokenizer:
    """Knows WORDS whole, and takes six of them."""
    merges, tokens = [], [*"abcdefghijklmnopqrstuvwxyz"]
    tokens += [f"{letter}</w>" for letter in tokens]
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = ["".join(pieces[:2]), *pieces[2:]]
            tokens.append(pieces[0])
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return transformers.CLIPTokenizer(vocabulary, list(dict.fromkeys(merges)), model_max_length=8)


def text_config(tokenizer) -> transformers.CLIPTextConfig:
    return transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=8,
        projection_dim=12,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def make_unet(*, sdxl: bool = False, **changes) -> diffusers.UNet2DConditionModel:
    sizes = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 6 * 4 + 12,
    }
    settings = {
        "sample_size": 8,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": TEXT_WIDTH * (2 if sdxl else 1),
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return diffusers.UNet2DConditionModel(**settings | (sizes if sdxl else {}) | changes)


def make_controlnet(unet, channels: int = 3, seed: int = 1) -> diffusers.ControlNetModel:
    """Its closing convolutions are random too, not zero, so that it says something."""
    torch.manual_seed(seed)
    controlnet = diffusers.ControlNetModel.from_unet(
        unet, conditioning_channels=channels, conditioning_embedding_out_channels=(8, 8, 16, 16)
    )
    for name, value in controlnet.named_parameters():
        if name.startswith(("controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(value, std=0.3)
    return controlnet


def make_model(folder: Path, *, prediction: str = "epsilon", sdxl: bool = False, scene: bool = True) -> Path:
    """A Stable Diffusion (the layout of 1.5, or of XL) with ControlNets controlnet_depth, controlnet_edge and
    controlnet_scene, of some 100,000 weights, saved in `folder`."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    unet = make_unet(sdxl=sdxl)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
    )
    torch.nn.init.normal_(unet.conv_out.weight, std=0.2)
    parts = {
        "vae": vae,
        "unet": unet,
        "text_encoder": transformers.CLIPTextModel(text_config(tokenizer)),
        "tokenizer": tokenizer,
        "scheduler": diffusers.DDIMScheduler(
            **NOISE_SCHEDULE, prediction_type=prediction, clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
    }
    if sdxl:
        second = transformers.CLIPTextModelWithProjection(text_config(tokenizer))
        pipeline = diffusers.StableDiffusionXLPipeline(**parts, text_encoder_2=second, tokenizer_2=tokenizer)
    else:
        pipeline = diffusers.StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipeline.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Random\n")
    make_controlnet(unet, seed=1).save_pretrained(folder / "controlnet_depth")
    make_controlnet(unet, seed=2).save_pretrained(folder / "controlnet_edge")
    if scene:
        make_controlnet(unet, channels=8, seed=3).save_pretrained(folder / "controlnet_scene")
    return folder


def edit_json(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def pictures(count: int, height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """float32 [N, H, W, C] in 0..1: coarse random blotches."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((count, -(-height // 8), -(-width // 8), channels))
    return coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width].astype(np.float32)


def standard_noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
