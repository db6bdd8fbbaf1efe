"""The frames of a clip restyled one after the other, held together as far as the mode says.

none          each frame has noise of its own
warped_noise  the noise lies on the surfaces (`surface_noise`)
full          besides, what was drawn lies on them too: it is carried from frame to frame (`propagation`), and the
              model's drawing serves where nothing can be carried, and as the measure of detail and colour

What is carried does not guide the diffusion: a drawing that follows the carried picture takes on its softness and its
errors, can correct neither, and a clip blurs within ten frames.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal, get_args

import cv2
import numpy as np
import torch

from splatscope.config.restyle import SamplerConfig
from splatscope.images import to_float
from splatscope.restyle.base_model import LatentDiffusion
from splatscope.restyle.letterbox import Letterbox
from splatscope.restyle.propagation import Propagation, blend
from splatscope.restyle.sampler import restyle_batch
from splatscope.restyle.surface_noise import LatentGrid, fresh_noise, surface_noise
from splatscope.shards import Frame

Mode = Literal["none", "warped_noise", "full"]
SEAM_PX = 1.0  # softness of the border round what may not change
RETRY_TRUST = 0.5  # factor for each time that a frame was refused


def own_picture(frame: Frame) -> np.ndarray:
    """float32 [H, W, 3] in 0..1: the frame's picture as it is."""
    return to_float(frame.rgb)


class ClipRestyler:
    """Restyles the frames of one clip, in their order: `propose`, as often as it takes, then `accept` or `drop`.

    conditions_of gives one float32 [H, W, C] in 0..1 per ControlNet of the model, prompt_of the prompt, reference_of
    the picture float32 [H, W, 3] for reference-only control (needed when the config gives it weight). picture_of gives
    the picture float32 [H, W, 3] that a frame starts from, its own where absent; strength_limit_of the highest strength
    float32 [H, W] in 0..1 of each pixel: what may not change at all stays that picture; `finish` changes a picture
    float32 [H, W, 3] that the model drew. `scene` names the clip: noise derives from it, the seed and the frame.
    `canvas_px`: side of the square that frames are letterboxed into; None: their own size.
    """

    def __init__(
        self,
        model: LatentDiffusion,
        conditions_of: Callable[[Frame], Sequence[np.ndarray]],
        prompt_of: Callable[[Frame], str],
        config: SamplerConfig,
        *,
        mode: Mode,
        seed: int,
        scene: str,
        canvas_px: int | None = None,
        reference_of: Callable[[Frame], np.ndarray] | None = None,
        picture_of: Callable[[Frame], np.ndarray] = own_picture,
        strength_limit_of: Callable[[Frame], np.ndarray] | None = None,
        finish: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        if mode not in get_args(Mode):
            raise ValueError(f"expected one of {', '.join(get_args(Mode))}, got {mode!r}")
        self.mode, self.batch_size = mode, config.batch_size
        self._model, self._config = model, config
        self._conditions_of, self._prompt_of, self._reference_of = conditions_of, prompt_of, reference_of
        self.picture_of, self._strength_limit_of, self._finish = picture_of, strength_limit_of, finish
        self._seed, self._scene, self._canvas_px = seed, scene, canvas_px
        self._propagation = Propagation() if mode == "full" else None

    def propose(self, frame: Frame, *, strength: float | None = None, attempt: int = 0) -> np.ndarray:
        """float32 [H, W, 3] in 0..1. A further attempt has other noise, and what is carried counts half as much."""
        return self.carry(frame, self.draw([frame], strength=strength, attempt=attempt)[0], attempt=attempt)

    def carry(self, frame: Frame, drawn: np.ndarray, *, attempt: int = 0) -> np.ndarray:
        """float32 [H, W, 3]: what the model drew of the frame that comes next, with what the mode carries over it."""
        if self._propagation is None:
            return drawn
        foretold = self._propagation.foretell(frame)
        trust = foretold.trust * np.float32(RETRY_TRUST**attempt)
        if self._strength_limit_of is not None:  # what hardly changes need not be carried
            trust = trust * np.minimum(self._strength_limit_of(frame) / np.float32(self._config.strength), 1)
        return blend(replace(foretold, trust=trust), drawn)

    def accept(self, frame: Frame, image: np.ndarray) -> None:
        """The frame is finished, and the next may be carried from it: float32 [H, W, 3] in 0..1."""
        if self._propagation is not None:
            self._propagation.accept(frame, image)

    def drop(self) -> None:
        """The frame last proposed is left out of the clip."""
        if self._propagation is not None:
            self._propagation.forget()

    def draw(self, frames: Sequence[Frame], *, strength: float | None = None, attempt: int = 0) -> np.ndarray:
        """float32 [N, H, W, 3]: frames of one size as the model draws them, nothing carried."""
        noise_of = fresh_noise if self.mode == "none" else surface_noise
        fit = _Fit(self._model, *frames[0].rgb.shape[:2], self._canvas_px)
        pictures = [self.picture_of(frame) for frame in frames]
        noise = np.stack(
            [
                noise_of(frame, fit.grid, fit.channels, seed=self._seed, scene=self._scene, attempt=attempt)
                for frame in frames
            ]
        )
        conditions = zip(*(self._conditions_of(frame) for frame in frames))
        references = None
        if self._config.reference_weight > 0 and self._reference_of is not None:
            references = np.stack([fit.apply(self._reference_of(frame)) for frame in frames])
        strengths = np.full(len(frames), self._config.strength if strength is None else strength)
        limits = None
        if self._strength_limit_of is not None:
            highest = np.float32(strengths[0])
            limits = [np.minimum(self._strength_limit_of(frame), highest)[..., None] for frame in frames]
        drawn = restyle_batch(
            self._model,
            np.stack([fit.apply(picture) for picture in pictures]),
            [np.stack([fit.apply(value) for value in values]) for values in conditions],
            [self._prompt_of(frame) for frame in frames],
            self._config,
            torch.from_numpy(noise),
            strength=strengths if limits is None else np.stack([fit.apply(limit)[..., 0] for limit in limits]),
            references=references,
            seeds=[zlib.crc32(f"{self._seed} {self._scene} {frame.key} {attempt}".encode()) for frame in frames],
        )
        drawn = [fit.undo(image) for image in drawn]
        drawn = np.stack(drawn if self._finish is None else [self._finish(image) for image in drawn])
        return drawn if limits is None else _keep_what_may_not_change(drawn, pictures, limits)


def _keep_what_may_not_change(drawn: np.ndarray, pictures: Sequence[np.ndarray], limits) -> np.ndarray:
    changing = (cv2.GaussianBlur((limit > 0).astype(np.float32), (0, 0), SEAM_PX) for limit in limits)
    share = np.stack(list(changing))[..., None]
    return drawn * share + np.stack(pictures) * (1 - share)


class _Fit:
    """How frames of one size go into the model and come out."""

    def __init__(self, model: LatentDiffusion, height: int, width: int, canvas_px: int | None):
        self._letterbox = None if canvas_px is None else Letterbox(height, width, canvas_px)
        top, left, _, inner_width = self._letterbox.box if self._letterbox else (0, 0, height, width)
        shown = (canvas_px, canvas_px) if canvas_px else (height, width)
        self.channels, rows, columns = model.latent_shape(*shown)
        scale = inner_width / width
        self.grid = LatentGrid(rows, columns, model.latent_scale / scale, left / scale, top / scale)

    def apply(self, image: np.ndarray) -> np.ndarray:
        return self._letterbox.apply(image) if self._letterbox else image

    def undo(self, image: np.ndarray) -> np.ndarray:
        return self._letterbox.undo(image) if self._letterbox else image


def restyle_clip(restyler: ClipRestyler, frames: Iterable[Frame]) -> Iterator[np.ndarray]:
    """float32 [H, W, 3] in 0..1 for each frame of the restyler's clip, as they come. However long the clip, it holds
    one batch of frames and the frame before."""
    remaining = iter(frames)
    while batch := list(islice(remaining, restyler.batch_size)):
        for frame, drawn in zip(batch, restyler.draw(batch)):
            image = restyler.carry(frame, drawn)
            restyler.accept(frame, image)
            yield image
