"""Small recordings made by the tests of ingest: a textured plane seen by a hand-held camera, and tracker logs of it."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.geometry import Camera, invert, look_at, make_transform, matrix_to_quaternion

CAMERA = Camera(320, 256, 300.0, 300.0, 160.0, 128.0)
SENSOR_FROM_CAMERA = make_transform(Rotation.from_euler("xyz", [20, -35, 70], degrees=True).as_matrix(), [12, -30, 45])


def smooth_noise(rng: np.random.Generator, time_s: np.ndarray, channels: int, lowest=0.15, highest=0.9) -> np.ndarray:
    """[N, channels] of unit deviation: sums of sines between `lowest` and `highest` Hz."""
    frequency = rng.uniform(lowest, highest, (6, channels))
    phase = rng.uniform(0, 2 * np.pi, (6, channels))
    return np.sin(2 * np.pi * frequency * time_s[:, None, None] + phase).sum(1) / np.sqrt(3)


def hand_held_path(time_s: np.ndarray, seed: int = 0) -> np.ndarray:
    """`world_from_camera` [N, 4, 4] about 100 mm above the plane z = 0, wandering by some 10 mm and 5 degrees."""
    rng = np.random.default_rng(seed)
    base = look_at(np.array([0, 0, 100.0]), np.zeros(3), np.array([0, 1.0, 0]))
    shift = smooth_noise(rng, time_s, 3) * [10, 10, 6]
    turn = Rotation.from_euler("xyz", smooth_noise(rng, time_s, 3) * [4, 4, 8], degrees=True).as_matrix()
    return base @ make_transform(turn, shift)


def plane_texture(seed: int = 0, size: int = 900) -> np.ndarray:
    rng = np.random.default_rng(seed)
    texture = sum(
        amplitude
        * cv2.resize(rng.uniform(-1, 1, (n, n, 3)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        for n, amplitude in ((20, 40), (70, 40), (220, 30))
    )
    return np.clip(128 + texture, 0, 255).astype(np.uint8)


def render_plane(world_from_camera: np.ndarray, texture: np.ndarray, camera: Camera = CAMERA) -> np.ndarray:
    """uint8 [H, W, 3] view of the plane z = 0; the texture spans 300 mm."""
    to_world = np.array([[300 / len(texture), 0, -150], [0, 300 / len(texture), -150], [0, 0, 1]])
    camera_from_world = invert(world_from_camera)
    projection = camera.opencv_matrix @ camera_from_world[:3][:, [0, 1, 3]] @ to_world
    return cv2.warpPerspective(texture, projection, (camera.width, camera.height), borderMode=cv2.BORDER_REFLECT)


def write_video(path: Path, frames, fps: int = 30, codec: str = "libx264", **options: str) -> Path:
    with av.open(str(path), "w", options=options) as container:
        stream = None
        for image in frames:
            if stream is None:
                stream = container.add_stream(codec, rate=fps)
                stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], "yuv420p"
                stream.options = {"crf": "20", "preset": "veryfast"} if codec == "libx264" else {}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())
    return path


def hand_held_video(path: Path, seconds: float = 4.0, seed: int = 0, decorate=lambda index, image: image) -> Path:
    """A video of the plane along `hand_held_path`; time 0 of the path is time 0 of the video."""
    texture = plane_texture(seed)
    poses = hand_held_path(np.arange(round(seconds * 30)) / 30, seed)
    return write_video(path, (decorate(index, render_plane(pose, texture)) for index, pose in enumerate(poses)))


def tracked_poses(time_s: np.ndarray, offset_s: float, seed: int = 0, jitter: bool = True) -> np.ndarray:
    """`tracker_from_camera_sensor` [N, 4, 4] at tracker times, where tracker time = video time + offset."""
    tracker_from_world = make_transform(
        Rotation.from_euler("zyx", [50, 20, -10], degrees=True).as_matrix(), [80, -40, -250]
    )
    poses = tracker_from_world @ hand_held_path(time_s - offset_s, seed) @ invert(SENSOR_FROM_CAMERA)
    if jitter:
        rng = np.random.default_rng([seed, 1])
        turn = Rotation.from_rotvec(np.radians(0.05) * rng.standard_normal((len(poses), 3))).as_matrix()
        poses = poses @ make_transform(turn, 0.05 * rng.standard_normal((len(poses), 3)))
    return poses


def toolbox_row(frame: int, time_s: float | None, sensors: dict[str, np.ndarray | None], separator: str = ",") -> str:
    """One row of an NDI ToolBox export; a sensor whose pose is None or NaN is missing."""
    cells = [str(len(sensors))]
    for index, (name, pose) in enumerate(sensors.items(), 1):
        cells += [f"Port 0x{index:02X}: {name} s/n:3E4C88{index:02X}", str(frame)]
        cells += [] if time_s is None else [f"{time_s:.6f}"]
        if pose is None or not np.isfinite(pose).all():
            cells += ["0", "Missing", *["-3.697314E28"] * 7, "0.0000"]
        else:
            values = [*matrix_to_quaternion(pose[:3, :3]), *pose[:3, 3]]
            cells += ["0", "OK", *(f"{value:.7f}" for value in values), "0.1200"]
    return separator.join(cells)


def toolbox_header(names: list[str], with_time: bool = True, separator: str = ",") -> str:
    cells = ["Tools"]
    for index, name in enumerate(names, 1):
        cells += [f"Port 0x{index:02X}: {name} s/n:3E4C88{index:02X}", "Frame", *(["Time [sec]"] if with_time else [])]
        cells += ["Face", "State", "Q0", "Qx", "Qy", "Qz", "Tx", "Ty", "Tz", "Error"]
    return separator.join(cells)


def write_toolbox_log(path: Path, time_s: np.ndarray, sensors: dict[str, np.ndarray], separator: str = ",") -> Path:
    rows = [toolbox_header(list(sensors), separator=separator)]
    for index, time in enumerate(time_s):
        poses = {name: values[index] for name, values in sensors.items()}
        rows.append(toolbox_row(1000 + index, time, poses, separator))
    path.write_text("\n".join(rows) + "\n")
    return path
