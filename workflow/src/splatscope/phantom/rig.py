"""What is fixed before any recording: the camera, where the sensors sit, where things stand, how the clocks differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.config.phantom import PhantomConfig
from splatscope.files import atomic_path, write_json
from splatscope.geometry import Camera, make_transform
from splatscope.meshes.instruments import NeedleDriver
from splatscope.meshes.mesh import write_ply

RECORDINGS = ("background", "needle_driver", "scene", "test")
TOOL = "needle_driver"
DISTORTION = (-0.13, 0.035, 0.0006, -0.0004)  # k1, k2, p1, p2: the mild barrel of an endoscope
WORKING_VOLUME_MM = np.array([[-150, -150, -400], [150, 150, -100]], float)  # before an Aurora's field generator


@dataclass(frozen=True)
class Rig:
    """The hidden facts of the phantom. World is the true tracker frame."""

    camera: Camera
    camera_sensor_from_camera: np.ndarray
    tool_sensor_from_tool: np.ndarray
    world_from_site: np.ndarray
    world_from_bench: np.ndarray
    clock_offset_s: dict[str, float]  # tracker time = video time + offset


def make_camera(config: PhantomConfig) -> Camera:
    """The endoscope's camera with its distortion; the same for every seed, scaled to the video's size."""
    focal = config.width / 2 / np.tan(np.radians(config.field_of_view_deg) / 2)
    scale = config.width / 640
    centre_x, centre_y = config.width / 2 + 4.3 * scale, config.height / 2 - 3.1 * scale
    return Camera(config.width, config.height, focal, focal * 1.0015, centre_x, centre_y, DISTORTION)


def make_rig(config: PhantomConfig, seed: int) -> Rig:
    """The rig of a seed."""
    rng = np.random.default_rng([seed, 301])

    def sensor_pose(distance: tuple[float, float]) -> np.ndarray:
        direction = rng.standard_normal(3)
        offset = direction / np.linalg.norm(direction) * rng.uniform(*distance)
        return make_transform(Rotation.random(rng=rng).as_matrix(), offset)

    def place(centre) -> np.ndarray:
        tilt = Rotation.from_rotvec(rng.normal(0, 0.25, 3)) * Rotation.from_euler("z", rng.uniform(-np.pi, np.pi))
        return make_transform(tilt.as_matrix(), np.asarray(centre) + rng.uniform(-15, 15, 3))

    camera_sensor, tool_sensor = sensor_pose((25, 55)), sensor_pose((30, 60))
    site, bench = place((25, -20, -290)), place((-15, 10, -270))
    offsets = rng.uniform(-config.max_clock_offset_s, config.max_clock_offset_s, len(RECORDINGS))
    clocks = {name: round(float(offset), 4) for name, offset in zip(RECORDINGS, offsets)}
    return Rig(make_camera(config), camera_sensor, tool_sensor, site, bench, clocks)


def write_rig(
    config: PhantomConfig, seed: int, calibration_path: str | Path, truth_path: str | Path, mesh_path: str | Path
) -> None:
    """Write calibration.yaml, as a user would bring it, and of the truth: truth.json and the tool mesh (PLY, mm)."""
    rig = make_rig(config, seed)
    write_calibration(calibration_path, rig.camera)
    write_json(
        truth_path,
        {
            "camera": rig.camera.to_dict(),
            "camera_sensor_from_camera": rig.camera_sensor_from_camera.tolist(),
            "tool_sensor_from_tool": {TOOL: rig.tool_sensor_from_tool.tolist()},
            "clock_offset_s": rig.clock_offset_s,
        },
    )
    write_ply(mesh_path, NeedleDriver().mesh())


def write_calibration(path: str | Path, camera: Camera) -> None:
    """Write OpenCV's YAML; its pixel centres are whole numbers, ours are not."""
    with atomic_path(path) as temporary:
        storage = cv2.FileStorage(str(temporary), cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_FORMAT_YAML)
        storage.write("image_width", camera.width)
        storage.write("image_height", camera.height)
        storage.write("camera_matrix", camera.opencv_matrix)
        storage.write("distortion_coefficients", np.array(camera.distortion)[None])
        storage.release()
