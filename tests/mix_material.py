"""Frames and layers made up for the tests of mix."""

import numpy as np

from splatscope.config.mix import MixConfig
from splatscope.geometry import Camera, make_transform
from splatscope.mix.candidate import Candidate
from splatscope.mix.layer import FINE, Layer
from splatscope.shards import Frame

HEIGHT, WIDTH = 64, 80
CAMERA = Camera(WIDTH, HEIGHT, 75.0, 75.0, 40.0, 32.0)
LENS = Camera(WIDTH, HEIGHT, 75.0, 75.0, 40.0, 32.0, (-0.2, 0.01, 0.0005, -0.0005))
NAMES = {0: "background", 5: "grasper", 9: "l-hook electrocautery", 14: "needle driver", 16: "clip applier"}
BAR = np.s_[20:44, 30:50]  # rows, columns
CONFIG = MixConfig(min_area_px=20, min_depth_mm=15.0)


def plane_frame(key="000000", depth=80.0, camera=CAMERA, **changes):
    """Reddish tissue that faces the camera; an instrument, number 1 of class 5, over the left eighth at 50 mm."""
    rng = np.random.default_rng(3)
    rgb = np.clip(rng.normal((150, 70, 60), 6, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    instances = np.zeros((HEIGHT, WIDTH), np.uint8)
    instances[:, : WIDTH // 8] = 1
    depths = np.where(instances > 0, 50, depth).astype(np.float32)
    old = {"instance": 1, "name": "old", "class_id": 5, "class_name": "grasper"}
    old |= {"visible_px": int(instances.sum()), "amodal_px": int(instances.sum()), "visibility": 1.0}
    maps = {
        "class_map": np.where(instances > 0, 5, 2).astype(np.uint8),
        "instance_map": instances,
        "amodal_bits": instances.astype(np.uint16),
        "depth_mm": depths,
        "alpha": np.full((HEIGHT, WIDTH), 250, np.uint8),
        "normals": np.tile(np.float32([0, 0, -1]), (HEIGHT, WIDTH, 1)),
        "surface_points": np.ones((HEIGHT, WIDTH, 4), np.float32),
        "flow_forward": np.ones((HEIGHT, WIDTH, 3), np.float32),
    }
    meta = {"camera": camera.to_dict(), "instances": [old], "world_from_camera": np.eye(4).tolist()}
    return Frame(key, rgb, meta, **(maps | changes))


def bar_layer(depth, where=BAR, alpha=1.0):
    """A grey rectangle at one depth, or at depths [H, W]."""
    alphas, depths = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
    alphas[where] = alpha
    depths[where] = np.broadcast_to(depth, (HEIGHT, WIDTH))[where]
    alphas, depths = (np.kron(value, np.ones((FINE, FINE), np.float32)) for value in (alphas, depths))
    colour = np.repeat(alphas[..., None] * np.float32(0.2), 3, -1)
    points = np.dstack([alphas > 0, depths, depths, depths]).astype(np.float32)
    return Layer(alphas, depths, colour, np.tile(np.float32([1, 0, 0]), (*alphas.shape, 1)), points)


class Bars:
    """A source of the bar, whatever the frame; `depths` are used one draw after the other."""

    kind = "simulated"

    def __init__(self, *depths, where=BAR):
        self.depths, self.where, self.calls = depths, where, 0

    def propose(self, rng, view, filming, config):
        depth = self.depths[min(self.calls, len(self.depths) - 1)]
        self.calls += 1
        layer = bar_layer(depth, self.where)
        points = {"tip": np.array([0, 0, float(np.max(depth))]), "off": np.array([400.0, 0, 50])}
        points |= {"before": np.array([30.0, 0, 78]), "buried": np.array([30.0, 5, 82])}
        pose = make_transform(np.eye(3), [1, 2, 3])
        return Candidate(layer, lambda: layer, "bar", 14, pose, "tool", points["tip"], {"opening": 3.0}, points, 1.0)
