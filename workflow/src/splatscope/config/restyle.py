"""Settings of the stage restyle."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from splatscope.config.restyle_proof import GateConfig, ProofConfig
from splatscope.config.section import Section

ConditionName = Literal[
    "depth",
    "normals",
    "soft_edge",
    "labels",
    "scene",
    "scene_estimated",
    "depth_estimated",
    "soft_edge_hed",
    "soft_edge_pidinet",
    "canny",
]


class ControlNetSetting(Section):
    """One ControlNet."""

    model: str = "controlnet_scene"
    """Its folder: inside the model's folder, anywhere else, or a hub id."""

    condition: ConditionName = "scene"
    """What it is shown. Exact, from the frame's maps: depth, normals, soft_edge, labels, or scene (all four in eight
    channels, for ControlNets of our own). Estimated from the picture: depth_estimated (MiDaS), soft_edge_hed,
    soft_edge_pidinet, canny, scene_estimated (guessed from colours, as the small model's real frames were)."""

    weight: float = Field(1.0, ge=0, le=2)
    """Factor of what it adds to the U-Net."""


class LoraSetting(Section):
    """One LoRA."""

    path: str = ""
    """Its .safetensors file, in diffusers' or kohya's format, or a folder with one such file."""

    weight: float = Field(1.0, ge=-2, le=2)
    """Factor of what it adds to the weights."""


class SamplerConfig(Section):
    """How an image is denoised."""

    scheduler: Literal["dpmpp_2m_karras", "dpmpp_2m", "ddim", "euler", "euler_ancestral"] = "dpmpp_2m_karras"
    """Sampler. All but euler_ancestral draw nothing random after the first noise."""

    steps: int = Field(10, ge=1, le=1000)
    """Steps of the whole schedule; an image goes through the last `strength` of them."""

    strength: float = Field(0.6, gt=0, le=1)
    """How far back towards noise an image goes before it is denoised: 0 leaves it as it is, 1 forgets it."""

    detail: float = Field(0.0, ge=0, le=1)
    """Share that is given back of the detail that the model's autoencoder loses of the image."""

    guidance_scale: float = Field(1.0, ge=1, le=30)
    """Classifier-free guidance (Ho and Salimans 2022); 1 is none, and half the work."""

    negative_prompt: str = ""
    """What guidance leads away from."""

    batch_size: int = Field(4, ge=1)
    """Images that go through the U-Net together on a GPU, halved by itself when memory runs out. On a CPU it is one
    at a time, which costs a tenth and makes a frame's bytes independent of its neighbours."""

    tile_px: int | None = Field(None, ge=64, multiple_of=64)
    """Side in pixels above which an image is denoised in overlapping square tiles of this size, blended at each step
    (MultiDiffusion, Bar-Tal et al. 2023). null: never; then a model drawn beyond the size that it was trained at
    repeats itself."""

    reference_weight: float = Field(0.0, ge=0, le=1)
    """Reference-only control: share of the U-Net's self-attentions, largest first, that also look at the reference;
    0 is none. It costs one more pass through the U-Net."""


PROOF_VARIANTS: dict[str, dict[str, Any]] = {  # what the report compares the configured settings with
    "gate_off": {"gate": {"limit": 0.0}},
    "per_frame": {"gate": {"limit": 0.0}, "consistency": "none"},
}


VARIANT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # it becomes a wildcard, and the name of a folder


class RestyleConfig(Section):
    """Rendered frames to realistic ones by a latent diffusion model; labels stay what they are."""

    datasets: tuple[Literal["sampled", "simulated", "mixed_captured", "mixed_simulated"], ...] = ("simulated",)
    """Datasets whose frames are restyled; one with less than three shards is left out, for nothing could judge it."""

    model: str = "resources/mini"
    """Stable Diffusion (1.5, 2.1, XL or the small one that ships) in diffusers' folder layout, or a hub id."""

    allow_pickles: bool = False
    """Also read .bin weights, which are pickles; they are loaded with torch's weights_only. Off: safetensors alone."""

    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """What the model computes in; "auto" is float16 on CUDA, float32 on a CPU."""

    canvas_px: int | None = Field(None, ge=64, multiple_of=64)
    """Side in pixels of the square that a frame is letterboxed into, for models that know one size. null: the frame's
    own size."""

    controlnets: tuple[ControlNetSetting, ...] = (ControlNetSetting(),)
    """ControlNets, whose contributions add up; each with model, condition and weight."""

    loras: tuple[LoraSetting, ...] = ()
    """LoRAs, whose contributions add up; each with path and weight."""

    frames_per_shard: int | None = Field(12, ge=2)
    """Frames of each shard that are restyled: one piece from its middle. null: all."""

    detector_weights: str = ""
    """Folder with the weight files of the detectors that estimate conditions, under their published names."""

    depth_range_mm: tuple[float, float] | None = (35.0, 250.0)
    """Depths (mm) that the conditions depth and scene show as 1 and 0. null: each frame's own nearest and farthest,
    as MiDaS has it, which flickers."""

    sampler: SamplerConfig = SamplerConfig()
    """How an image is denoised."""

    instrument_strength: float = Field(0.2, ge=0, le=1)
    """Strength where instruments are seen, when below the sampler's: their shape is what labels are made of."""

    look: str = "resources/mini/look.safetensors"
    """Folder of real frames (PNG or JPEG), or a .safetensors of their colours and their contrast at each scale: tissue
    is given these colours before diffusion, and what the model drew this contrast. Empty: neither."""

    prompt: str = "real laparoscopy"
    """What every frame is to look like, with the trigger words of the LoRAs."""

    class_prompts: dict[str, str] = {}
    """Words added where a class of this name (resources/classes.tsv) covers a hundredth of the frame or more."""

    phase_prompts: dict[str, str] = {}
    """Words added in a phase of the operation of this name, in simulated frames."""

    reference_image: str = ""
    """Image for reference-only control; empty: each frame itself."""

    consistency: Literal["none", "warped_noise", "full"] = "full"
    """How frames of a clip are held together. none: each has noise of its own; warped_noise: noise sticks to the
    surfaces; full: what was drawn sticks to them too."""

    gate: GateConfig = GateConfig()
    """Which restyled frames are kept."""

    proof: ProofConfig = ProofConfig()
    """How restyled frames are judged."""

    variants: dict[str, dict[str, Any]] = {
        "warped_noise": {"gate": {"limit": 0.0}, "consistency": "warped_noise"},
        "no_controlnet": {"gate": {"limit": 0.0}, "controlnets": []},
        "estimated_conditions": {"gate": {"limit": 0.0}, "controlnets": [{"condition": "scene_estimated"}]},
        "no_look": {"gate": {"limit": 0.0}, "look": ""},
        "lora": {"gate": {"limit": 0.0}, "loras": [{"path": "resources/mini/lora_real.safetensors"}]},
    }
    """Settings that the target restyle_ablation compares with, each by what it changes in this section."""

    def located(self, find: Callable[[str], str]) -> RestyleConfig:
        """The same with model, look and LoRAs where `find` finds them."""
        loras = [lora.model_copy(update={"path": find(lora.path)}) for lora in self.loras]
        return self.model_copy(update={"model": find(self.model), "look": find(self.look), "loras": loras})

    def variant(self, name: str) -> RestyleConfig:
        """The settings of a variant: "default" is this section itself, see PROOF_VARIANTS and `variants`."""
        changes = {} if name == "default" else (PROOF_VARIANTS | self.variants)[name]
        return RestyleConfig.model_validate(_merged(self.model_dump(), changes) | {"variants": {}})

    @model_validator(mode="after")
    def _variants_hold(self) -> RestyleConfig:
        for name, changes in self.variants.items():
            if name in ("default", *PROOF_VARIANTS) or "variants" in changes or not VARIANT_NAME.fullmatch(name):
                raise ValueError(f"variants: {name!r} is no name for changed settings")
            self.variant(name)
        return self

    @model_validator(mode="after")
    def _ranges(self) -> RestyleConfig:
        if self.depth_range_mm is not None and not 0 < self.depth_range_mm[0] < self.depth_range_mm[1]:
            raise ValueError(f"depth_range_mm: expected 0 < near < far, got {list(self.depth_range_mm)}")
        if any(not lora.path for lora in self.loras):
            raise ValueError("loras: expected a path for each")
        return self


def _merged(section: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The section with the changes laid over it, key by key in sections within."""
    return section | {
        key: _merged(section[key], value) if isinstance(value, dict) and isinstance(section.get(key), dict) else value
        for key, value in changes.items()
    }
