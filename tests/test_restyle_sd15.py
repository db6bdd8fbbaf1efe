"""SimuScope's recipe through the true architecture of Stable Diffusion 1.5, with random weights."""

import diffusers
import numpy as np
import pytest
import torch
import transformers
import yaml
from safetensors.torch import save_file

from restyle_material import NOISE_SCHEDULE, make_tokenizer, pictures, standard_noise
from splatscope.config.restyle import LoraSetting, RestyleConfig
from splatscope.restyle.base_model import LatentDiffusion
from splatscope.restyle.controlnets import LoadedControlNet
from splatscope.restyle.loras import merge_loras
from splatscope.restyle.sampler import restyle_batch

UNET = {  # as the published configuration has it
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}


def test_parts_are_the_published_ones():
    """The published numbers of parameters, and shapes, without memory for either."""
    with torch.device("meta"):
        unet, vae = diffusers.UNet2DConditionModel(**UNET), diffusers.AutoencoderKL(**VAE)
        controlnet = diffusers.ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    sizes = [sum(value.numel() for value in part.parameters()) for part in (unet, controlnet, vae)]
    assert sizes == [859_520_964, 361_279_120, 83_653_863]
    noisy, times = torch.empty(2, 4, 8, 8, device="meta"), torch.empty(2, device="meta")
    words, shown = torch.empty(2, 77, 768, device="meta"), torch.empty(2, 3, 64, 64, device="meta")
    down, middle = controlnet(noisy, times, words, shown, return_dict=False)
    output = unet(noisy, times, words, down_block_additional_residuals=down, mid_block_additional_residual=middle)
    assert output.sample.shape == noisy.shape and len(down) == 12


def randomised(make) -> torch.nn.Module:
    """The module with cheap random weights: diffusers' own initialisation takes a minute for this many."""
    with torch.device("meta"):
        module = make()
    module = module.to_empty(device="cpu").eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for name, value in module.named_parameters():
        value.fill_(1.0) if "norm" in name and name.endswith("weight") else value.normal_(0, 0.02, generator=generator)
    return module


def kohya_lora(unet, rank: int, seed: int) -> dict[str, torch.Tensor]:
    """Of every attention projection, alpha 1, as SimuScope's training writes it."""
    generator, weights = torch.Generator().manual_seed(seed), {}
    for name, module in unet.named_modules():
        if name.endswith(("to_q", "to_k", "to_v", "to_out.0")):
            key = "lora_unet_" + name.replace(".", "_")
            weights[f"{key}.lora_down.weight"] = torch.randn(rank, module.in_features, generator=generator) * 0.1
            weights[f"{key}.lora_up.weight"] = torch.randn(module.out_features, rank, generator=generator) * 0.1
            weights[f"{key}.alpha"] = torch.tensor(1.0)
    return weights


@pytest.mark.slow  # 6 GB of weights
def test_one_step_of_the_preset(repository, tmp_path):
    content = yaml.safe_load((repository / "config" / "paper" / "simuscope.yaml").read_text())
    config = RestyleConfig.model_validate(content["restyle"])
    unet = randomised(lambda: diffusers.UNet2DConditionModel(**UNET))
    net = randomised(
        lambda: diffusers.ControlNetModel.from_unet(
            diffusers.UNet2DConditionModel(**UNET), load_weights_from_unet=False
        )
    )
    before = unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight.clone()
    loras = []
    for seed, lora in enumerate(config.loras):
        path = tmp_path / f"{seed}.safetensors"
        save_file(kohya_lora(unet, rank=128, seed=seed), path)
        loras.append(LoraSetting(path=str(path), weight=lora.weight))
    merge_loras(unet, [], loras)
    after = unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight
    assert (after - before).abs().max() > 1e-4
    tokenizer = make_tokenizer()
    text = transformers.CLIPTextConfig(  # CLIP ViT-L/14's
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        projection_dim=768,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = LatentDiffusion(
        name="random weights",
        licence="none",
        vae=randomised(lambda: diffusers.AutoencoderKL(**VAE)),
        unet=unet,
        text_encoders=(transformers.CLIPTextModel(text).eval().requires_grad_(False),),
        tokenizers=(tokenizer,),
        scheduler_config={**NOISE_SCHEDULE, "prediction_type": "epsilon"},
        controlnets=tuple(LoadedControlNet(net, item.condition, item.weight) for item in config.controlnets),
        device=torch.device("cpu"),
        dtype=torch.float32,
        latent_scale=8,
    )
    assert model.pixel_multiple == 64 and model.latent_shape(64, 64) == (4, 8, 8)
    images = pictures(1, 64, 64)
    given = [pictures(1, 64, 64, seed=seed) for seed in (1, 2)], [config.prompt]
    one_step = config.sampler.model_copy(update={"steps": 1})
    noise = standard_noise(1, 4, 8, 8)
    restyled = restyle_batch(model, images, *given, one_step, noise, references=images)
    assert restyled.shape == images.shape and np.isfinite(restyled).all()
    without = restyle_batch(model, images, *given, one_step.model_copy(update={"reference_weight": 0.0}), noise)
    assert np.abs(restyled - without).max() > 0
