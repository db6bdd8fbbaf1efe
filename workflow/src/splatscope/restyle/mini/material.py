"""What teaches the small model: pictures of three domains with conditions and captions, encoded once and kept.

Real frames are split by operation: every second one teaches, the others stay unseen, so that the distance to the real
look can be measured on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny
from safetensors import safe_open
from safetensors.torch import save_file

from splatscope.classes import INSTRUMENTS
from splatscope.errors import InputError
from splatscope.files import atomic_path
from splatscope.images import decode_image
from splatscope.restyle.conditions import condition_image
from splatscope.restyle.mini.captions import PHANTOM, REAL, SIMULATED, caption
from splatscope.restyle.weak_conditions import guess_scene
from splatscope.shards import Frame, read_shard

REAL_CROP = (slice(0, 640), slice(280, 1000))  # rows and columns of the 1280x720 frames without burnt-in text
_LEAST_INSTRUMENT = 0.03  # share of a frame that its instruments cover, where they are laid over real tissue
_REAL_SCALES = (0.445, 0.6)  # 0.445 shows all of the crop in about 320x284, the size of the simulated frames


@dataclass
class Picture:
    """One encoded picture. H and W are multiples of 8."""

    latents: torch.Tensor  # float16 [C, H/8, W/8]
    scene: torch.Tensor  # uint8 [8, H, W], the "scene" condition in 0..255
    domain: str
    caption: str


def operations(folder: str | Path) -> tuple[list[str], list[str]]:
    """Names of the operations in a folder of real frames `<operation>-*.jpg`: those that teach, those held out."""
    names = sorted({path.name.split("-")[0] for path in Path(folder).glob("*.jpg")})
    if len(names) < 2:
        raise InputError(
            folder,
            found=f"frames of {len(names)} operations",
            expected="JPEG images <operation>-*.jpg of two or more operations",
            remedy="name the folder that holds the real frames",
        )
    return names[::2], names[1::2]


def real_frames(folder: str | Path, of_operations: Sequence[str]) -> Iterator[np.ndarray]:
    """uint8 [640, 720, 3]: the frames of these operations in the order of their names, without burnt-in text."""
    for path in sorted(Path(folder).glob("*.jpg")):
        if path.name.split("-")[0] in of_operations:
            yield decode_image(path.read_bytes(), str(path))[REAL_CROP]


def real_views(frame: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The frame at several scales and both ways round, each with mildly other colours; sides are multiples of 8."""
    for scale in _REAL_SCALES:
        for mirrored in (False, True):
            height, width = (round(side * scale / 8) * 8 for side in frame.shape[:2])
            view = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            yield jitter_colours(view[:, ::-1] if mirrored else view, rng)


def jitter_colours(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure, contrast and white balance some percent off, as between two cameras."""
    gain = rng.uniform(0.92, 1.08) * rng.uniform(0.96, 1.04, 3)
    gamma = rng.uniform(0.92, 1.08)
    return np.rint(255 * ((rgb / 255) ** gamma * gain).clip(0, 1)).astype(np.uint8)


def training_images(
    real: Iterable[np.ndarray], shards: Iterable[str | Path], every: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """uint8 [256, 320, 3]: what the autoencoder learns from, three random crops of each real frame and the shards'."""
    for frame in real:
        for _ in range(3):
            width = int(rng.integers(400, frame.shape[1] + 1))
            height = width * 4 // 5
            top, left = rng.integers(frame.shape[0] - height + 1), rng.integers(frame.shape[1] - width + 1)
            crop = cv2.resize(frame[top : top + height, left : left + width], (320, 256), interpolation=cv2.INTER_AREA)
            yield crop[:, ::-1] if rng.random() < 0.5 else crop
    for path in shards:
        for number, frame in enumerate(read_shard(path)):
            if number % (2 * every) == 0:
                yield frame.rgb


def pictures(
    real: Iterable[np.ndarray],
    shards: Iterable[str | Path],
    class_names: dict[int, str],
    every: int,
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray, str, str]]:
    """(rgb uint8 [H, W, 3], scene uint8 [H, W, 8], domain, caption) of all that teaches.

    Of the shards every `every`th frame is taken, as it is or mirrored; one in five with weak conditions instead of its
    exact ones, so that nothing about a condition tells which domain it is from. Simulated instruments are also laid
    over real tissue.
    """
    ids = [number for number, name in class_names.items() if name in INSTRUMENTS]
    with_tools: list[Frame] = []
    for path in shards:
        for number, frame in enumerate(read_shard(path)):
            if number % every:
                continue
            if frame.normals is not None and np.isin(frame.class_map, ids).mean() > _LEAST_INSTRUMENT:
                with_tools.append(frame)
            domain = SIMULATED if frame.normals is not None else PHANTOM
            rgb, scene = frame.rgb, exact_scene(frame)
            if rng.random() < 0.5:
                rgb, scene = rgb[:, ::-1], mirrored_scene(scene)
            if rng.random() < 0.2:
                scene = guess_scene(np.ascontiguousarray(rgb))[0]
            yield rgb, scene, domain, caption(domain, frame.class_map, class_names)
    for frame in real:
        for view in real_views(frame, rng):
            scene, classes = guess_scene(view)
            yield view, scene, REAL, caption(REAL, classes, class_names)
        if with_tools:
            for view in list(real_views(frame, rng))[1:3]:  # one of each scale
                other = with_tools[rng.integers(len(with_tools))]
                mask = np.isin(other.class_map, ids)
                picture, scene, classes = with_instruments(view, other, mask, rng)
                yield picture, scene, REAL, caption(REAL, classes, class_names)


def with_instruments(view: np.ndarray, frame: Frame, mask: np.ndarray, rng: np.random.Generator):
    """A real picture uint8 [H, W, 3] with the frame's instruments (`mask` bool [H, W]) laid over it, and its scene.

    Grey patches of real frames are no instruments, nor are instruments in them always grey: from weak conditions alone
    a ControlNet learns that an instrument's outline means little. Here it is exact, among real tissue.
    """
    height, width = mask.shape
    top, left = rng.integers(view.shape[0] - height + 1), rng.integers(view.shape[1] - width + 1)
    tissue = view[top : top + height, left : left + width]
    scene, classes = guess_scene(np.ascontiguousarray(tissue))
    weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)[..., None]
    picture = np.rint(tissue * (1 - weight) + jitter_colours(frame.rgb, rng) * weight).astype(np.uint8)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # an outline's edge lies on both its sides
    exact = exact_scene(frame)
    scene = np.where(mask[..., None], exact, scene)
    scene[..., 4] = np.where(near, exact[..., 4], scene[..., 4])
    return picture, scene, np.where(mask, frame.class_map, classes)


def exact_scene(frame: Frame) -> np.ndarray:
    """uint8 [H, W, 8]: the frame's "scene" condition in 0..255."""
    return np.rint(condition_image("scene", frame) * 255).astype(np.uint8)


def mirrored_scene(scene: np.ndarray) -> np.ndarray:
    """The condition of the mirrored picture: its normals lean to the other side too."""
    mirrored = scene[:, ::-1].copy()
    there = mirrored[..., 1:4].any(axis=2)
    mirrored[..., 1] = np.where(there, 255 - mirrored[..., 1], 0)
    return mirrored


@torch.no_grad()
def encode(vae: AutoencoderTiny, made: Iterable[tuple[np.ndarray, np.ndarray, str, str]]) -> Iterator[Picture]:
    for rgb, scene, domain, text in made:
        image = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 127.5 - 1
        latents = vae.encode(image.contiguous(memory_format=torch.channels_last)).latents[0]
        condition = torch.from_numpy(np.ascontiguousarray(scene.transpose(2, 0, 1)))
        yield Picture(latents.half().contiguous(), condition, domain, text)


def save_pictures(path: str | Path, encoded: Iterable[Picture]) -> None:
    tensors, texts = {}, {}
    for number, picture in enumerate(encoded):
        tensors[f"{number:05d}.latents"], tensors[f"{number:05d}.scene"] = picture.latents, picture.scene
        texts[f"{number:05d}"] = f"{picture.domain}|{picture.caption}"
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=texts)


def load_pictures(path: str | Path) -> list[Picture]:
    with safe_open(path, "pt") as file:
        texts = file.metadata()
        return [
            Picture(file.get_tensor(f"{key}.latents"), file.get_tensor(f"{key}.scene"), *texts[key].split("|"))
            for key in sorted(texts)
        ]
