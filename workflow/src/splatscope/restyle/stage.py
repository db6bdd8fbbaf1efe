"""Stage restyle: one shard to its restyled one, and the segmenters that judge it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from splatscope.classes import INSTRUMENTS
from splatscope.config.restyle import RestyleConfig
from splatscope.config.restyle_proof import ProofConfig
from splatscope.errors import InputError
from splatscope.files import read_json, write_table
from splatscope.images import decode_image, to_float, to_uint8
from splatscope.restyle.base_model import LatentDiffusion, load_base_model
from splatscope.restyle.clip import ClipRestyler
from splatscope.restyle.conditions import condition_image
from splatscope.restyle.detectors import Detectors
from splatscope.restyle.fidelity import FidelityJudge
from splatscope.restyle.gate import Gate
from splatscope.restyle.labelled_images import CholecSeg8kFolder, group_of_class, labelled_shards
from splatscope.restyle.look import ColourMatch, ContrastMatch, load_look
from splatscope.restyle.prompts import frame_prompt
from splatscope.restyle.segmentation_training import RECIPES, train_segmenter
from splatscope.restyle.segmenter import load_segmenter
from splatscope.shards import Frame, manifest_path, read_shard, write_shard

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SEEDS = {"gate": 710, "evaluation": 711}  # of segmenters that must not share one


def torch_device(setting: str) -> torch.device:
    """The device that "auto", "cpu" or "cuda" stands for. Raises InputError for CUDA that PyTorch does not find."""
    found = torch.cuda.is_available()
    if setting == "cuda" and not found:
        raise InputError(
            "device",
            found="cuda, but PyTorch finds no CUDA device",
            expected="a CUDA device and a PyTorch built for it",
            remedy="set device to auto or cpu, or mend the installation",
        )
    return torch.device("cuda" if found and setting != "cpu" else "cpu")


def train_judge(
    shards: Sequence[str | Path],
    class_table: dict[str, int],
    judge: str,
    config: ProofConfig,
    seed: int,
    *,
    device: str,
    out: str | Path,
) -> None:
    """Train the segmenter of a judge, "gate" or "evaluation", on unstyled frames of these shards.

    The evaluation's learns from `config.segmenter_frames` instead when the recipe is the paper's. Raises InputError
    when there is nothing to learn from.
    """
    recipe = config.segmenter if judge == "evaluation" and config.segmenter == "paper" else "demo"
    if recipe == "paper" and config.segmenter_frames:
        labelled = CholecSeg8kFolder(config.segmenter_frames)
    elif not shards:
        raise InputError(
            "restyle.datasets",
            found="a dataset with less than three shards",
            expected="three or more: two parts teach the segmenters, one is judged",
            remedy="make more shards (simulate.episodes, compose.shard_frames), or leave the dataset out",
        )
    else:
        labelled = labelled_shards(shards, group_of_class(class_table))
    name = recipe if judge == "gate" or recipe == "paper" else "demo_evaluation"
    segmenter = train_segmenter(
        labelled,
        RECIPES[name],
        seed + SEEDS[judge],
        backbone_weights=config.segmenter_backbone if recipe == "paper" else None,
        device=torch_device(device),
        progress=lambda step, steps, loss: print(f"segmenter: step {step} of {steps}, loss {loss:.3f}", flush=True),
    )
    segmenter.save(out)


def restyle_shard(
    shard: str | Path,
    config: RestyleConfig,
    seed: int,
    class_table: dict[str, int],
    *,
    segmenter_file: str | Path | None,
    frames_tar: str | Path,
    scores_parquet: str | Path,
    device: str = "cpu",
    provenance: dict | None = None,
) -> None:
    """Restyle frames of a shard, one piece from its middle, and write them with the same keys, labels and maps.

    A frame's certificate (see gate.GateResult) stands in meta["restyle"]; the table has one row per frame, dropped ones
    too. The flow of the frames beside a dropped one leads to a frame that is not there. Without a segmenter the gate is
    off. Raises InputError for a model, shard or setting that cannot be used.
    """
    where = torch_device(device)
    dtype = DTYPES.get(config.precision) or (torch.float16 if where.type == "cuda" else torch.float32)
    model = load_base_model(
        config.model,
        controlnets=config.controlnets,
        loras=config.loras,
        device=where,
        dtype=dtype,
        allow_pickles=config.allow_pickles,
    )
    print(f"restyle: {model.name} (licence: {model.licence}) on {where}, {config.consistency}", flush=True)
    instruments = [class_table[name] for name in INSTRUMENTS if name in class_table]
    looks = {}
    if config.look:
        look, coloured = load_look(config.look), _middle_frames(shard, config.frames_per_shard, maps={"class_map"})
        looks = {"picture_of": ColourMatch(coloured, look, instruments), "finish": ContrastMatch(look)}
    clip = ClipRestyler(
        model,
        _conditions_of(model, config, where),
        lambda frame: frame_prompt(frame, config, class_table),
        config.sampler,
        mode=config.consistency,
        seed=seed,
        scene=Path(shard).stem,
        canvas_px=config.canvas_px,
        reference_of=_reference_of(config),
        **looks,
        strength_limit_of=lambda frame: _strength_limit(frame, instruments, config.instrument_strength),
    )
    gate = None
    if segmenter_file is not None and config.gate.limit > 0:
        judge = FidelityJudge(load_segmenter(segmenter_file, where), group_of_class(class_table), class_table)
        gate = Gate(judge, config.gate, config.sampler.strength)
    rows: list[dict] = []
    about = {"model": model.name, "licence": model.licence, "consistency": config.consistency}
    kept = _restyled(_middle_frames(shard, config.frames_per_shard), clip, gate, about, rows)
    write_shard(frames_tar, kept, provenance)
    write_table(scores_parquet, pd.DataFrame(rows))
    dropped = sum(row["outcome"] == "dropped" for row in rows)
    print(f"restyle: {len(rows) - dropped} frames, {dropped} dropped", flush=True)


def _restyled(
    frames: Iterator[Frame], clip: ClipRestyler, gate: Gate | None, about: dict, rows: list[dict]
) -> Iterator[Frame]:
    def propose(frame: Frame, strength: float, attempt: int) -> np.ndarray:
        return to_uint8(clip.propose(frame, strength=strength, attempt=attempt))

    for frame in frames:
        if gate is None:
            image, certificate = to_uint8(clip.propose(frame)), {"outcome": "ungated"}
        else:
            result = gate(frame, propose, to_uint8(clip.picture_of(frame)))
            image, certificate = result.image, result.certificate
        names = ("outcome", "score", "strength", "tries", "blended")
        rows.append({"key": frame.key} | {name: certificate.get(name) for name in names})
        if image is None:
            clip.drop()
            continue
        clip.accept(frame, to_float(image))
        yield replace(frame, rgb=image, meta=frame.meta | {"restyle": about | certificate})


def _middle_frames(shard: str | Path, count: int | None, maps: Container[str] | None = None) -> Iterator[Frame]:
    keys = read_json(manifest_path(shard))["frames"]
    first = 0 if count is None else max(0, (len(keys) - count) // 2)
    return read_shard(shard, maps=maps, keys=set(keys[first : None if count is None else first + count]))


def _strength_limit(frame: Frame, instruments: Sequence[int], strength: float) -> np.ndarray:
    """float32 [H, W]: the highest denoising strength of each pixel; where nothing was rendered nothing is drawn."""
    limit = np.ones(frame.rgb.shape[:2], np.float32)
    if frame.class_map is not None:
        limit[np.isin(frame.class_map, instruments)] = strength
    if frame.depth_mm is not None:
        limit[frame.depth_mm <= 0] = 0
    return limit


def _conditions_of(
    model: LatentDiffusion, config: RestyleConfig, device: torch.device
) -> Callable[[Frame], list[np.ndarray]]:
    detectors = Detectors(config.detector_weights, device)
    names = [controlnet.condition for controlnet in model.controlnets]
    return lambda frame: [
        condition_image(name, frame, depth_range_mm=config.depth_range_mm, detectors=detectors) for name in names
    ]


def _reference_of(config: RestyleConfig) -> Callable[[Frame], np.ndarray]:
    if not config.reference_image:
        return lambda frame: to_float(frame.rgb)
    path = Path(config.reference_image)
    image = to_float(decode_image(path.read_bytes() if path.is_file() else b"", str(path)))
    return lambda frame: cv2.resize(image, frame.rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
