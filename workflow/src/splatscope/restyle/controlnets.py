"""ControlNets that belong to a base model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch

from splatscope.config.restyle import ControlNetSetting
from splatscope.errors import InputError
from splatscope.restyle.conditions import condition_channels
from splatscope.restyle.model_files import load_part, model_folder, model_licence


@dataclass(frozen=True)
class LoadedControlNet:
    """A ControlNet, what it is shown, and the factor of what it adds."""

    model: torch.nn.Module
    condition: str
    weight: float
    licence: str = ""  # as its own model card states it; empty: the base model's


def load_controlnet(
    setting: ControlNetSetting,
    base: Path,
    unet: torch.nn.Module,
    latent_scale: int,
    *,
    dtype: torch.dtype,
    allow_pickles: bool,
) -> LoadedControlNet:
    """The ControlNet of a setting, on the CPU; its folder is looked for in the base model's folder first.

    Raises InputError when it is missing or broken, or was trained for another model, condition or latent size.
    """
    inside = base / setting.model
    folder = inside if inside.is_dir() else model_folder(setting.model, f"a ControlNet for {setting.condition}")
    model = load_part(diffusers.ControlNetModel, folder, dtype, allow_pickles=allow_pickles)
    found, wanted = model.config, unet.config
    pixels = 2 ** (len(found.conditioning_embedding_out_channels) - 1)
    channels = condition_channels(setting.condition)
    for what, value, right, meaning in [
        ("cross_attention_dim", found.cross_attention_dim, wanted.cross_attention_dim, "the U-Net's"),
        ("block_out_channels", [*found.block_out_channels], [*wanted.block_out_channels], "the U-Net's"),
        ("in_channels", found.in_channels, wanted.in_channels, "the U-Net's"),
        ("conditioning_channels", found.conditioning_channels, channels, f"what {setting.condition} has"),
        ("conditioning_embedding_out_channels", f"{pixels} pixels", f"{latent_scale} pixels", "one latent"),
        ("controlnet_conditioning_channel_order", found.controlnet_conditioning_channel_order, "rgb", "ours"),
    ]:
        if value != right:
            raise InputError(
                folder / "config.json",
                what,
                found=str(value),
                expected=f"{right}, {meaning}",
                remedy="use a ControlNet trained for this base model and this condition",
            )
    own = not inside.is_dir() or (folder / "README.md").is_file()
    return LoadedControlNet(model, setting.condition, setting.weight, model_licence(folder) if own else "")
