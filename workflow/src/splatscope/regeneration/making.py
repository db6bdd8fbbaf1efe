"""Making one frame again as its stage made it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from splatscope.classes import read_class_table
from splatscope.config.model import Config
from splatscope.digests import settings_digest
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.project import REPOSITORY, shipped
from splatscope.regeneration.frame_name import FrameName
from splatscope.shards import encode_frame, manifest_path, read_shard

Said = Callable[[str], None]


@dataclass(frozen=True)
class Remade:
    """A frame's members as they are stored, as they were made now, and what may explain a difference."""

    stored: dict[str, bytes]
    made: dict[str, bytes]
    notes: list[str]

    @property
    def same(self) -> bool:
        return self.stored == self.made


def regenerate(name: FrameName, config: Config, say: Said = print) -> Remade:
    """Make the frame again: a rendered one from its scene and splats; a simulated one by operating anew up to it; a
    restyled one with its whole clip, because colours are matched over the clip and frames follow one another.

    Raises InputError when what it is made from is missing, and for mixed frames.
    """
    stored = name.stored()
    with _one_thread():
        if name.dataset.endswith("_restyled"):
            made, section = _restyled(name, config, say), "restyle"
        elif name.dataset == "simulated":
            made, section = _simulated(name, config, say), "simulate"
        elif (
            name.results / "compose" / f"{name.dataset}.json"
        ).is_file() and name.shard.parent.parent.name == "render":
            made, section = _rendered(name, config), "render"
        else:
            raise InputError(
                name.shard,
                found=f"a frame of the dataset {name.dataset}",
                expected="a rendered, simulated or restyled one",
                remedy=f"make its whole shard again: delete {name.shard} and run the workflow",
            )
    return Remade(stored, made, _notes(name, config, section))


@contextmanager
def _one_thread():
    """As jobs compute: sums over several threads depend on their number."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _rendered(name: FrameName, config: Config) -> dict[str, bytes]:
    from splatscope.compose.scene_list import read_scene_list
    from splatscope.compositing import read_splat
    from splatscope.render import render_frame, render_paper_frame
    from splatscope.splats.device import choose_device

    compose = name.results / "compose"
    header, scenes = read_scene_list(compose / f"{name.dataset}.parquet", compose / f"{name.dataset}.json")
    scene = next((scene for scene in scenes if (scene.shard, scene.key) == (name.number, name.key)), None)
    if scene is None:
        raise InputError(
            compose / f"{name.dataset}.parquet",
            found=f"no scene {name.key} in shard {name.number}",
            expected="the scene list that the shard was rendered from",
            remedy="run the workflow: the shard is of another scene list",
        )
    device = choose_device(config.device)
    kind = "tool_paper" if header.mode == "paper" else "tool"
    site = read_splat(name.results / "splat" / "site" / "model.ply").to(device)
    tools = {
        tool: read_splat(name.results / "extract" / tool / f"{kind}.ply").to(device) for tool in header.tool_classes
    }
    make = render_paper_frame if header.mode == "paper" else render_frame
    return encode_frame(make(scene, header, site, tools, config.render))


def _simulated(name: FrameName, config: Config, say: Said) -> dict[str, bytes]:
    from splatscope.simulate.episode import Episode
    from splatscope.simulate.operation.scenario import find_scenario, load_scenario

    scenario = load_scenario(find_scenario(config.simulate.scenario, REPOSITORY / "config" / "scenarios"))
    classes = {number: label for label, number in read_class_table(REPOSITORY / "resources" / "classes.tsv").items()}
    say(f"operating from the beginning up to frame {name.key}: tissue has no other way there")
    episode = Episode(name.number, scenario, config.simulate, config.seed, classes)
    for frame in episode.frames():
        if frame.key == name.key:
            return encode_frame(frame)
        if int(frame.key) % 25 == 24:
            say(f"  {int(frame.key) + 1} frames")
    return {}  # the operation, of other settings or code, ends earlier now


def _restyled(name: FrameName, config: Config, say: Said) -> dict[str, bytes]:
    from splatscope.restyle.stage import restyle_shard

    raw = name.dataset.removesuffix("_restyled")
    source = name.results / ("simulate" if raw == "simulated" else f"render/{raw}") / name.shard.name
    if raw.startswith("mixed_"):
        source = name.results / "mix" / raw / name.shard.name
    settings = config.restyle.variant("default")
    segmenter = name.results / "restyle" / raw / "segmenter_gate.safetensors"
    for file in [source] + [segmenter] * (settings.gate.limit > 0):
        if not file.is_file():
            raise InputError(
                file, found="no such file", expected="what the frame was restyled from", remedy="run the workflow"
            )
    clip = settings.frames_per_shard or len(read_json(manifest_path(source))["frames"])
    say(f"restyling its clip of {clip} frames: colours are matched over the clip, and frames follow one another")
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder) / "clip" / name.shard.name
        restyle_shard(
            source,
            settings.located(shipped),
            config.seed,
            read_class_table(REPOSITORY / "resources" / "classes.tsv"),
            segmenter_file=segmenter if settings.gate.limit > 0 else None,
            frames_tar=tar,
            scores_parquet=tar.with_suffix(".fidelity.parquet"),
            device=config.device,
        )
        return next((frame.stored for frame in read_shard(tar, keys={name.key})), {})


def _notes(name: FrameName, config: Config, section: str) -> list[str]:
    """What the shard's manifest says that is otherwise now."""
    manifest = manifest_path(name.shard)
    if not manifest.is_file():
        return [f"no {manifest.name}: settings and code of its making are not known"]
    provenance = read_json(manifest).get("provenance", {})
    notes = []
    if provenance.get("seed") != config.seed:
        notes.append(f"it was made with seed {provenance.get('seed')}, now it is {config.seed}")
    settings = getattr(config, section).of_a_job()
    if section != "restyle" and provenance.get("config_digest") != settings_digest(settings):
        notes.append(f"the section {section} of the settings is another than when it was made")
    return notes
