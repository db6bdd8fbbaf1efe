"""How camera and tool move: smooth, of varying speed, as functions of video time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from splatscope.geometry import look_at, make_transform
from splatscope.meshes.anatomy import Anatomy

STAND_OFF_MM = 80.0  # of the endoscope; the same in all recordings of the site, because its light falls off with it


@dataclass(frozen=True)
class Wave:
    """A value that swings about zero: two sines of different period, amplitude at most 1."""

    period_s: float
    phase: float

    def __call__(self, time_s: float) -> float:
        angle = 2 * np.pi * time_s / self.period_s + self.phase
        return 0.8 * np.sin(angle) + 0.2 * np.sin(2.3 * angle + 1.7 * self.phase)


def waves(rng: np.random.Generator, periods_s: list[float]) -> list[Wave]:
    return [Wave(period * rng.uniform(0.93, 1.07), rng.uniform(0, 2 * np.pi)) for period in periods_s]


def hurried(time_s: float, period_s: float, strength: float) -> float:
    """Time that runs now faster, now slower: nobody moves an endoscope evenly."""
    angle = 2 * np.pi / period_s
    return (
        time_s + strength / angle * np.sin(angle * time_s) + 0.3 * strength / angle * np.sin(2.7 * angle * time_s + 1)
    )


def camera_over_site(target, pitch_deg: float, yaw_deg: float, roll_deg: float, distance_mm: float) -> np.ndarray:
    """site_from_camera [4, 4]: looking down at `target`, tilted about x and y, turned about its axis."""
    direction = Rotation.from_euler("xy", [pitch_deg, yaw_deg], degrees=True).apply([0, 0, 1.0])
    up = Rotation.from_euler("z", roll_deg, degrees=True).apply([0, 1.0, 0])
    return look_at(np.asarray(target) + distance_mm * direction, np.asarray(target, float), up)


class SiteSweep:
    """The background recording: Lissajous arcs that look at the site from +-35 degrees about two axes."""

    def __init__(self, seed: int, duration_s: float):
        rng = np.random.default_rng([seed, 401])
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        self._slow = 2 * np.pi / max(duration_s, 1.0)
        self._target, self._turn = waves(rng, [duration_s / 1.5, duration_s / 1.1]), waves(rng, [4.1, 5.3])

    def site_from_camera(self, time_s: float) -> np.ndarray:
        angle = self._slow * hurried(time_s, 2.9, 0.32)
        pitch = 34 * np.sin(2 * angle + self._phase[0])
        yaw = 34 * np.sin(3 * angle + self._phase[1])
        target = (2 + 15 * self._target[0](time_s), 2 + 12 * self._target[1](time_s), 2.0)
        distance = STAND_OFF_MM * (1 + 0.06 * self._turn[1](time_s))
        return camera_over_site(target, pitch, yaw, 14 * self._turn[0](time_s), distance)


class Operation:
    """The scene and test recordings: a calm camera, a tool that works over the tissue through a fixed port."""

    PORT_MM = np.array([-112.0, -104.0, 76.0])  # where the shaft enters the abdomen, site frame
    ROLL_DEG = 45.0  # of the tool about its shaft: turns towards the camera what the tool's recording saw best

    def __init__(
        self,
        seed: int,
        index: int,
        anatomy: Anatomy,
        tip_mm: np.ndarray,
        port_turn_deg: float = 0.0,
        roll_deg: float = 0.0,
    ):
        """`port_turn_deg` moves the port round the site, `roll_deg` turns the endoscope about its axis."""
        rng = np.random.default_rng([seed, 402, index])
        self._tip = tip_mm
        self._height = _surface_height(anatomy)
        self._camera = waves(rng, [5.2, 6.1, 4.4, 5.6, 7.3, 6.6])
        self._tool = waves(rng, [5.0, 3.9, 3.3, 4.7, 3.6])
        self._roll_deg = roll_deg
        port_turn = Rotation.from_euler("z", port_turn_deg + rng.uniform(-12, 12), degrees=True)
        self._port = port_turn.apply(self.PORT_MM)

    def site_from_camera(self, time_s: float) -> np.ndarray:
        sway = [wave(hurried(time_s, 3.7, 0.3)) for wave in self._camera]
        target = (2 + 6 * sway[0], -1 + 5 * sway[1], 2.0)
        roll, distance = self._roll_deg + 6 * sway[4], STAND_OFF_MM * (1 + 0.025 * sway[5])
        return camera_over_site(target, 8 * sway[2], 8 * sway[3], roll, distance)

    def site_from_tool(self, time_s: float) -> np.ndarray:
        move = [wave(hurried(time_s, 2.6, 0.4)) for wave in self._tool]
        tip = np.array([5 + 11 * move[0], 4 + 9 * move[1], 30.0])
        tip[2] = self._rest_height(tip) + 1.2 + 3.2 * move[2]
        axis = tip - self._port
        axis /= np.linalg.norm(axis)
        side = np.cross(axis, [0, 0, 1.0])
        side /= np.linalg.norm(side)
        upright = np.stack([-side, np.cross(axis, -side), axis], axis=1)  # y as near to up as the axis allows
        spin = Rotation.from_euler("z", self.ROLL_DEG + 7 * move[3], degrees=True)
        swing = Rotation.from_rotvec(np.radians(2.5 * move[4]) * side)
        rotation = swing.as_matrix() @ upright @ spin.as_matrix()
        return make_transform(rotation, tip - rotation @ self._tip)

    def _rest_height(self, tip: np.ndarray) -> float:
        """Height of the tip at which the tool just lies on the tissue: its tip dips in a little, its shaft does not."""
        needed = []
        towards_port = (self._port - tip)[:2] / np.linalg.norm((self._port - tip)[:2])
        rise = (self._port[2] - 5.0) / np.linalg.norm((self._port - tip)[:2])  # of the shaft for each mm along
        for along, clearance in ((0.0, -1.0), (5.0, 1.0), (12.0, 4.0), (24.0, 5.0), (38.0, 5.0)):
            x, y = tip[:2] + towards_port * along
            needed.append(self._height(x, y) + clearance - along * rise)
        return float(1.5 * np.log(np.sum(np.exp(np.array(needed) / 1.5))))  # a smooth maximum: no jerks


class Orbit:
    """The tool recording: the camera climbs round the tool in almost four turns, from 18 to 67 degrees.

    Bench frame: z up; the tool lies along x, its tip towards +x, its y axis up.
    """

    BENCH_FROM_TOOL = make_transform(np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]), np.zeros(3))
    TURNS, DISTANCE_MM = 3.7, 66.0

    def __init__(self, seed: int, duration_s: float):
        rng = np.random.default_rng([seed, 403])
        self._duration = duration_s
        self._start = rng.uniform(0, 2 * np.pi)
        self._sway = waves(rng, [3.1, 3.7, 4.4, 2.8])

    def bench_from_camera(self, time_s: float) -> np.ndarray:
        share = hurried(time_s, 3.3, 0.3) / self._duration
        sway = [wave(time_s) for wave in self._sway]
        azimuth = self._start + 2 * np.pi * self.TURNS * share
        elevation = np.radians(18 + 49 * np.clip(share, -0.05, 1.05) + 2.5 * sway[0])
        direction = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
        target = np.array([-20 + 13 * sway[1], 0, -2.0])
        eye = target + np.array(direction) * self.DISTANCE_MM * (1 + 0.05 * sway[2])
        tilt = Rotation.from_rotvec(np.array(direction) * np.radians(8 * sway[3]))
        return look_at(eye, target, tilt.apply([0, 0, 1.0]))


def _surface_height(anatomy: Anatomy):
    """Height (mm) of the tissue under x, y as a smooth function, so that a tool can glide over it."""
    axis = np.arange(-60, 60.5, 1.0)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    height = np.full(x.shape, 40.0)
    for _ in range(60):  # sphere tracing downwards
        height -= 0.8 * np.maximum(anatomy.distance(np.stack([x, y, height], -1)), 0)
    smooth = gaussian_filter(np.maximum(height, -30), 3.0)

    def at(x_mm: float, y_mm: float) -> float:
        column, row = (np.clip((value + 60), 0, 118.999) for value in (x_mm, y_mm))
        i, j = int(column), int(row)
        u, v = column - i, row - j
        near = smooth[i, j] * (1 - v) + smooth[i, j + 1] * v
        far = smooth[i + 1, j] * (1 - v) + smooth[i + 1, j + 1] * v
        return float(near * (1 - u) + far * u)

    return at
