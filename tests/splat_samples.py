"""Small made-up splats and recordings for the tests of extract, compose and render."""

import json

import numpy as np
import pandas as pd
import torch

from splatscope.geometry import Camera, apply, invert, look_at, make_transform, pose_columns
from splatscope.splats.gaussians import Gaussians, concatenate
from splatscope.splats.spherical_harmonics import BAND_0

CAMERA = Camera(80, 64, 75.0, 75.0, 40.0, 32.0)
CLASSES = "id\tname\n0\tbackground\n9\thook\n14\tneedle driver\n255\tignore\n"
SENSOR = make_transform(  # world_from_sensor of the tool recording
    np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]), np.array([60.0, 3.0, 55.0])
)
TIP = apply(invert(SENSOR), np.array([[-10.0, 0, 50]]))[0]  # of the bar of tool_in_world, in the sensor's frame
DIRECTION = invert(SENSOR)[:3, :3] @ [1.0, 0, 0]  # from the tip along it


def gaussians_at(points, scale, colour, opacity=0.95, sh_degree=1):
    """Isotropic Gaussians of one colour (RGB, 0..1)."""
    count = len(points)
    sh = torch.zeros(count, (sh_degree + 1) ** 2, 3)
    sh[:, 0] = (torch.tensor(colour) - 0.5) / BAND_0
    return Gaussians(
        torch.tensor(np.asarray(points), dtype=torch.float32),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        torch.full((count, 3), float(np.log(scale))),
        torch.full((count,), float(np.log(opacity / (1 - opacity)))),
        sh,
    )


def box_points(rng, count, low, high):
    """Points on the surface of an axis-aligned box."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    points = rng.uniform(low, high, (count, 3))
    size = high - low
    areas = size.prod() / size
    axis, side = rng.choice(3, count, p=areas / areas.sum()), rng.integers(0, 2, count)
    points[np.arange(count), axis] = np.where(side, high[axis], low[axis])
    return points


def plane_splat(rng, count=3000, half=150.0, height=0.0, colour=(0.7, 0.3, 0.3), scale=4.0):
    """A plane z = height, slightly rough, as a splat."""
    points = np.column_stack([rng.uniform(-half, half, (count, 2)), height + rng.normal(0, 0.4, count)])
    return gaussians_at(points, scale, colour)


def tool_in_world(rng, count=1500):
    """A bar 70 x 6 x 6 mm along x, 50 mm above the plane z = 0, with its tip at x = -10."""
    return gaussians_at(box_points(rng, count, [-10, -3, 47], [60, 3, 53]), 0.8, (0.6, 0.6, 0.65))


def tool_recording_splat(rng):
    """(splat, truth bool [N]) of a bar above a plane, with floaters, haze and huge Gaussians."""
    tool = tool_in_world(rng)
    plane = plane_splat(rng)
    directions = rng.normal(size=(60, 3))
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    floaters = gaussians_at(np.array([0, 0, 50]) + directions * rng.uniform(25, 70, (60, 1)), 1.0, (0.2, 0.9, 0.2))
    haze = gaussians_at(rng.uniform([-20, -20, 30], [70, 20, 70], (80, 3)), 1.0, (0.5, 0.5, 0.5), opacity=0.03)
    huge = gaussians_at(rng.uniform([-20, -20, 30], [70, 20, 70], (20, 3)), 30.0, (0.5, 0.5, 0.5), opacity=0.3)
    splat = concatenate([tool, plane, floaters, haze, huge])
    truth = np.zeros(len(splat), bool)
    truth[: len(tool)] = True
    order = rng.permutation(len(splat))
    return splat.select(order), truth[order]


def circling_cameras(centre, distance, count, height_deg=(25, 60)):
    """world_from_camera [count, 4, 4] round a point, all above it."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    heights = np.radians(np.linspace(*height_deg, count))
    eyes = np.asarray(centre) + distance * np.column_stack(
        [np.cos(angles) * np.cos(heights), np.sin(angles) * np.cos(heights), np.sin(heights)]
    )
    return np.array([look_at(eye, np.asarray(centre, float), np.array([0.0, 0, 1])) for eye in eyes])


def write_recording(folder, name, world_from_camera, sensors=None, valid=None, camera=CAMERA):
    """poses/<name>.parquet and .camera.json; `sensors`: world_from_sensor [C, 4, 4] by tool. Returns both paths."""
    count = len(world_from_camera)
    table = pd.DataFrame(
        {
            "frame": np.arange(count) * 3,
            "time_s": np.arange(count) / 10,
            **pose_columns("world_from_camera", world_from_camera),
            "valid": np.ones(count, bool) if valid is None else valid,
        }
    )
    for tool, poses in (sensors or {}).items():
        table = table.assign(**pose_columns(f"world_from_{tool}_sensor", poses))
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / f"{name}.parquet", index=False)
    (folder / f"{name}.camera.json").write_text(json.dumps({"camera": camera.to_dict()}))
    return folder / f"{name}.parquet", folder / f"{name}.camera.json"


def extract_report(path, **changes):
    """extract.json of the bar of tool_in_world; returns its path."""
    towards = circling_cameras([-10.0, 0, 50], 90, 40, (10, 80))[:, :3, 3] - [-10.0, 0, 50]
    directions = (towards / 90) @ SENSOR[:3, :3]
    report = {
        "world_from_sensor": SENSOR.tolist(),
        "tip_mm": TIP.tolist(),
        "shaft_direction": DIRECTION.round(5).tolist(),
        "shaft_length_mm": 70.0,
        "view_directions": directions.round(3).tolist(),
    }
    path.write_text(json.dumps(report | changes))
    return path
