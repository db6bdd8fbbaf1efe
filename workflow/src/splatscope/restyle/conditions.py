"""Conditioning images for ControlNets, drawn from the exact maps of a frame.

What the public ControlNets were trained on decides how a map is coloured: depth as inverse depth with near things
bright (MiDaS), normals as ControlNet 1.1's `normalbae` has them, edges as soft bright lines on black (HED, PiDiNet).
The same conditions estimated from the picture, as published work has to, are in `detectors.py`.
"""

from __future__ import annotations

import cv2
import numpy as np

from splatscope.classes import voc_colours
from splatscope.errors import InputError
from splatscope.geometry import Camera
from splatscope.restyle.detectors import ESTIMATED, Detectors
from splatscope.restyle.weak_conditions import guess_scene
from splatscope.shards import Frame

EXACT = ("depth", "normals", "soft_edge", "labels")
SCENE = "scene"
SCENE_ESTIMATED = "scene_estimated"
SCENE_CHANNELS = 8  # depth, normals x 3, soft edge, labels x 3
DEPTH_RANGE_MM = (35.0, 250.0)  # an endoscope's working distances; fixed, so that a clip does not flicker

_EDGE_TURN = np.deg2rad(50.0)  # a crease as sharp as this is a full edge
_EDGE_DEPTH = 0.08  # so is a step in depth by this share
_EDGE_BLUR_PX = 0.8  # of a picture 256 pixels high; ControlNets for soft edges know no hard ones


def condition_channels(name: str) -> int:
    """Channels of a condition: 8 for "scene" and "scene_estimated", 3 for every other."""
    return SCENE_CHANNELS if name in (SCENE, SCENE_ESTIMATED) else 3


def condition_image(
    name: str,
    frame: Frame,
    *,
    depth_range_mm: tuple[float, float] | None = DEPTH_RANGE_MM,
    detectors: Detectors | None = None,
) -> np.ndarray:
    """float32 [H, W, C] in 0..1: the condition `name` of this frame.

    depth      inverse depth, 1 at the near end of `depth_range_mm`, 0 at its far end and where nothing is; with None
               the frame's own range, as MiDaS has it, which may jump from frame to frame. Three equal channels.
    normals    red left, green up, blue towards the viewer, 0.5 + 0.5 n; black where nothing is. Where the frame has
               no normals they are computed from its depth.
    soft_edge  outlines of classes and instances, steps of depth, creases; three equal channels.
    labels     class colours of the PASCAL VOC colour map.
    scene      [H, W, 8]: depth, normals, soft_edge, labels, for ControlNets of our own.
    scene_estimated  the same guessed from the picture's colours (`weak_conditions`), to see what exact maps are worth.

    Any of ESTIMATED is drawn by `detectors` from the picture alone. Raises InputError when the frame lacks a map that
    is needed, ValueError for an unknown name.
    """
    if name in ESTIMATED:
        if detectors is None:
            raise ValueError(f"condition {name} is estimated: expected detectors, got None")
        return detectors.image(name, frame)
    if name == "depth":
        return np.repeat(_inverse_depth(frame, depth_range_mm)[..., None], 3, axis=2)
    if name == "normals":
        return _normal_colours(frame)
    if name == "soft_edge":
        return np.repeat(_soft_edge(frame)[..., None], 3, axis=2)
    if name == "labels":
        return _label_colours(frame)
    if name == SCENE:
        depth, edge = _inverse_depth(frame, depth_range_mm), _soft_edge(frame)
        return np.dstack([depth, _normal_colours(frame), edge, _label_colours(frame)])
    if name == SCENE_ESTIMATED:
        return guess_scene(frame.rgb)[0].astype(np.float32) / 255
    raise ValueError(f"expected one of {[*EXACT, SCENE, SCENE_ESTIMATED, *ESTIMATED]}, got {name!r}")


def _need(frame: Frame, name: str, condition: str) -> np.ndarray:
    value = getattr(frame, name)
    if value is None:
        raise InputError(
            f"frame {frame.key}",
            found=f"no {name}",
            expected=f"the map that the condition {condition} is drawn from",
            remedy=f"choose a condition that is estimated from the picture ({', '.join(ESTIMATED)})",
        )
    return value


def _inverse_depth(frame: Frame, range_mm: tuple[float, float] | None) -> np.ndarray:
    depth = _need(frame, "depth_mm", "depth")
    seen = depth > 0
    if not seen.any():
        return np.zeros_like(depth)
    near, far = (depth[seen].min(), depth[seen].max()) if range_mm is None else range_mm
    inverse = 1 / np.where(seen, depth, far)
    spread = max(1 / near - 1 / far, 1e-9)
    return np.clip((inverse - 1 / far) / spread, 0, 1).astype(np.float32)


def _normals(frame: Frame) -> np.ndarray:
    """float32 [H, W, 3] in camera axes, unit or 0; computed from depth where the frame has none."""
    depth = _need(frame, "depth_mm", "normals")
    known = np.zeros((*depth.shape, 3), np.float32) if frame.normals is None else frame.normals
    missing = (depth > 0) & (np.abs(known).sum(axis=2) == 0)
    if not missing.any():
        return known
    if "camera" not in frame.meta:
        raise InputError(
            f"frame {frame.key}",
            found="neither normals nor a camera to compute them with",
            expected="meta.camera",
            remedy="write the frames with their camera, or choose another condition",
        )
    return np.where(missing[..., None], _normals_of_depth(depth, Camera.from_dict(frame.meta["camera"])), known)


def _normals_of_depth(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """float32 [H, W, 3]: of the surface through each pixel and its nearer neighbour to either side; 0 without one."""
    rays = np.dstack([camera.pixel_rays(), np.ones(depth.shape)])
    points = rays * depth[..., None]

    def tangent(axis: int) -> np.ndarray:
        forward = np.zeros_like(points)
        ahead = [slice(None)] * 2
        behind = [slice(None)] * 2
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        both_seen = (depth[tuple(ahead)] > 0) & (depth[tuple(behind)] > 0)
        forward[tuple(behind)] = (points[tuple(ahead)] - points[tuple(behind)]) * both_seen[..., None]
        backward = np.zeros_like(points)
        backward[tuple(ahead)] = forward[tuple(behind)]
        # across an outline one side belongs to another surface: the smaller step is the same surface's
        step_forward, step_backward = np.abs(forward[..., 2]), np.abs(backward[..., 2])
        step_forward[~forward.any(axis=2)] = np.inf
        step_backward[~backward.any(axis=2)] = np.inf
        return np.where((step_forward <= step_backward)[..., None], forward, backward)

    normals = np.cross(tangent(0), tangent(1))  # down x right points towards the viewer
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0).astype(np.float32)


def _normal_colours(frame: Frame) -> np.ndarray:
    # ControlNet 1.1's model page asks for ScanNet's protocol: red left, green up, blue front, the negative of our axes
    normals = _normals(frame)
    there = np.abs(normals).sum(axis=2, keepdims=True) > 0
    return np.where(there, 0.5 - 0.5 * normals, 0).clip(0, 1).astype(np.float32)


def _label_colours(frame: Frame) -> np.ndarray:
    return voc_colours()[_need(frame, "class_map", "labels")]


def _soft_edge(frame: Frame) -> np.ndarray:
    depth = _need(frame, "depth_mm", "soft_edge")
    class_map = _need(frame, "class_map", "soft_edge")
    instances = np.zeros_like(class_map) if frame.instance_map is None else frame.instance_map
    normals = _normals(frame)
    edge = np.zeros(depth.shape, np.float32)
    for axis in (0, 1):
        here, there = [slice(None)] * 2, [slice(None)] * 2
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        here, there = tuple(here), tuple(there)
        outline = (class_map[here] != class_map[there]) | (instances[here] != instances[there])
        cosine = (normals[here] * normals[there]).sum(axis=2).clip(-1, 1)
        both = np.abs(normals[here]).sum(axis=2) * np.abs(normals[there]).sum(axis=2) > 0
        crease = np.where(both, np.arccos(cosine) / _EDGE_TURN, 0)
        strength = np.maximum(outline, crease).astype(np.float32)
        edge[here] = np.maximum(edge[here], strength)
        edge[there] = np.maximum(edge[there], strength)
    edge = np.maximum(edge, _depth_steps(depth)).clip(0, 1)
    blur = _EDGE_BLUR_PX * max(depth.shape[0] / 256, 1)
    return np.clip(cv2.GaussianBlur(edge, (0, 0), blur), 0, 1)


def _depth_steps(depth: np.ndarray) -> np.ndarray:
    """float32 [H, W]: how far each pixel's inverse depth is from its neighbours' mean, in units of a full edge.

    Inverse depth is linear over a plane, however steeply it is seen, so that slopes are no edges.
    """
    inverse = np.where(depth > 0, 1 / np.where(depth > 0, depth, 1), 0).astype(np.float32)
    steps = np.zeros_like(inverse)
    for axis in (0, 1):
        size = inverse.shape[axis]
        before, after = (inverse.take(np.clip(np.arange(size) + side, 0, size - 1), axis=axis) for side in (-1, 1))
        bend = np.abs(before + after - 2 * inverse)
        first, last = ([slice(None)] * 2 for _ in range(2))
        first[axis], last[axis] = slice(0, 1), slice(-1, None)
        bend[tuple(first)] = bend[tuple(last)] = 0
        steps = np.maximum(steps, bend)
    return steps * np.where(depth > 0, depth, 0) / _EDGE_DEPTH
