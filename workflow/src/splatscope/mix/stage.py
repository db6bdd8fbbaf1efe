"""Stage mix: every frame of a shard with one instrument more."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from splatscope.classes import MAX_INSTANCES
from splatscope.compose.recipe import Rejected
from splatscope.config.mix import MixConfig
from splatscope.errors import InputError
from splatscope.mix.candidate import Candidate, LayerSource, describe, updated
from splatscope.mix.layer import Cover, cover, lay_labels
from splatscope.mix.light import Filming, blend, contact_shade
from splatscope.mix.placing import View, check_cover
from splatscope.shards import Frame, read_shard, write_shard

FIRST_OBJECT = 60_000  # number of the layer's first object in a map of surface points; scenes count from 1
NEEDED = ("class_map", "instance_map", "amodal_bits", "depth_mm")


def mix_shard(
    frames_tar: str | Path,
    source: LayerSource,
    config: MixConfig,
    seed: int,
    class_names: Mapping[int, str],
    *,
    dataset: str,
    shard: int,
    out: str | Path,
    provenance: dict | None = None,
) -> dict:
    """Write the frames of a shard, an instrument of `source` laid into each; returns the counts.

    What is drawn for a frame depends on `seed`, `dataset`, `shard` and the frame's key alone. A frame for which
    `config.max_draws` poses do not fit stays as it was. The counts (frames mixed, left as they were, draws rejected by
    reason) also stand in the manifest's provenance under `mix`. Optical flow is left out of all frames, because the
    instrument of a frame is in no other. Raises InputError for a frame without camera, depth or label maps.
    """
    counts = {"mixed": 0, "left": 0, "rejected": Counter()}
    frames = _mixed(
        frames_tar, source, config, [seed, zlib.crc32(dataset.encode()), shard], class_names, dataset, counts
    )
    # the manifest is written after the last frame: by then the counts are complete
    write_shard(out, frames, (provenance or {}) | {"mix": counts})
    print(f"{counts['mixed']} frames mixed, {counts['left']} left as they were", flush=True)
    return counts


def mix_frame(
    frame: Frame, source: LayerSource, config: MixConfig, seed: list[int], class_names: Mapping[int, str]
) -> tuple[Frame, Counter]:
    """The frame with one instrument more, or as it was when nothing fits; and why draws were rejected.

    `meta["mix"]` says what was done: kind of the source, number of the new instance (null: none), draws.
    """
    rng = np.random.default_rng(seed)
    view = View.of(frame)
    rejected: Counter[str] = Counter()
    instance = free_instance(frame)
    if instance is None or not view.tissue.any():
        rejected["no_free_instance" if instance is None else "no_tissue"] += 1
        return _marked(frame, source, None, 0), rejected
    filming = Filming.of(frame.rgb, frame.depth_mm, view.rays, view.tissue) if config.match_exposure else None
    for draw in range(1, config.max_draws + 1):
        try:
            candidate = source.propose(rng, view, filming, config)
            covered = cover(candidate.layer, frame.depth_mm, view.inside > 0.5)
            check_cover(candidate.layer, covered, candidate.tip, view, config)
        except Rejected as reason:
            rejected[str(reason)] += 1
            continue
        mixed = _laid(frame, view, candidate, covered, instance, filming, config, class_names, rng)
        return _marked(mixed, source, instance, draw), rejected
    return _marked(frame, source, None, config.max_draws), rejected


def free_instance(frame: Frame) -> int | None:
    """The first number 1..MAX_INSTANCES that no instance of the frame has."""
    described = {int(entry["instance"]) for entry in frame.meta.get("instances", [])}
    taken = described | set(np.unique(frame.instance_map).tolist())
    bits = int(np.bitwise_or.reduce(frame.amodal_bits, axis=None))
    free = (number for number in range(1, MAX_INSTANCES + 1) if number not in taken and not bits >> (number - 1) & 1)
    return next(free, None)


def _mixed(frames_tar, source, config, seed, class_names, dataset, counts) -> Iterator[Frame]:
    for frame in read_shard(frames_tar):
        _check(frame, frames_tar)
        frame = replace(frame, flow_forward=None, flow_backward=None, meta=frame.meta | {"dataset": dataset})
        mixed, rejected = mix_frame(frame, source, config, [*seed, int(frame.key)], class_names)
        counts["rejected"] = dict(sorted((Counter(counts["rejected"]) + rejected).items()))
        counts["left" if mixed.meta["mix"]["instance"] is None else "mixed"] += 1
        yield mixed


def _laid(
    frame: Frame,
    view: View,
    candidate: Candidate,
    covered: Cover,
    instance: int,
    filming: Filming | None,
    config: MixConfig,
    class_names: Mapping[int, str],
    rng: np.random.Generator,
) -> Frame:
    layer = candidate.finish()
    shade = contact_shade(layer, covered, frame.depth_mm, config.contact_reach_mm, view.camera.fx)
    shade = shade * config.contact_shade * view.inside
    rgb = blend(frame.rgb, layer, covered, view.inside, filming, shade, config.blur_px, rng)
    mixed = lay_labels(frame, layer, covered, instance, candidate.class_id, FIRST_OBJECT)
    entries = [updated(entry, mixed, instance) for entry in frame.meta.get("instances", [])]
    entries.append(describe(candidate, instance, class_names[candidate.class_id], mixed, view, covered))
    entries.sort(key=lambda entry: entry["instance"])
    return replace(mixed, rgb=rgb, meta=frame.meta | {"instances": entries})


def _marked(frame: Frame, source: LayerSource, instance: int | None, draws: int) -> Frame:
    return replace(frame, meta=frame.meta | {"mix": {"source": source.kind, "instance": instance, "draws": draws}})


def _check(frame: Frame, file: str | Path) -> None:
    missing = [name for name in NEEDED if getattr(frame, name) is None]
    missing += [] if "camera" in frame.meta else ["camera"]
    if missing:
        raise InputError(
            file,
            f"frame {frame.key}",
            found=f"no {missing[0]}",
            expected=f"frames with a camera and {', '.join(NEEDED)}, as render and simulate make them",
            remedy="make the shard again, or give mix another dataset's",
        )
