"""Where instruments and endoscope enter the abdomen: the usual four-trocar set-up about the site of a cholecystectomy.

Anatomical directions at the site: medial (x, its sign from where the cystic duct runs), cranial (+y), anterior (+z).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splatscope.meshes.distance_fields import Field

# (medial, cranial, anterior) mm from the gallbladder; the angle counts, the distance is the wall's
STANDARD = {
    "camera": (25, -140, 92),  # umbilicus
    "right": (62, 50, 118),  # epigastrium, the working port
    "left": (-62, -62, 118),  # right midclavicular line, below the ribs
    "assistant": (-132, -28, 74),  # right anterior axillary line
}
SPREAD_MM = 9.0  # standard deviation per axis of where a surgeon makes the incision
DEPTHS_MM = (110.0, 185.0)  # nearest and farthest wall along a port's direction


@dataclass(frozen=True)
class Ports:
    """Trocar points [3] in the site frame by hand, and "camera"; the direction that is medial."""

    trocars: dict[str, np.ndarray]
    medial: float  # +1 or -1: sign of x

    def vector(self, medial_cranial_anterior: tuple[float, float, float]) -> np.ndarray:
        """Site-frame vector [3] of one in anatomical directions."""
        return np.asarray(medial_cranial_anterior, np.float64) * [self.medial, 1, 1]


def place_ports(
    rng: np.random.Generator, gallbladder: np.ndarray, duct: np.ndarray, obstacle: Field | None = None
) -> Ports:
    """Ports for a site with gallbladder and cystic duct at these points [3]; `obstacle` is negative in the wall."""
    medial = 1.0 if duct[0] >= gallbladder[0] else -1.0
    trocars = {}
    for name, standard in STANDARD.items():
        offset = np.asarray(standard) + rng.normal(0, SPREAD_MM, 3)
        direction = offset * [medial, 1, 1] / np.linalg.norm(offset)
        distance = float(np.linalg.norm(offset))
        trocars[name] = gallbladder + _wall_distance(gallbladder, direction, distance, obstacle) * direction
    return Ports(trocars, medial)


def _wall_distance(origin: np.ndarray, direction: np.ndarray, usual_mm: float, obstacle: Field | None) -> float:
    """How far along the ray the wall is; the usual distance where the field does not say."""
    nearest, farthest = DEPTHS_MM
    if obstacle is not None:
        along = np.arange(nearest, farthest, 1.0)
        inside = np.flatnonzero(obstacle(origin + along[:, None] * direction) < 0)
        if len(inside):
            return float(along[inside[0]])
    return float(np.clip(usual_mm, nearest, farthest))
