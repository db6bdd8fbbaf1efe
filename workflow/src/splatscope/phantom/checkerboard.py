"""A recording of a checkerboard, for calibration: video and tracker log of the camera sensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from splatscope.config.phantom import PhantomConfig
from splatscope.geometry import invert, look_at
from splatscope.meshes import textures
from splatscope.meshes.endoscope import Endoscope
from splatscope.meshes.materials import COORDINATES, Material, MaterialLibrary
from splatscope.meshes.mesh import Mesh
from splatscope.meshes.renderer import Renderer
from splatscope.meshes.scene import Part, Scene
from splatscope.phantom.motion import waves
from splatscope.phantom.rig import make_rig
from splatscope.phantom.tracker import FieldDistortion, measure, missing_rows, write_log
from splatscope.video import open_video


def render_checkerboard_recording(
    config: PhantomConfig,
    seed: int,
    video_path: str | Path,
    tracker_path: str | Path,
    *,
    inner_corners: tuple[int, int] = (9, 6),
    square_mm: float = 6.0,
    duration_s: float = 6.0,
    clock_offset_s: float = 0.0,
) -> None:
    """Render a checkerboard of `inner_corners` (columns, rows) seen from many sides by the camera of `make_rig`.

    The truth is that of the rig: camera, camera_sensor_from_camera; tracker time = video time + clock_offset_s.
    """
    rig = make_rig(config, seed)
    columns, rows = inner_corners[0] + 1, inner_corners[1] + 1
    material = Material(
        textures.checkerboard(columns, rows), COORDINATES, (columns * square_mm, rows * square_mm), reflectance=0.0
    )
    scene = Scene(
        {"board": _board(columns * square_mm, rows * square_mm)},
        MaterialLibrary(
            {
                "board": material,
                "paper": Material(
                    textures.plain(textures.Canvas(np.random.default_rng(seed), size_mm=40.0), (0.6, 0.6, 0.6))
                ),
            }
        ),
    )
    rng = np.random.default_rng([seed, 404])
    sway = waves(rng, [3.1, 2.3, 4.3, 2.9, 3.7, 3.3])

    def site_from_camera(time_s: float) -> np.ndarray:
        move = [wave(time_s) for wave in sway]
        target = np.array([8 * move[0], 6 * move[1], 0])
        eye = target + np.array([42 * move[2], 42 * move[3], 78 + 8 * move[4]])
        return look_at(eye, target, np.array([np.sin(0.4 * move[5]), np.cos(0.4 * move[5]), 0]))

    endoscope = Endoscope(rig.camera, config.supersampling, config.image_noise, seed * 16 + 15)
    renderer = Renderer(scene, endoscope.fine)
    with open_video(video_path, config.width, config.height, config.frames_per_second, config.video_crf) as append:
        for index in range(round(duration_s * config.frames_per_second)):
            pose = site_from_camera(index / config.frames_per_second)
            append(endoscope.expose(renderer.render(pose, labels=False).radiance))
    count = int((duration_s + 0.5) * config.tracker_rate_hz)
    times = np.arange(count) / config.tracker_rate_hz - clock_offset_s
    poses = np.stack([rig.world_from_site @ site_from_camera(time) for time in times])
    field = FieldDistortion(seed, config.field_distortion_mm, config.field_distortion_deg)
    noise = np.random.default_rng([seed, 504])
    readings = measure(poses @ invert(rig.camera_sensor_from_camera), config, field, noise)
    readings = np.where(missing_rows(count, config, noise)[:, None, None], np.nan, readings)
    write_log(tracker_path, config.tracker_rate_hz, {"camera": readings}, seed)


def _board(width_mm: float, height_mm: float) -> list[Part]:
    """The printed squares centred on the origin, z up, on a larger sheet of paper just below."""

    def sheet(half_x: float, half_y: float, z: float) -> Mesh:
        corners = np.array([[-half_x, -half_y, z], [half_x, -half_y, z], [half_x, half_y, z], [-half_x, half_y, z]])
        texture = corners + np.array([half_x, half_y, -z])
        return Mesh(corners, [[0, 1, 2], [0, 2, 3]], texture=texture)

    return [
        Part(sheet(width_mm / 2, height_mm / 2, 0.0), "board"),
        Part(sheet(width_mm / 2 + 40, height_mm / 2 + 40, -0.2), "paper"),
    ]
