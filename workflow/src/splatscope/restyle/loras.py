"""LoRAs merged into the weights of a U-Net and its text encoders, by diffusers' converters and peft."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils import (
    convert_state_dict_to_diffusers,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
    recurse_remove_peft_layers,
    set_weights_and_activate_adapters,
)

from splatscope.config.restyle import LoraSetting
from splatscope.errors import InputError
from splatscope.restyle.lora_metadata import peft_settings
from splatscope.restyle.model_files import PICKLES, first_line

_REMEDY = "use LoRAs that were trained for this base model; restyle.model and restyle.loras name both"


def merge_loras(unet: torch.nn.Module, text_encoders: Sequence[torch.nn.Module], loras: Sequence[LoraSetting]) -> None:
    """Add each LoRA, times its weight, to the weights of the modules it was trained for, in place.

    Reads diffusers' and kohya's formats. Raises InputError for a file that is absent, broken, a pickle or no LoRA, and
    for keys, ranks or shapes that do not fit, naming the first such key.
    """
    if not loras:
        return
    parts = {"unet": unet}
    parts |= {"text_encoder" + (f"_{n + 1}" if n else ""): encoder for n, encoder in enumerate(text_encoders)}
    names: dict[str, list[tuple[str, float]]] = {prefix: [] for prefix in parts}
    for number, lora in enumerate(loras):
        path = lora_file(lora.path)
        weights, alphas, settings = read_lora(path, parts)
        for prefix, part in parts.items():
            if any(key.startswith(f"{prefix}.") for key in weights):
                with warnings.catch_warnings():  # that there is more than one LoRA is wanted
                    warnings.filterwarnings("ignore", message="Already found a `peft_config`")
                    _inject(path, part, prefix, weights, alphas, settings[prefix], f"lora_{number}")
                names[prefix].append((f"lora_{number}", lora.weight))
    for prefix, part in parts.items():
        if names[prefix]:
            _merge(part, *zip(*names[prefix]))


def lora_file(path: str | Path) -> Path:
    """The .safetensors file that `path` is or holds. Raises InputError when there is none, or more than one."""
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        found = ", ".join(file.name for file in files) or "no .safetensors file"
    else:
        files = [path] if path.is_file() and path.suffix == ".safetensors" else []
        found = "a pickle" if path.suffix in PICKLES else "no such file" if not path.is_file() else "another suffix"
    if len(files) == 1:
        return files[0]
    raise InputError(
        path,
        found=found,
        expected="a LoRA as one .safetensors file",
        remedy="correct the path in restyle.loras; convert a pickle with safetensors.torch.save_file",
    )


def read_lora(path: Path, parts: dict[str, torch.nn.Module]) -> tuple[dict[str, torch.Tensor], dict | None, dict]:
    """Weights under the names of diffusers' modules, kohya's scales of layers, and peft's settings by part.

    `parts` are "unet", "text_encoder", "text_encoder_2". Raises InputError for anything that does not fit them.
    """
    weights, alphas, metadata = _read(path, parts["unet"])
    _check_fit(path, weights, parts)
    own = {prefix: _as_peft(prefix, weights, part) for prefix, part in parts.items()}
    settings = {prefix: peft_settings(path, metadata, prefix, own[prefix]) for prefix in parts if own[prefix]}
    return weights, alphas, settings


def _read(path: Path, unet: torch.nn.Module) -> tuple[dict[str, torch.Tensor], dict | None, dict | None]:
    """Weights with the names of diffusers' modules; alphas of kohya's format; metadata of diffusers'."""
    try:
        weights, alphas, metadata = StableDiffusionLoraLoaderMixin.lora_state_dict(
            str(path),
            use_safetensors=True,
            local_files_only=True,
            unet_config=unet.config,
            return_lora_metadata=True,
        )
    except Exception as error:  # converters of several formats raise whatever they like
        raise InputError(
            path,
            found=first_line(error),
            expected="a LoRA in diffusers' or kohya's format",
            remedy="download or train the LoRA again",
        ) from error
    if not weights or not all("lora" in key for key in weights):
        key = next((key for key in weights if "lora" not in key), "no key")
        raise InputError(
            path,
            found=f"{key}, which is of no LoRA",
            expected="LoRA weights alone",
            remedy="name a LoRA; other adapters (DoRA, LoHa, LoKr) are not read",
        )
    return weights, alphas, metadata


def _as_peft(prefix: str, weights: dict[str, torch.Tensor], part: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Those of one part, named as peft names them: MODULE.lora_A.weight [rank, in, ..], MODULE.lora_B.weight."""
    own = {key.removeprefix(f"{prefix}."): value for key, value in weights.items() if key.startswith(f"{prefix}.")}
    if not own or prefix == "unet":
        return convert_unet_state_dict_to_peft(own)
    own = convert_state_dict_to_peft(convert_state_dict_to_diffusers(own))
    if not hasattr(part, "text_model"):  # as in recent transformers, where older LoRAs still say it
        own = {key.removeprefix("text_model."): value for key, value in own.items()}
    return own


def _check_fit(path: Path, weights: dict[str, torch.Tensor], parts: dict[str, torch.nn.Module]) -> None:
    for key in weights:
        if key.partition(".")[0] not in parts:
            raise InputError(path, key, found="a part that the model lacks", expected=f"{list(parts)}", remedy=_REMEDY)
    for prefix, part in parts.items():
        modules = dict(part.named_modules())
        try:
            own = _as_peft(prefix, weights, part)
        except ValueError as error:
            raise InputError(path, prefix, found=str(error), expected="LoRA weights", remedy=_REMEDY) from error
        for key, value in own.items():
            name, _, half = key.removesuffix(".weight").rpartition(".lora_")
            module = modules.get(name)
            if half not in ("A", "B") or getattr(module, "weight", None) is None:
                raise InputError(
                    path, f"{prefix}.{key}", found="no such module in the model", expected="a layer", remedy=_REMEDY
                )
            other = own.get(f"{name}.lora_{'B' if half == 'A' else 'A'}.weight")
            if other is None or value.ndim != module.weight.ndim or not torch.isfinite(value).all():
                problem = "its other half is missing" if other is None else f"shape {list(value.shape)}, or not finite"
                raise InputError(
                    path,
                    f"{prefix}.{key}",
                    found=problem,
                    expected=f"two halves for {list(module.weight.shape)}",
                    remedy=_REMEDY,
                )
            rank = value.shape[0] if half == "A" else other.shape[0]
            expected = [rank, *module.weight.shape[1:]] if half == "A" else [module.weight.shape[0], rank]
            if list(value.shape[: len(expected)]) != expected:
                raise InputError(
                    path,
                    f"{prefix}.{key}",
                    found=f"shape {list(value.shape)}",
                    expected=f"{expected} (rank {rank})",
                    remedy=_REMEDY,
                )


def _inject(path, part, prefix, weights, alphas, settings, name) -> None:
    options = {"network_alphas": alphas, "adapter_name": name, "metadata": settings}
    try:
        if prefix == "unet":
            StableDiffusionLoraLoaderMixin.load_lora_into_unet(weights, unet=part, **options)
        else:
            StableDiffusionLoraLoaderMixin.load_lora_into_text_encoder(
                weights, text_encoder=part, prefix=prefix, **options
            )
    except Exception as error:  # as above
        raise InputError(path, prefix, found=first_line(error), expected="LoRA weights", remedy=_REMEDY) from error


def _merge(part: torch.nn.Module, names: Sequence[str], weights: Sequence[float]) -> None:
    """Fold the adapters into the weights, so that the model runs as fast as without."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    set_weights_and_activate_adapters(part, list(names), list(weights))
    for module in part.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge(adapter_names=[name for name in names if name in module.r])
    remove_adapters(part)


def remove_adapters(part: torch.nn.Module) -> None:
    """Leave a U-Net or text encoder without adapters, merged or not, frozen, its layers named as before."""
    recurse_remove_peft_layers(part)
    del part.peft_config
    part._hf_peft_config_loaded = False
    part.requires_grad_(False)
