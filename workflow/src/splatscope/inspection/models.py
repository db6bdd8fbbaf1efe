"""Splats, meshes and COLMAP models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from splatscope.files import read_json
from splatscope.geometry import Camera, invert, look_at
from splatscope.inspection.description import Description, plain, rounded, value_range
from splatscope.inspection.pictures import COLUMNS, plot, sheet
from splatscope.inspection.recordings import describe_video

VIEWS, WIDTH, HEIGHT = 8, 320, 256
MOST_POINTS = 20_000  # in a plot


def describe_ply(file: Path) -> Description:
    """A splat when it has spherical harmonics, else a mesh or points."""
    with open(file, "rb") as handle:
        start = handle.read(4096)
    return describe_splat(file) if b"f_dc_0" in start else describe_mesh(file)


def describe_splat(file: Path) -> Description:
    """Gaussians: count, extent, opacity, size; what the training beside it said of itself."""
    import torch

    from splatscope.splats.gaussians import read_ply

    gaussians = read_ply(file)
    means = gaussians.means.numpy()
    labels, counts = np.unique(gaussians.labels.numpy(), return_counts=True)
    facts = {
        "gaussians": len(gaussians),
        "sh_degree": gaussians.sh_degree,
        "light_of_the_camera": gaussians.light is not None,
        "x_mm": value_range(means[:, 0]),
        "y_mm": value_range(means[:, 1]),
        "z_mm": value_range(means[:, 2]),
        "opacity": value_range(torch.sigmoid(gaussians.opacity_logits).numpy()),
        "standard_deviation_mm": value_range(gaussians.log_scales.exp().numpy()),
        "labels": {str(label): int(count) for label, count in zip(labels, counts)},
    }
    if gaussians.light is not None and len(gaussians):
        facts["light"] = {
            name: rounded(value)
            for name, value in zip(("reference_mm", "falloff", "cone"), gaussians.light.median(0).values.tolist())
        }
    for name in ("splat.json", "extract.json"):
        if (file.parent / name).is_file():
            facts[name.removesuffix(".json")] = plain(read_json(file.parent / name), 2)
    film = file.parent / "turntable.mp4"
    if film.is_file():  # it goes where the cameras were; from elsewhere a splat looks like nothing
        return Description("Gaussian splat", facts, describe_video(film).draw)
    return Description("Gaussian splat", facts, (lambda: _draw_splat(gaussians)) if len(gaussians) else None)


def describe_mesh(file: Path) -> Description:
    from splatscope.meshes.mesh_files import read_mesh_file

    vertices, triangles, tetrahedra = read_mesh_file(file)
    facts = {"vertices": len(vertices), "triangles": len(triangles), "tetrahedra": len(tetrahedra)}
    facts |= {f"{axis}_mm": value_range(vertices[:, index]) for index, axis in enumerate("xyz")}
    return Description("mesh", facts, lambda: _scatter(vertices, np.zeros((0, 3))))


def describe_sparse_model(folder: Path) -> Description:
    """A COLMAP model: cameras, registered images, points. Lengths are COLMAP's, which have no unit."""
    from splatscope.poses.colmap_import import read_colmap

    model = read_colmap(folder)
    recordings: dict[str, int] = {}
    for name in model.image_names:
        key = str(Path(name).parent)
        recordings[key] = recordings.get(key, 0) + 1
    centres = invert(model.camera_from_world)[:, :3, 3] if model.image_names else np.zeros((0, 3))
    facts = {
        "images": len(model.image_names),
        "images_by_folder": plain(recordings),
        "points": len(model.points),
        "cameras": {str(number): camera_facts(camera) for number, camera in list(model.cameras.items())[:8]},
        "camera_path_extent": rounded(np.ptp(centres, axis=0).max()) if len(centres) else None,
    }
    if (folder / "sfm.json").is_file():
        facts["sfm"] = plain(read_json(folder / "sfm.json"))
    return Description("COLMAP model", facts, lambda: _scatter(model.points, centres, model.colors))


def camera_facts(camera: Camera) -> dict:
    """A camera in pixels and degrees."""
    return {
        "width": camera.width,
        "height": camera.height,
        "focal_px": [rounded(camera.fx), rounded(camera.fy)],
        "centre_px": [rounded(camera.cx), rounded(camera.cy)],
        "field_of_view_deg": [
            rounded(np.degrees(2 * np.arctan(size / 2 / focal)))
            for size, focal in ((camera.width, camera.fx), (camera.height, camera.fy))
        ],
        "distortion": [rounded(value) for value in camera.distortion],
    }


def _draw_splat(gaussians) -> np.ndarray:
    """Views from a ring about the middle, and from both poles, evenly lit."""
    import torch

    from splatscope.compositing import composite

    means = gaussians.means.numpy().astype(np.float64)
    middle = np.median(means, axis=0)
    radius = max(1e-6, float(np.percentile(np.linalg.norm(means - middle, axis=1), 90)))
    camera = Camera(WIDTH, HEIGHT, WIDTH, WIDTH, WIDTH / 2, HEIGHT / 2)
    angles = np.linspace(0, 2 * np.pi, VIEWS - 2, endpoint=False)
    around = [(np.array([np.cos(angle), 0.4, np.sin(angle)]), np.array([0, 1.0, 0])) for angle in angles]
    poles = [(np.array([0, side, 0.01]), np.array([0, 0, 1.0])) for side in (1.0, -1.0)]
    pictures, unlit = [], replace(gaussians, light=None)
    with torch.no_grad():
        for offset, up in around + poles:
            eye = middle + 2.6 * radius * offset / np.linalg.norm(offset)
            image = composite(unlit, [], camera, look_at(eye, middle, up))
            pictures.append((np.clip(image.color, 0, 1) * 255).astype(np.uint8))
    return sheet(pictures, COLUMNS)


def _scatter(points: np.ndarray, cameras: np.ndarray, colours: np.ndarray | None = None) -> np.ndarray:
    chosen = np.linspace(0, len(points) - 1, min(MOST_POINTS, len(points))).astype(int)
    colours = None if colours is None else colours[chosen] / 255

    def draw(figure):
        for axis, (first, second) in zip(figure.subplots(1, 2), ((0, 1), (0, 2))):
            axis.scatter(points[chosen, first], points[chosen, second], s=1, c=colours, linewidths=0)
            axis.plot(cameras[:, first], cameras[:, second], "k.", ms=3)
            axis.set(xlabel="xyz"[first], ylabel="xyz"[second], aspect="equal")

    return plot(draw, 10, 5)
