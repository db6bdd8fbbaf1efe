"""Stage render: a shard of a scene list becomes frames with exact labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from splatscope.compose.scene_list import Placement, Scene, SceneHeader, read_scene_list
from splatscope.compositing import Composite, colour_alone, composite, instance_map, read_splat, silhouette
from splatscope.config.render import RenderConfig
from splatscope.errors import InputError
from splatscope.geometry import Camera, invert, make_transform
from splatscope.images import to_uint8
from splatscope.shards import Frame, write_shard
from splatscope.splats.device import choose_device
from splatscope.splats.gaussians import Gaussians
from splatscope.splats.spherical_harmonics import BAND_0

Draw = Callable[[Scene], Frame]


@dataclass(frozen=True)
class Labels:
    """Who is where in an image."""

    instances: np.ndarray  # uint8 [H, W], number of the instance seen, 0 nobody
    amodal: Mapping[int, np.ndarray]  # bool [H, W] by instance
    boxes: Mapping[int, list] | None = None  # x, y, width, height of each contour, by instance; paper mode only


def render_shard(
    scenes_parquet: str | Path,
    scenes_json: str | Path,
    shard: int,
    site_ply: str | Path,
    tool_plys: Mapping[str, str | Path],
    config: RenderConfig,
    *,
    frames_tar: str | Path,
    provenance: dict | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Render the frames of one shard of a scene list; equal bytes for any number of threads.

    `tool_plys` by tool: tool.ply of extract (sensor frame), or tool_paper.ply (recording's world) for a scene list in
    paper mode. `device` as in splats.device.choose_device. A shard beyond the end of the list comes out empty. Raises
    InputError for a missing or empty splat.
    """
    header, scenes = read_scene_list(scenes_parquet, scenes_json)
    scenes = [scene for scene in scenes if scene.shard == shard]
    missing = set(header.tool_classes) - set(tool_plys)
    if missing:
        raise InputError(
            scenes_json,
            "tool_classes",
            found=f"the tool {sorted(missing)[0]}, for which there is no splat",
            expected=f"tools among {', '.join(sorted(tool_plys)) or 'none'}",
            remedy="compose the scenes again, or bring the recording of this tool",
        )
    place = choose_device(device)
    site = read_splat(site_ply).to(place)
    tools = {name: read_splat(tool_plys[name]).to(place) for name in header.tool_classes}
    make_frame = render_paper_frame if header.mode == "paper" else render_frame

    def draw(scene: Scene) -> Frame:
        return make_frame(scene, header, site, tools, config)

    write_shard(frames_tar, drawn_frames(draw, scenes, threads), provenance)


def render_frame(
    scene: Scene,
    header: SceneHeader,
    site: Gaussians,
    tools: Mapping[str, Gaussians],
    config: RenderConfig,
) -> Frame:
    """One annotated frame; `tools` in their sensors' frames, mm.

    Visible masks come from the tools' weights in the same blending as the colour, amodal ones from each tool alone.
    """
    camera = header.cameras[scene.recording]
    moved = [tools[placement.tool].transformed(placement.world_from_tool_sensor) for placement in scene.placements]
    image = composite(site, moved, camera, scene.world_from_camera)
    return labelled_frame(scene, header, image, blended_labels(scene, camera, image, moved, config), config)


def render_paper_frame(
    scene: Scene,
    header: SceneHeader,
    site: Gaussians,
    tools: Mapping[str, Gaussians],
    config: RenderConfig,
) -> Frame:
    """One frame as Zeng et al. (MICCAI 2024) make it, defects included; `tools` in their recordings' world.

    Tools move by Eq. 2 (means translated, covariances rotated, SH not). Labels (section 2.4): the tool is rendered
    alone on black with a tag in the constant SH term, a contrast threshold makes the mask, contours make the boxes.
    Such masks are amodal whatever lies before the tool, and serve as visible masks nonetheless.
    """
    camera = header.cameras[scene.recording]
    moved = [
        tools[placement.tool].paper_transformed(
            paper_displacement(placement.world_from_tool_sensor, header.recorded_poses[placement.tool])
        )
        for placement in scene.placements
    ]
    image = composite(site, moved, camera, scene.world_from_camera)
    return labelled_frame(scene, header, image, contrast_labels(scene, camera, moved, config), config)


def blended_labels(
    scene: Scene, camera: Camera, image: Composite, moved: Sequence[Gaussians], config: RenderConfig
) -> Labels:
    """Visible masks from the tools' weights in `image`, amodal ones from each tool alone; `moved` in world mm."""
    instances = instance_map(image.weights, config.mask_threshold)
    numbers = np.array([0, *(placement.instance for placement in scene.placements)], np.uint8)
    instances = numbers[instances]
    amodal = {}
    for placement, gaussians in zip(scene.placements, moved):
        alone = silhouette(gaussians, camera, scene.world_from_camera) > config.mask_threshold
        # rounding at the threshold must not make a visible pixel that the tool alone would not have
        amodal[placement.instance] = alone | (instances == placement.instance)
    return Labels(instances, amodal)


def contrast_labels(scene: Scene, camera: Camera, moved: Sequence[Gaussians], config: RenderConfig) -> Labels:
    """Masks and boxes as section 2.4 of Zeng et al. makes them; `moved` in world mm."""
    instances = np.zeros((camera.height, camera.width), np.uint8)
    amodal, boxes = {}, {}
    for placement, gaussians in zip(scene.placements, moved):
        tagged = tag_colour(gaussians, config.paper_tag_colour)
        picture = to_uint8(colour_alone(tagged, camera, scene.world_from_camera))
        mask = picture.max(-1) > config.paper_contrast_threshold
        contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        boxes[placement.instance] = sorted([int(value) for value in cv2.boundingRect(line)] for line in contours)
        instances[mask] = placement.instance
        amodal[placement.instance] = mask
    return Labels(instances, amodal, boxes)


def paper_displacement(world_from_sensor: np.ndarray, recorded_world_from_sensor: np.ndarray) -> np.ndarray:
    """Eq. 2's rotation and translation as a transform [4, 4]: how the sensor turned and moved since its recording.

    The paper translates the means by the tool's displacement and does not rotate them about anything.
    """
    rotation = world_from_sensor[:3, :3] @ recorded_world_from_sensor[:3, :3].T
    return make_transform(rotation, world_from_sensor[:3, 3] - recorded_world_from_sensor[:3, 3])


def tag_colour(gaussians: Gaussians, colour: tuple[float, float, float]) -> Gaussians:
    """The Gaussians with the SH constant term set to a colour (RGB, 0..1); higher bands stay as they are."""
    sh = gaussians.sh.clone()
    sh[:, 0] = (torch.tensor(colour, dtype=sh.dtype, device=sh.device) - 0.5) / BAND_0
    return replace(gaussians, sh=sh)


def labelled_frame(scene: Scene, header: SceneHeader, image: Composite, labels: Labels, config: RenderConfig) -> Frame:
    """The frame of a scene from its image and labels."""
    camera, instances, amodal, boxes = header.cameras[scene.recording], labels.instances, labels.amodal, labels.boxes
    classes = np.zeros(256, np.uint8)
    bits = np.zeros(instances.shape, np.uint16)
    entries = []
    for placement in scene.placements:
        classes[placement.instance] = placement.class_id
        bits |= amodal[placement.instance].astype(np.uint16) << np.uint16(placement.instance - 1)
        entry = _entry(placement, scene, header, instances, amodal[placement.instance])
        entries.append(entry if boxes is None else entry | {"boxes": boxes[placement.instance]})
    meta = {
        "dataset": header.dataset,
        "mode": header.mode,
        "camera": camera.to_dict(),
        "world_from_camera": scene.world_from_camera.tolist(),
        "instances": entries,
        "seed": scene.seed,
        "source": {"recording": scene.recording, "frame": scene.source_frame},
    }
    return Frame(
        scene.key,
        to_uint8(image.color),
        meta,
        class_map=classes[instances],
        instance_map=instances,
        amodal_bits=bits,
        depth_mm=np.where(image.alpha > config.mask_threshold, image.depth, 0).astype(np.float32),
        alpha=to_uint8(image.alpha),
    )


def _entry(placement: Placement, scene: Scene, header: SceneHeader, instances: np.ndarray, amodal: np.ndarray) -> dict:
    visible_px, amodal_px = int((instances == placement.instance).sum()), int(amodal.sum())
    return {
        "instance": placement.instance,
        "name": placement.tool,
        "class_id": placement.class_id,
        "class_name": header.tool_classes[placement.tool],
        "world_from_tool_sensor": placement.world_from_tool_sensor.tolist(),
        "camera_from_tool_sensor": (invert(scene.world_from_camera) @ placement.world_from_tool_sensor).tolist(),
        "visible_px": visible_px,
        "amodal_px": amodal_px,
        "visibility": visible_px / max(1, amodal_px),
    }


def drawn_frames(draw: Draw, scenes: list[Scene], threads: int) -> Iterator[Frame]:
    """Frames in order, `threads` at a time; a line every 32."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for number, frame in enumerate(pool.map(draw, scenes), start=1):
            if number % 32 == 0 or number == len(scenes):
                print(f"{number} of {len(scenes)} frames rendered", flush=True)
            yield frame
