"""Where an instrument may stand in a frame: its tip at the tissue, its shaft out of the view, nothing pierced.

Camera axes and mm throughout. A draw that breaks a limit raises Rejected with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from splatscope.compose.recipe import Rejected
from splatscope.config.mix import MixConfig
from splatscope.geometry import Camera
from splatscope.keypoints import field_of_view
from splatscope.mix.layer import DEPTH_STEP_MM, FINE, Cover, Layer
from splatscope.shards import Frame

NORMAL_STEP = 3  # pixels to either side from which a surface normal is taken
LEAST_LEAN = 0.2  # cosine between shaft and surface normal: flatter, the shaft lies in the tissue
ENDOSCOPE_MM = 18.0  # no shaft comes nearer to the middle of the lens than both together are thick
CONTACT_MM = 5.0  # from its tip an instrument may touch; the rest stays clear of the tissue
CLEAR_MM = 0.5
ROUGH_SHARE = 0.005  # of an instrument's pixels may break this: depth maps of splats are rough


@dataclass(frozen=True)
class View:
    """What the placing and drawing of an instrument needs to know of a frame: maps [H, W]."""

    camera: Camera
    depth_mm: np.ndarray  # float32; 0 nothing there
    inside: np.ndarray  # float32 0..1: share of the pixel within the round view
    instances: np.ndarray  # uint8
    normals: bool = False  # whether the frame has a map of normals, and of surface points
    points: bool = False

    @classmethod
    def of(cls, frame: Frame) -> View:
        camera = Camera.from_dict(frame.meta["camera"])
        circle = frame.meta.get("round_view")
        inside = np.ones(frame.depth_mm.shape, np.float32)
        if circle is not None:
            across, down = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
            distance = np.hypot(across - circle["x"], down - circle["y"])
            inside = np.clip(circle["radius"] - distance + 0.5, 0, 1).astype(np.float32)
        wanted = frame.normals is not None, frame.surface_points is not None
        return cls(camera, frame.depth_mm, inside, frame.instance_map, *wanted)

    @property
    def rays(self) -> np.ndarray:
        """float32 [H, W, 2]: the point of the image plane at depth 1 that each pixel's centre sees."""
        return fine_rays(self.camera)[FINE // 2 :: FINE, FINE // 2 :: FINE]

    @property
    def tissue(self) -> np.ndarray:
        """bool [H, W]: where a surface shows that is no instrument's."""
        return (self.instances == 0) & (self.depth_mm > 0) & (self.inside > 0.5)


def fine_camera(camera: Camera) -> Camera:
    """The camera of a layer: FINE samples for each pixel of the frame, along each side."""
    return camera.scaled(FINE * camera.width, FINE * camera.height)


@lru_cache(maxsize=4)
def fine_rays(camera: Camera) -> np.ndarray:
    """float32 [FINE * H, FINE * W, 2]: rays of a layer's samples, through the frame's own lens."""
    return fine_camera(camera).pixel_rays().astype(np.float32)


def draw_tip(rng: np.random.Generator, view: View, config: MixConfig) -> tuple[np.ndarray, np.ndarray]:
    """Tip [3] at the tissue and the surface's unit normal [3] there, which points to the camera's side."""
    height, width = view.depth_mm.shape
    margin = max(config.tip_margin, (NORMAL_STEP + 1) / min(height, width))
    column, row = (rng.uniform(margin, 1 - margin, 2) * [width, height]).astype(int)
    contact, lift = rng.uniform() < config.contact_probability, rng.uniform()
    around = np.s_[row - NORMAL_STEP : row + NORMAL_STEP + 1, column - NORMAL_STEP : column + NORMAL_STEP + 1]
    depths = view.depth_mm[around].astype(np.float64)
    if not view.tissue[around].all() or (np.abs(np.diff(depths, axis=0)) > DEPTH_STEP_MM).any():
        raise Rejected("no_tissue_under_tip")
    rays = view.rays[around].astype(np.float64)
    points = np.dstack([rays, np.ones(depths.shape)]) * depths[..., None]
    normal = np.cross(points[-1].mean(0) - points[0].mean(0), points[:, -1].mean(0) - points[:, 0].mean(0))
    normal /= np.linalg.norm(normal)
    surface = points[NORMAL_STEP, NORMAL_STEP]
    normal = -normal if normal @ surface > 0 else normal
    low, high = (-config.max_indent_mm, 0.0) if contact else config.clearance_mm
    return surface + normal * (low + lift * (high - low)), normal


def draw_shaft(rng: np.random.Generator, tip: np.ndarray, view: View, config: MixConfig) -> np.ndarray:
    """Trocar [3] of a straight shaft from `tip` [3]: beside the view, on the camera's side of the tissue."""
    entry, tilt = (np.radians(rng.uniform(*limits)) for limits in (config.entry_angles_deg, config.shaft_tilt_deg))
    direction = np.array([np.cos(tilt) * np.cos(entry), np.cos(tilt) * np.sin(entry), -np.sin(tilt)])
    trocar = tip + rng.uniform(*config.trocar_mm) * direction
    low, high = field_of_view(view.camera)
    if trocar[2] > 0 and (trocar[:2] > low * trocar[2]).all() and (trocar[:2] < high * trocar[2]).all():
        raise Rejected("trocar_in_view")
    return trocar


def check_shaft(tip: np.ndarray, direction: np.ndarray, normal: np.ndarray) -> None:
    """Of a shaft that leaves `tip` [3] along `direction` [3], where the surface has the normal `normal` [3]."""
    if direction @ normal < LEAST_LEAN:
        raise Rejected("shaft_along_tissue")
    along = max(float(-tip @ direction), 0.0)
    if np.linalg.norm(tip + along * direction) < ENDOSCOPE_MM:
        raise Rejected("shaft_at_endoscope")


def check_cover(layer: Layer, covered: Cover, tip: np.ndarray, view: View, config: MixConfig) -> None:
    """Of an instrument whose tip is at `tip` [3]: near limit, tissue, other instruments, how much of it is seen."""
    centre = np.s_[FINE // 2 :: FINE, FINE // 2 :: FINE]
    own = (layer.alpha[centre] > 0.5) & (view.inside > 0.5)
    depth = layer.depth_mm[centre]
    if (depth[own] < config.min_depth_mm).any():
        raise Rejected("too_near")
    if covered.owned.sum() < config.min_area_px:
        raise Rejected("too_few_visible_pixels")
    gap = np.where(view.depth_mm > 0, view.depth_mm - depth, np.inf)
    points = np.dstack([view.rays, np.ones(depth.shape, np.float32)]) * depth[..., None]
    least_gap = np.where(np.linalg.norm(points - tip, axis=-1) < CONTACT_MM, -config.max_indent_mm, CLEAR_MM)
    if (own & view.tissue & (gap < least_gap)).sum() > ROUGH_SHARE * own.sum():
        raise Rejected("in_tissue")
    for other in np.unique(view.instances[own]):
        between = gap[own & (view.instances == other)]
        if other and (between.min() < config.min_tool_gap_mm) and (between.max() > -config.min_tool_gap_mm):
            raise Rejected("tools_collide")
    if covered.visibility < config.min_visibility:
        raise Rejected("hidden")


def covering_pinhole(camera: Camera, pixels_per_pixel: float) -> Camera:
    """A camera without distortion, of the same pose, that sees all that `camera` sees."""
    low, high = field_of_view(camera)
    focal = np.array([camera.fx, camera.fy]) * pixels_per_pixel
    size = np.ceil((high - low) * focal).astype(int) + 2
    centre = 1 - low * focal
    return Camera(int(size[0]), int(size[1]), float(focal[0]), float(focal[1]), float(centre[0]), float(centre[1]))
