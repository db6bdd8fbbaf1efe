"""Errors of an electromagnetic tracker, added to the poses of a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.ablations.cases import TrackerError
from splatscope.compose.scene_list import Scene, frame_seed
from splatscope.geometry import invert, make_transform
from splatscope.phantom.tracker import FieldDistortion


def disturb_scene(
    scene: Scene, error: TrackerError, camera_sensor_from_camera: np.ndarray, seed: int, field: FieldDistortion | None
) -> Scene:
    """The scene as a tracker with this error would have told it.

    Camera and tools are moved by the error of the sensor that each is fixed to: rotation about the sensor's origin,
    in world axes, then a shift. `camera_sensor_from_camera` [4, 4] is the hand-eye transform. "jitter" is Gaussian,
    equal along the three axes, as the phantom's (phantom.jitter_mm, jitter_deg); its draws depend on the error, the
    frame and `seed` alone. "distortion" is read off `field` (see `distortion_field`) where the sensor is.
    """
    if not (error.mm or error.deg):
        return scene
    rng = np.random.default_rng(frame_seed(seed, f"{error.name}/{scene.recording}", scene.source_frame))

    def disturbed(world_from_sensor: np.ndarray) -> np.ndarray:
        if field is not None:
            (shift,), (turn,) = field(world_from_sensor[None, :3, 3])
        else:
            drawn = rng.standard_normal(6) / np.sqrt(3)
            shift, turn = drawn[:3] * error.mm, drawn[3:] * np.radians(error.deg)
        rotation = Rotation.from_rotvec(turn).as_matrix() @ world_from_sensor[:3, :3]
        return make_transform(rotation, world_from_sensor[:3, 3] + shift)

    camera_sensor = disturbed(scene.world_from_camera @ invert(camera_sensor_from_camera))
    placements = tuple(
        replace(placement, world_from_tool_sensor=disturbed(placement.world_from_tool_sensor))
        for placement in scene.placements
    )
    return replace(scene, world_from_camera=camera_sensor @ camera_sensor_from_camera, placements=placements)


def distortion_field(error: TrackerError, seed: int) -> FieldDistortion | None:
    """The field of a "distortion": a few long waves, the same for every strength; None for jitter."""
    return FieldDistortion(seed + 1, error.mm, error.deg) if error.kind == "distortion" else None
