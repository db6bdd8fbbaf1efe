"""A latent diffusion model in Stable Diffusion's layout: 1.5, 2.1, XL, and the small one that ships.

The folder is a diffusers pipeline's: model_index.json, vae/, unet/, text_encoder/, tokenizer/, scheduler/, for XL also
text_encoder_2/ and tokenizer_2/, and any controlnet_<name>/ beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers

from splatscope.config.restyle import ControlNetSetting, LoraSetting
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.restyle.controlnets import LoadedControlNet, load_controlnet
from splatscope.restyle.loras import lora_file, merge_loras
from splatscope.restyle.model_files import first_line, load_part, model_folder, model_licence

_CLASSES = {  # a model's index may name no others, so that it cannot choose what is run
    "vae": ("AutoencoderKL", "AutoencoderTiny"),
    "unet": ("UNet2DConditionModel",),
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "text_encoder_2": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast"),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast"),
}
_PREDICTIONS = ("epsilon", "v_prediction")


@dataclass(frozen=True)
class PromptEmbedding:
    """What text encoders make of N prompts."""

    hidden: torch.Tensor  # [N, tokens, channels]
    pooled: torch.Tensor | None = None  # [N, channels]; XL alone has it

    def zeroed(self) -> PromptEmbedding:
        return PromptEmbedding(
            torch.zeros_like(self.hidden), None if self.pooled is None else torch.zeros_like(self.pooled)
        )


@dataclass
class LatentDiffusion:
    """The loaded parts of a latent diffusion model."""

    name: str
    licence: str  # as its model card states it, else "unknown (see ...)"
    vae: torch.nn.Module
    unet: torch.nn.Module
    text_encoders: tuple[torch.nn.Module, ...]
    tokenizers: tuple
    scheduler_config: dict
    controlnets: tuple[LoadedControlNet, ...]
    device: torch.device
    dtype: torch.dtype
    latent_scale: int  # pixels per latent along a side
    zero_empty_prompt: bool = False  # whether the empty negative prompt is zeros, as XL was trained
    asset_licences: dict[str, str] = field(default_factory=dict)  # of everything that went in, by name
    largest_batch: int | None = None  # images at a time that memory was found to hold; None: never ran out
    _truncated: set[str] = field(default_factory=set, repr=False)

    @property
    def prediction_type(self) -> str:
        """What the U-Net predicts: "epsilon" (the noise) or "v_prediction" (Salimans and Ho 2022)."""
        return self.scheduler_config["prediction_type"]

    @property
    def pixel_multiple(self) -> int:
        """Height and width in pixels that the U-Net takes are multiples of this."""
        return self.latent_scale * 2 ** (len(self.unet.config.block_out_channels) - 1)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels of the padded image."""
        unit = self.pixel_multiple
        return -(-height // unit) * unit, -(-width // unit) * unit

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape [C, h, w] of the latents, and so of the noise, of an image of this size in pixels."""
        padded = self.padded_size(height, width)
        return self.unet.config.in_channels, padded[0] // self.latent_scale, padded[1] // self.latent_scale

    @torch.no_grad()
    def encode_images(self, images: np.ndarray) -> torch.Tensor:
        """float32 [N, C, H/8, W/8] latents, scaled to about unit variance, of float32 [N, H, W, 3] images in 0..1.

        The mean of what the encoder proposes: nothing is drawn. H and W are multiples of `latent_scale`.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] % self.latent_scale:
            raise ValueError(f"expected [N, H, W, 3], H and W multiples of {self.latent_scale}, got {images.shape}")
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).to(self.device) * 2 - 1
        encoded = self.vae.encode(pixels.to(self.vae.dtype))
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return (latents.float() - self._shift) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode_latents(self, latents: torch.Tensor) -> np.ndarray:
        """float32 [N, H, W, 3] images in 0..1 of scaled latents [N, C, h, w]."""
        unscaled = latents / self.vae.config.scaling_factor + self._shift
        pixels = self.vae.decode(unscaled.to(self.vae.dtype)).sample.float()
        return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbedding:
        """Embeddings of prompts, in their order. A prompt longer than the encoder takes is cut, and the log says so."""
        unique = {prompt: self.encode_prompt(prompt) for prompt in dict.fromkeys(prompts)}
        hidden = torch.cat([unique[prompt].hidden for prompt in prompts])
        pooled = [unique[prompt].pooled for prompt in prompts]
        return PromptEmbedding(hidden, None if pooled[0] is None else torch.cat(pooled))

    def encode_negative(self, prompt: str, count: int) -> PromptEmbedding:
        """`count` times the embedding of what guidance leads away from."""
        embedding = self.encode_prompts([prompt] * count)
        return embedding.zeroed() if not prompt and self.zero_empty_prompt else embedding

    @property
    def _shift(self) -> float:
        return getattr(self.vae.config, "shift_factor", None) or 0.0

    def encode_prompt(self, prompt: str) -> PromptEmbedding:
        """The embedding of one prompt, so that its bytes do not depend on its neighbours; gradients flow, for training
        of the text encoders."""
        hidden, pooled = [], None
        for tokenizer, encoder in zip(self.tokenizers, self.text_encoders):
            length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
            tokens = tokenizer([prompt], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
            if len(tokenizer(prompt).input_ids) > length and prompt not in self._truncated:
                self._truncated.add(prompt)
                print(f"restyle: only the first {length} tokens of this prompt are read: {prompt}", flush=True)
            output = encoder(tokens.input_ids.to(self.device), output_hidden_states=True)
            if len(self.text_encoders) == 1:
                hidden.append(output.last_hidden_state)
            else:  # XL: the layer before the last of both; the second one's projection besides
                hidden.append(output.hidden_states[-2])
                pooled = getattr(output, "text_embeds", pooled)
        return PromptEmbedding(torch.cat(hidden, dim=-1), pooled)


def load_base_model(
    source: str | Path,
    *,
    controlnets: Sequence[ControlNetSetting] = (),
    loras: Sequence[LoraSetting] = (),
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    allow_pickles: bool = False,
) -> LatentDiffusion:
    """The model of a local folder or hub id, with ControlNets beside it and LoRAs merged into it.

    Raises InputError for whatever is missing, broken, unsafe, or does not belong together.
    """
    folder = model_folder(source, "a latent diffusion model")
    index_path = folder / "model_index.json"
    if not index_path.is_file():
        raise InputError(
            index_path,
            found="no such file",
            expected="a folder in diffusers' pipeline layout",
            remedy="name the folder that holds model_index.json; a single-file checkpoint is converted once by "
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)",
        )
    transformers.utils.logging.disable_progress_bar()  # bars do not read well in a log
    index = read_json(index_path)
    suffixes = ("", "_2") if "text_encoder_2" in index else ("",)
    scheduler_config = _read_scheduler(folder)
    options = {"dtype": dtype, "allow_pickles": allow_pickles}
    vae_kind = _class_of(index, "vae", index_path)
    vae = load_part(vae_kind, folder / "vae", torch.float32, allow_pickles=allow_pickles)
    if dtype != torch.float32 and not getattr(vae.config, "force_upcast", False):  # XL's overflows in half precision
        vae = vae.to(dtype)
    unet = load_part(_class_of(index, "unet", index_path), folder / "unet", **options)
    text_encoders = tuple(
        load_part(_class_of(index, f"text_encoder{suffix}", index_path), folder / f"text_encoder{suffix}", **options)
        for suffix in suffixes
    )
    tokenizers = tuple(_load_tokenizer(index, f"tokenizer{suffix}", folder) for suffix in suffixes)
    _check_parts(folder, vae, unet, text_encoders)
    latent_scale = _latent_scale(vae)
    loaded = tuple(load_controlnet(setting, folder, unet, latent_scale, **options) for setting in controlnets)
    for controlnet in loaded:
        controlnet.model.to(device)
    merge_loras(unet, text_encoders, loras)
    name, licence = str(source) if folder != Path(source) else folder.name, model_licence(folder)
    lora_files = [lora_file(lora.path) for lora in loras]
    return LatentDiffusion(
        name=name,
        licence=licence,
        vae=vae.to(device),
        unet=unet.to(device),
        text_encoders=tuple(encoder.to(device) for encoder in text_encoders),
        tokenizers=tokenizers,
        scheduler_config=scheduler_config,
        controlnets=loaded,
        device=torch.device(device),
        dtype=dtype,
        latent_scale=latent_scale,
        asset_licences={
            name: licence,
            **{setting.model: controlnet.licence or licence for setting, controlnet in zip(controlnets, loaded)},
            **{file.name: model_licence(file.parent) for file in lora_files},
        },
        zero_empty_prompt=bool(index.get("force_zeros_for_empty_prompt", False)),
    )


def _class_of(index: dict, part: str, index_path: Path) -> type:
    entry = index.get(part)
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if name not in _CLASSES[part]:
        raise InputError(
            index_path,
            f"key {part}",
            found=repr(entry),
            expected=f"one of {', '.join(_CLASSES[part])}",
            remedy="use a model in Stable Diffusion's layout (1.5, 2.1, XL)",
        )
    library = diffusers if part in ("vae", "unet") else transformers
    return getattr(library, name)


def _read_scheduler(folder: Path) -> dict:
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        raise InputError(path, found="no such file", expected="the noise schedule", remedy="download the whole model")
    config = {"prediction_type": "epsilon", **read_json(path)}
    if config["prediction_type"] not in _PREDICTIONS:
        raise InputError(
            path,
            "key prediction_type",
            found=repr(config["prediction_type"]),
            expected=" or ".join(_PREDICTIONS),
            remedy="use another model",
        )
    return config


def _load_tokenizer(index: dict, part: str, folder: Path):
    kind = _class_of(index, part, folder / "model_index.json")
    try:
        return kind.from_pretrained(str(folder / part), local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception for a broken vocabulary
        raise InputError(
            folder / part,
            found=first_line(error),
            expected=f"a {kind.__name__}",
            remedy="download the whole model",
        ) from error


def _latent_scale(vae: torch.nn.Module) -> int:
    config = vae.config
    blocks = config.block_out_channels if "block_out_channels" in config else config.encoder_block_out_channels
    return 2 ** (len(blocks) - 1)


def _check_parts(folder: Path, vae, unet, text_encoders) -> None:
    """Raise InputError unless the parts speak to each other."""
    encoded = sum(encoder.config.hidden_size for encoder in text_encoders)
    expected = [
        ("unet in_channels", unet.config.in_channels, vae.config.latent_channels, "the latent channels of its vae"),
        ("unet out_channels", unet.config.out_channels, vae.config.latent_channels, "the latent channels of its vae"),
        ("unet cross_attention_dim", unet.config.cross_attention_dim, encoded, "the width of its text encoders"),
    ]
    if unet.config.addition_embed_type == "text_time":
        pooled = text_encoders[-1].config.projection_dim + 6 * unet.config.addition_time_embed_dim
        taken = unet.config.projection_class_embeddings_input_dim
        expected.append(("unet projection_class_embeddings_input_dim", taken, pooled, "pooled text and six sizes"))
    for what, found, right, meaning in expected:
        if found != right:
            raise InputError(
                folder,
                what,
                found=str(found),
                expected=f"{right}, {meaning}",
                remedy="use a text-to-image model (no inpainting, refiner or instruction model), all parts of one",
            )
