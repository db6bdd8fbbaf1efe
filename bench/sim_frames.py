"""Frames of simulated operations for the bench: the operation, its labels by another way, its surfaces for a peer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import warp as wp

from splatscope.classes import read_class_table
from splatscope.config.simulate import SimulateConfig
from splatscope.meshes.renderer import Renderer
from splatscope.simulate.episode import Episode
from splatscope.simulate.filming import BLOOD
from splatscope.simulate.operation.scenario import load_scenario

wp.set_module_options({"enable_backward": False})
ROOT = Path(__file__).resolve().parent.parent
MOST_BACK_FACES = 16


def start_episode(index: int, **changes) -> Episode:
    """An operation with the default settings but for `changes`."""
    names = {number: name for name, number in read_class_table(ROOT / "resources/classes.tsv").items()}
    config = SimulateConfig(**changes)
    return Episode(index, load_scenario(ROOT / f"config/scenarios/{config.scenario}.yaml"), config, 0, names)


def label_agreement(episode: Episode, every: int, frames: int) -> dict:
    """Share of pixels whose class and instance are those that an independent ray cast finds, every few frames.

    The rays are those of the frame's own lens (checked against OpenCV's projection); they meet the surfaces in a
    bounding volume hierarchy. Depth errors are of the pixels that agree.
    """
    renderer: Renderer = episode._filming._renderer
    rays, lens_error = _lens_rays(renderer)
    equal, pixels, depth_errors, moments = 0, 0, [], []
    for number, _ in enumerate(episode.frames()):
        if number % every:
            continue
        picture = renderer.render(episode.commands[-1].world_from_camera, colour=False)
        classes, instances, depth = _cast(renderer, rays)
        same = (picture.class_map.ravel() == classes) & (picture.instance_map.ravel() == instances)
        equal, pixels = equal + int(same.sum()), pixels + same.size
        depth_errors.append(np.abs(picture.depth_mm.ravel() - depth)[same & (classes > 0)])
        moments.append(episode.commands[-1].time_s)
        if len(moments) == frames:
            break
    error = np.concatenate(depth_errors)
    return {
        "share": equal / pixels,
        "frames": len(moments),
        "last_at_s": moments[-1],
        "distortion": list(renderer.camera.distortion),
        "lens_error_px": lens_error,
        "depth_error_mm_p999": float(np.percentile(error, 99.9)),
    }


def snapshot(episode: Episode, skip: int, frames: int, path: Path) -> int:
    """Save the surfaces of `frames` + 1 consecutive frames after the first `skip`; returns the number of faces.

    Faces are those of the first: a cut or tear adds vertices at the end and leaves the others. The camera is saved
    without its distortion, which the peer does not have.
    """
    renderer: Renderer = episode._filming._renderer
    scene, camera, seen = renderer.scene, renderer.camera, []
    for number, _ in enumerate(episode.frames()):
        if number == skip:
            faces, parts = scene.faces.numpy().copy(), scene.face_part.numpy().copy()
        if number >= skip:
            seen.append(scene.camera_vertices.numpy()[: faces.max() + 1].copy())
        if len(seen) > frames:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        vertices=np.stack(seen),
        faces=faces,
        face_part=parts,
        part_class=scene.part_class.numpy(),
        size=[camera.width, camera.height],
        intrinsics=[camera.fx, camera.fy, camera.cx, camera.cy],
    )
    return len(faces)


def _lens_rays(renderer: Renderer) -> tuple[np.ndarray, float]:
    """Directions [N, 3] of all pixels, and how far OpenCV's projection of them is from the pixel centres, at most."""
    camera = renderer.camera
    plane = camera.pixel_rays().reshape(-1, 2)
    rays = np.column_stack([plane, np.ones(len(plane))])
    nothing = np.zeros(3)
    back = cv2.projectPoints(rays, nothing, nothing, camera.opencv_matrix, np.array(camera.distortion or [0.0] * 4))[0]
    rows, columns = np.mgrid[: camera.height, : camera.width]
    return rays, float(np.abs(back[:, 0] - np.stack([columns, rows], -1).reshape(-1, 2)).max())


def _cast(renderer: Renderer, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class, instance and depth [N] where each ray first meets the outside of a surface."""
    scene = renderer.scene
    corners, part = scene.faces.numpy(), scene.face_part.numpy()
    shape = wp.Mesh(wp.clone(scene.camera_vertices), wp.array(corners.ravel(), dtype=wp.int32))
    count = len(rays)
    faces, hits = wp.zeros(count, dtype=wp.int32), wp.zeros(count, dtype=wp.vec3)
    wp.launch(_first_outside, dim=count, inputs=[shape.id, wp.array(rays, dtype=wp.vec3)], outputs=[faces, hits])
    face, (first, second, depth) = faces.numpy(), hits.numpy().T
    met = face >= 0
    weights = np.stack([first, second, 1 - first - second], -1)
    blood = (scene.condition.numpy()[corners[face], 1] * weights).sum(-1) > 0.5
    classes = np.where(blood, BLOOD, scene.part_class.numpy()[part[face]])
    instances = scene.part_instance.numpy()[part[face]]
    return np.where(met, classes, 0), np.where(met, instances, 0), np.where(met, depth, 0)


@wp.kernel
def _first_outside(
    mesh: wp.uint64,
    rays: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
    hits: wp.array(dtype=wp.vec3),  # weights of the first two corners; depth along the optical axis in mm
):
    index = wp.tid()
    direction = wp.normalize(rays[index])
    faces[index] = -1
    start = wp.float32(0.0)
    for _ in range(MOST_BACK_FACES):
        hit = wp.mesh_query_ray(mesh, direction * start, direction, 1.0e5)
        if not hit.result:
            return
        start = start + hit.t
        if hit.sign > 0.0:
            faces[index] = hit.face
            hits[index] = wp.vec3(hit.u, hit.v, start * direction[2])
            return
        start = start + 1.0e-3
