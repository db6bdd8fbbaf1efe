"""Who holds the endoscope: follows the instruments late and not always, through a port of its own."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from splatscope.geometry import look_at
from splatscope.meshes.distance_fields import Field
from splatscope.simulate.operation.motion import BandNoise, Submovements
from splatscope.simulate.operation.scenario import CameraStyle

NEAREST_MM, FARTHEST_MM = 50.0, 110.0  # from the eye to what it looks at
CLEARANCE_MM = 22.0  # least distance of the eye from anything
REACTION_S = 0.25  # between two looks at where the instruments are
SHORTEST_MOVE_S = 0.7  # at any pace: who watches must be able to follow
DEAD_ZONE = 0.16  # of the distance: the tip may wander as far from the centre before the camera follows
RECENTRE_S = 9.0  # mean time between two deliberate re-centrings
WITHDRAWAL_SHARE = 0.4  # of instrument changes that the camera steps back for


class Cameraman:
    """World poses of the endoscope for increasing times."""

    def __init__(
        self,
        style: CameraStyle,
        trocar: np.ndarray,
        rng: np.random.Generator,
        pace: float = 1.0,
        obstacle: Field | None = None,
    ):
        self._style, self._trocar, self._rng, self._pace, self._obstacle = style, trocar, rng, pace, obstacle
        self._view: Submovements | None = None  # focus xyz and distance, mm; from the first pose on
        self._sway = BandNoise(rng, 0.7, (0.1, 0.7), 4)
        self._tremor = BandNoise(rng, 0.04, (6.0, 12.0), 4)
        self._roll = BandNoise(rng, 2.2, (0.03, 0.15), 1)  # degrees
        self._level = rng.normal(0, 2.0)  # degrees: nobody holds the horizon exactly
        self._wanted = float(np.clip(style.distance_mm + rng.normal(0, 4), NEAREST_MM, FARTHEST_MM))
        self._next_look = self._next_centring = -np.inf

    def request_distance(self, distance_mm: float) -> None:
        """Somebody asks for a nearer or wider view, until the next deliberate re-centring."""
        self._wanted = float(np.clip(distance_mm, NEAREST_MM, FARTHEST_MM))
        self._next_look = -np.inf

    def notice_change(self) -> None:
        """An instrument goes out or comes in: now and then the camera steps back to see it."""
        if self._rng.random() < WITHDRAWAL_SHARE:
            self.request_distance(self._style.distance_mm + self._rng.uniform(14, 26))

    def world_from_camera(self, time_s: float, interest: np.ndarray, tissue: np.ndarray) -> np.ndarray:
        """The pose [4, 4] at `time_s`; `interest` [3] is what should be seen, `tissue` [V, 3] what to keep clear of."""
        if self._view is None:
            self._view = Submovements([*interest, self._clear_distance(interest, tissue)])
            self._next_look, self._next_centring = time_s, time_s + RECENTRE_S / self._pace
        if time_s >= self._next_look:
            self._look(time_s, interest, tissue)
        x, y, z, distance = self._view(time_s) + self._sway(time_s) + self._tremor(time_s)
        focus = np.array([x, y, z])
        eye = self._eye(focus, float(np.clip(distance, NEAREST_MM, FARTHEST_MM)))
        forward = (focus - eye) / np.linalg.norm(focus - eye)
        roll = Rotation.from_rotvec(np.radians(self._level + self._roll(time_s)[0]) * forward)
        return look_at(eye, focus, roll.apply([0, 0.7, 0.7]))

    def _look(self, time_s: float, interest: np.ndarray, tissue: np.ndarray) -> None:
        """Decide where to look from now on."""
        self._next_look = time_s + REACTION_S / self._pace
        goal, distance = self._view.goal[:3], self._view.goal[3]
        off_centre = interest - goal
        if time_s >= self._next_centring:
            goal = interest
            self._wanted = float(np.clip(self._style.distance_mm + self._rng.normal(0, 7), NEAREST_MM, FARTHEST_MM))
            self._next_centring = time_s + self._rng.uniform(0.5, 1.5) * RECENTRE_S / self._pace
        elif np.linalg.norm(off_centre) > DEAD_ZONE * distance:
            goal = goal + self._rng.uniform(0.55, 0.9) * off_centre
        distance = self._clear_distance(goal, tissue)
        if np.linalg.norm(goal - self._view.goal[:3]) > 0.5 or abs(distance - self._view.goal[3]) > 2.0:
            duration = max(self._rng.uniform(0.9, 1.4) / self._pace, SHORTEST_MOVE_S)
            self._view.move_to([*goal, distance], time_s, duration)
            self._next_look = time_s + 0.5 * duration + REACTION_S / self._pace

    def _clear_distance(self, focus: np.ndarray, tissue: np.ndarray) -> float:
        """The wanted distance, or the first greater one from where nothing is too near."""
        for distance in np.arange(self._wanted, FARTHEST_MM, 4.0):
            eye = self._eye(focus, distance)
            free = np.min(np.linalg.norm(tissue - eye, axis=1)) if len(tissue) else np.inf
            if self._obstacle is not None:
                free = min(free, float(self._obstacle(eye)))
            if free >= CLEARANCE_MM:
                return float(distance)
        return FARTHEST_MM

    def _eye(self, focus: np.ndarray, distance_mm: float) -> np.ndarray:
        """Where the lens is so that the shaft comes from the trocar and meets the line of sight at the oblique angle.

        The triangle trocar, eye, focus has the angle 180 degrees - oblique at the eye (law of sines); it stands
        upright, so that an oblique endoscope looks down on the field.
        """
        shaft = self._trocar - focus
        reach = np.linalg.norm(shaft)
        oblique = np.radians(self._style.oblique_deg)
        rise = oblique - np.arcsin(np.clip(distance_mm * np.sin(oblique) / reach, -1, 1))
        along = shaft / reach
        up = np.array([0, 0, 1.0]) - along[2] * along
        return focus + distance_mm * (np.cos(rise) * along + np.sin(rise) * up / np.linalg.norm(up))
