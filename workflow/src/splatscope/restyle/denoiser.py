"""One evaluation of the U-Net: ControlNets, classifier-free guidance, tiles, as many frames as memory holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TypeVar

import torch

from splatscope.config.restyle import SamplerConfig
from splatscope.errors import InputError
from splatscope.restyle.base_model import LatentDiffusion, PromptEmbedding
from splatscope.restyle.reference_attention import ReferenceAttention

Result = TypeVar("Result")


class MemoryLimit:
    """How many frames are computed together: halved when a GPU's memory runs out, and the model remembers it."""

    def __init__(self, model: LatentDiffusion, batch_size: int):
        self._model = model
        self.size = self._frames(model, batch_size)

    @staticmethod
    def _frames(model: LatentDiffusion, asked: int) -> int:
        # kernels on a CPU gain little from batches, and their last bits depend on the batch's size
        return 1 if model.device.type == "cpu" else min(asked, model.largest_batch or asked)

    def run(self, count: int, call: Callable[[slice], Result]) -> list[Result]:
        """`call(rows)` for consecutive slices that cover range(count).

        Raises InputError when memory does not hold one frame.
        """
        results, start = [], 0
        while start < count:
            rows = slice(start, min(start + self.size, count))
            try:
                results.append(call(rows))
                start = rows.stop
                continue
            except torch.cuda.OutOfMemoryError as error:
                message = str(error).splitlines()[0]
            # out of the handler, whose traceback holds on to tensors
            self._shrink(rows.stop - rows.start, message)
        return results

    def _shrink(self, tried: int, message: str) -> None:
        if tried == 1:
            raise InputError(
                self._model.name,
                found=f"not enough GPU memory for one frame ({message})",
                expected="memory for one frame",
                remedy="set restyle.precision to float16, restyle.sampler.tile_px to 512, or restyle.canvas_px smaller",
            )
        self.size = self._model.largest_batch = tried // 2
        print(f"restyle: GPU memory ran out with {tried} frames at a time; going on with {self.size}", flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class Denoiser:
    """The U-Net's output for noisy latents of frames whose prompts and conditions are given once.

    conditions: one tensor [N, C, H, W] in 0..1 per ControlNet, padded as the latents are. Each goes through its
    ControlNet's first layers once, not at every step: they work on pixels and do not know the time, and are a third of
    the whole cost. To be entered as a context before use.
    """

    def __init__(
        self,
        model: LatentDiffusion,
        config: SamplerConfig,
        limit: MemoryLimit,
        prompts: Sequence[str],
        conditions: Sequence[torch.Tensor],
    ):
        self._model, self._config, self._limit = model, config, limit
        self._embedded = [self._embed(net.model, condition) for net, condition in zip(model.controlnets, conditions)]
        self._prompts = model.encode_prompts(prompts)
        self._negative = model.encode_negative(config.negative_prompt, 1) if config.guidance_scale > 1 else None
        self._tile = None if config.tile_px is None else config.tile_px // model.latent_scale
        self._references: tuple[torch.Tensor, torch.Tensor] | None = None
        self._reference_attention: ReferenceAttention | None = None
        self._stack = ExitStack()

    def set_references(self, clean: torch.Tensor, noise: torch.Tensor) -> None:
        """Latents [N, C, h, w] that self-attention also looks at, and the noise that they get."""
        self._references = clean, noise
        self._reference_attention = ReferenceAttention(self._model.unet, self._config.reference_weight)

    @torch.no_grad()
    def _embed(self, controlnet: torch.nn.Module, condition: torch.Tensor) -> torch.Tensor:
        """[N, C, h, w]: a condition as the ControlNet adds it to its latents."""

        def some(rows: slice) -> torch.Tensor:
            return controlnet.controlnet_cond_embedding(condition[rows].to(self._model.device, self._model.dtype))

        return torch.cat(self._limit.run(len(condition), some))

    def __enter__(self) -> Denoiser:
        for net in self._model.controlnets:
            own = net.model.controlnet_cond_embedding
            net.model.controlnet_cond_embedding = torch.nn.Identity()  # conditions come embedded
            self._stack.callback(setattr, net.model, "controlnet_cond_embedding", own)
        if self._reference_attention is not None:
            self._stack.enter_context(self._reference_attention)
        return self

    def __exit__(self, *exception) -> None:
        self._stack.close()

    @torch.no_grad()
    def predict(
        self,
        noisy: torch.Tensor,
        times: torch.Tensor,
        rows: Sequence[int],
        levels: Sequence[tuple[float, float]],
    ) -> torch.Tensor:
        """float32 [n, C, h, w]: the guided output for noisy latents [n, C, h, w] at times [n] and noise levels (alpha,
        sigma) of the frames `rows`."""

        def some(part: slice) -> torch.Tensor:
            return self._tiled(noisy[part], times[part], list(rows[part]), levels[part])

        return torch.cat(self._limit.run(len(rows), some))

    def _tiled(self, noisy, times, rows, levels) -> torch.Tensor:
        height, width = noisy.shape[2:]
        tile = (min(self._tile or height, height), min(self._tile or width, width))
        if tile == (height, width):
            return self._guided(noisy, times, rows, levels, slice(None), slice(None))
        window = blend_window(tile).to(noisy.device)
        total, weight = torch.zeros_like(noisy), torch.zeros_like(noisy[:1, :1])
        for top in tile_starts(height, tile[0]):
            for left in tile_starts(width, tile[1]):
                down, across = slice(top, top + tile[0]), slice(left, left + tile[1])
                total[..., down, across] += window * self._guided(noisy, times, rows, levels, down, across)
                weight[..., down, across] += window
        return total / weight

    def _guided(self, noisy, times, rows, levels, down: slice, across: slice) -> torch.Tensor:
        """Classifier-free guidance (Ho and Salimans 2022) over one tile of the frames `rows`."""
        count = len(rows)
        prompts = PromptEmbedding(self._prompts.hidden[rows], _take(self._prompts.pooled, rows))
        conditions = [embedded[rows][..., down, across] for embedded in self._embedded]
        noisy = noisy[..., down, across]
        if self._negative is not None:
            prompts = _joined(self._negative, prompts, count)
            conditions = [condition.repeat(2, 1, 1, 1) for condition in conditions]
            noisy, times = noisy.repeat(2, 1, 1, 1), times.repeat(2)
        if self._references is None:
            output = self._unet(noisy, times, prompts, conditions)
        else:
            reference = self._noisy_references(rows, levels, down, across).repeat(len(noisy) // count, 1, 1, 1)
            with self._reference_attention.recording():
                self._unet(reference, times, prompts, [])
            with self._reference_attention.attending(len(noisy) - count):
                output = self._unet(noisy, times, prompts, conditions)
        if self._negative is None:
            return output
        without, towards = output.chunk(2)
        return without + self._config.guidance_scale * (towards - without)

    def _noisy_references(self, rows, levels, down: slice, across: slice) -> torch.Tensor:
        clean, noise = (latents[rows][..., down, across] for latents in self._references)
        alpha, sigma = (torch.tensor(values, device=clean.device)[:, None, None, None] for values in zip(*levels))
        return alpha * clean + sigma * noise

    def _unet(self, noisy, times, prompts: PromptEmbedding, conditions) -> torch.Tensor:
        """float32 [n, C, h, w]: one pass, with what the ControlNets make of their embedded conditions."""
        model = self._model
        noisy = noisy.to(model.dtype)
        extra = self._size_conditioning(noisy, prompts)
        down, middle = None, None
        for controlnet, condition in zip(model.controlnets, conditions):
            residuals, last = controlnet.model(
                noisy,
                times,
                encoder_hidden_states=prompts.hidden,
                controlnet_cond=condition,
                conditioning_scale=controlnet.weight,
                added_cond_kwargs=extra,
                return_dict=False,
            )
            down = residuals if down is None else [sum(pair) for pair in zip(down, residuals)]
            middle = last if middle is None else middle + last
        output = model.unet(
            noisy,
            times,
            encoder_hidden_states=prompts.hidden,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            added_cond_kwargs=extra,
        )
        return output.sample.float()

    def _size_conditioning(self, noisy: torch.Tensor, prompts: PromptEmbedding) -> dict | None:
        """What XL is told: the pooled prompt; original size, crop and target size in pixels, here one uncropped image
        of the size that the U-Net sees (Podell et al. 2023)."""
        if prompts.pooled is None:
            return None
        height, width = (side * self._model.latent_scale for side in noisy.shape[2:])
        sizes = torch.tensor([height, width, 0, 0, height, width], dtype=noisy.dtype, device=noisy.device)
        return {"text_embeds": prompts.pooled, "time_ids": sizes.expand(len(noisy), -1)}


def tile_starts(size: int, tile: int) -> list[int]:
    """First indices of evenly spaced tiles that cover range(size) and overlap by a quarter or more."""
    count = math.ceil((size - tile) / (tile - tile // 4)) + 1
    return [round(index * (size - tile) / max(count - 1, 1)) for index in range(count)]


def blend_window(tile: tuple[int, int]) -> torch.Tensor:
    """float32 [h, w] above 0: how much each latent of a tile counts, falling off linearly over the overlap."""
    ramps = []
    for side in tile:
        index = torch.arange(side, dtype=torch.float32)
        ramps.append(torch.minimum(index + 1, side - index).clamp(max=max(side // 4, 1)))
    return ramps[0][:, None] * ramps[1][None, :]


def _take(values: torch.Tensor | None, rows) -> torch.Tensor | None:
    return None if values is None else values[rows]


def _joined(negative: PromptEmbedding, prompts: PromptEmbedding, count: int) -> PromptEmbedding:
    hidden = torch.cat([negative.hidden.repeat(count, 1, 1), prompts.hidden])
    if prompts.pooled is None:
        return PromptEmbedding(hidden)
    return PromptEmbedding(hidden, torch.cat([negative.pooled.repeat(count, 1), prompts.pooled]))
