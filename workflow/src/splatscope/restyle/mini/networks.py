"""The small model's parts, all of diffusers' and transformers' own classes, in the sizes of MiniShape."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import ControlNetModel, DDIMScheduler, UNet2DConditionModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from splatscope.files import write_json, write_text
from splatscope.restyle.conditions import SCENE_CHANNELS

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


@dataclass(frozen=True)
class MiniShape:
    """Sizes of the networks; the defaults are those of the model that ships."""

    latent_channels: int = 8
    channels: tuple[int, ...] = (64, 128, 256)  # of the U-Net's levels
    attention_levels: tuple[bool, ...] = (False, False, True)
    layers_per_level: int = 1
    norm_groups: int = 16
    attention_head_channels: int = 32
    text_width: int = 128
    text_layers: int = 2
    text_tokens: int = 32
    condition_channels: tuple[int, ...] = (16, 32, 64, 128)  # of the ControlNet's way from pixels to latents

    def unet(self) -> UNet2DConditionModel:
        up_types = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(self.attention_levels)]
        return UNet2DConditionModel(
            in_channels=self.latent_channels,
            out_channels=self.latent_channels,
            up_block_types=tuple(up_types),
            **self._shared(),
        )

    def controlnet(self) -> ControlNetModel:
        return ControlNetModel(
            in_channels=self.latent_channels,
            conditioning_channels=SCENE_CHANNELS,
            conditioning_embedding_out_channels=self.condition_channels,
            **self._shared(),
        )

    def text_encoder(self, tokenizer: CLIPTokenizer) -> CLIPTextModel:
        return CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=self.text_width,
                intermediate_size=2 * self.text_width,
                projection_dim=self.text_width,
                num_hidden_layers=self.text_layers,
                num_attention_heads=4,
                max_position_embeddings=self.text_tokens,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )

    def _shared(self) -> dict:
        down_types = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in self.attention_levels]
        return {
            "down_block_types": tuple(down_types),
            "block_out_channels": self.channels,
            "layers_per_block": self.layers_per_level,
            "norm_num_groups": self.norm_groups,
            "cross_attention_dim": self.text_width,
            # diffusers reads this field as the number of heads (its issue 2011 says why it is named so)
            "attention_head_dim": tuple(width // self.attention_head_channels for width in self.channels),
        }


def noise_scheduler() -> DDIMScheduler:
    """1000 steps, Stable Diffusion's scaled-linear betas, v-prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def write_tokenizer(folder: str | Path, words: Sequence[str], max_tokens: int) -> CLIPTokenizer:
    """Write a CLIPTokenizer folder that knows each of `words` as one token and spells any other word.

    Byte-pair merges are learned from the words themselves, until each is one token.
    """
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=_WORD_END))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    alphabet = list("abcdefghijklmnopqrstuvwxyz0123456789,.-_()")
    trainer = trainers.BpeTrainer(
        vocab_size=10_000,
        min_frequency=0,
        initial_alphabet=alphabet,
        end_of_word_suffix=_WORD_END,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(words), trainer)
    learned = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    ends = [letter + _WORD_END for letter in alphabet]  # a letter that ends a word, though no known word ends so
    tokens = list(dict.fromkeys([*alphabet, *ends, *learned, _START, _END]))
    folder = Path(folder)
    write_json(folder / "vocab.json", {token: number for number, token in enumerate(tokens)})
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    write_text(folder / "merges.txt", "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    made = CLIPTokenizer.from_pretrained(folder, model_max_length=max_tokens, pad_token=_END, unk_token=_END)
    made.save_pretrained(folder)
    return made


def parameter_count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
