"""One patient's anatomy, drawn from a seed: courses, sizes and materials about the gallbladder.

Lengths in mm, in the site frame (organ_fields). A patient's left is +x, so the cystic duct runs towards +x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.organ_fields import LiverShape, Lobe
from splatscope.simulate.tissue.body import TissueMaterial

MEDIAL = np.float32([-1, 1, 1])  # the shared fields are written with medial as -x: this turns points to and from them
# length and girth of the sac, as factors of the usual
GALLBLADDERS = {"normal": (1.0, 1.0), "long": (1.22, 0.92), "stout": (0.88, 1.08), "distended": (1.1, 1.16)}
LIGAMENT = np.float32([(-38, 38, -16), (-42, 18, -7), (-44, 4, -9), (-42, -14, -14), (-34, -34, -22)])
LIGAMENT_RADIUS = 8.0
DUCT_RADIUS, ARTERY_RADIUS, BRANCH_RADIUS = 2.0, 1.3, 0.85


@dataclass(frozen=True)
class Variation:
    """What may differ from patient to patient. None: drawn from the seed."""

    amount: float = 1.0  # of all random differences; 0 gives the textbook
    gallbladder: str | None = None  # one of GALLBLADDERS
    artery: str | None = None  # "anterior" or "posterior" of the cystic duct's level
    branches: int | None = None  # of the cystic artery: 1 or 2
    fat_cover: float | None = None  # 0: Calot's triangle nearly bare .. 1: buried in fat

    def __post_init__(self):
        for name, allowed in (("gallbladder", (None, *GALLBLADDERS)), ("branches", (None, 1, 2))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"expected {name} among {allowed}, got {getattr(self, name)!r}")
        if self.artery not in (None, "anterior", "posterior"):
            raise ValueError(f"expected artery 'anterior' or 'posterior', got {self.artery!r}")
        if not 0 <= self.amount <= 1.5 or not 0 <= (self.fat_cover or 0) <= 1:
            raise ValueError(f"expected amount in 0..1.5 and fat_cover in 0..1, got {self.amount}, {self.fat_cover}")


@dataclass(frozen=True)
class Patient:
    """Shapes in the frame of the shared fields (medial is -x), materials, and the strength of connective tissue."""

    gallbladder: str
    sac: np.ndarray  # [4, 3] fundus, body, neck, outlet
    sac_radii: np.ndarray  # [4]
    duct: np.ndarray  # [N, 3] from the sac's outlet into the ligament
    artery_is_anterior: bool
    artery: np.ndarray  # [N, 3] from the ligament to where it branches
    branch_angles: list[tuple[float, float]]  # degrees about the sac's axis at a branch's start and end; 0 anterior
    liver: LiverShape
    fat_cover: float
    materials: dict[str, TissueMaterial]  # by body
    bed_stiffness_n_per_mm: float  # of one bond between gallbladder and liver
    bed_break_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, variation: Variation) -> Patient:
        """A patient. Draws do not depend on what `variation` fixes: fixing one thing leaves the others as they were."""
        amount = variation.amount

        def jitter(value, deviation: float) -> np.ndarray:
            return np.asarray(value, np.float32) + rng.normal(0, deviation * amount, np.shape(value)).astype(np.float32)

        def between(low: float, high: float) -> float:
            return (low + high) / 2 + amount * (rng.random() - 0.5) * (high - low)

        kind = str(rng.choice(list(GALLBLADDERS), p=[0.4, 0.2, 0.2, 0.2])) if amount else "normal"
        kind = variation.gallbladder or kind
        length, girth = GALLBLADDERS[kind]
        neck = jitter((-10, 10, 6), 1.5)
        body = neck + length * jitter((13, -19, -3), 1.5)
        fundus = body + length * jitter((6, -16, -7), 1.5)
        sac = np.stack([fundus, body, neck, neck + np.float32([-6, 5, -1])])
        radii = np.array([12.5, 12.5, 6.5, 2.9]) * girth * between(0.95, 1.05)

        end = np.float32([-42, 15, -6])
        course = [sac[3] + 0.0, *(sac[3] + (end - sac[3]) * share for share in (0.22, 0.42, 0.7)), end]
        bends = np.array([0.0, -1.0, 1.6, -0.8, 0.0])[:, None] * np.float32([0, 1, 0.6]) * between(0.7, 1.4)
        duct = sdf.curve(np.float32([jitter(point, 0.7) for point in course] + bends), 4)

        anterior = rng.random() < 0.65
        anterior = variation.artery == "anterior" if variation.artery else bool(anterior)
        level = 3.0 if anterior else -2.5
        rise = between(7, 10)
        stem = [
            end + np.float32([0, rise, 0]),
            sac[3] + (end - sac[3]) * 0.65 + np.float32([0, rise + 1, level]),
            sac[3] + (end - sac[3]) * 0.3 + np.float32([0, rise, level]),
            neck + np.float32([-4, 9, 0.5 * level + 1]),
        ]
        artery = sdf.curve(np.float32([jitter(point, 0.7) for point in stem]), 5)
        artery[:, 1] += between(0.9, 1.6) * np.sin(np.linspace(0, 3 * np.pi, len(artery)))  # slack to be stretched
        second = rng.random() < 0.4
        branches = variation.branches or (2 if second else 1)
        angles = [(between(20, 40), between(-30, 0)), (between(45, 60), between(55, 75))][:branches]

        liver = LiverShape(
            Lobe(tuple(jitter((38, 67, -26), 2.5)), tuple(np.array([92, 78, 44]) * jitter(np.ones(3), 0.04))),
            Lobe(tuple(jitter((-62, 70, -26), 4)), tuple(np.array([70, 56, 32]) * jitter(np.ones(3), 0.05))),
            between(1.0, 2.0),
        )
        cover = between(0.25, 0.95)
        return cls(
            kind,
            sac,
            radii,
            duct,
            anterior,
            artery,
            angles,
            liver,
            cover if variation.fat_cover is None else variation.fat_cover,
            _materials(between),
            between(0.04, 0.08),
            between(2.5, 4.0),
        )


def _materials(between) -> dict[str, TissueMaterial]:
    """Young's moduli at small strain, kPa.

    Liver parenchyma 3..8 at quasi-static loading, where a bond pulls at one vertex
    stronger than the 30..60 of specimens (Umale et al. 2013; Kemper et al. 2010). Adipose
    tissue 1..4 (Alkhouli et al. 2013). Gallbladder, duct and artery are walls of some hundred kPa about bile or blood,
    but solids here: the sac's modulus is that of wall and content together, and the artery is held soft enough for
    tetrahedra of a millimetre. They tear as their walls do, at about a MPa.
    """
    return {
        "liver": TissueMaterial(between(3, 8), strength_kpa=between(60, 120)),
        "gallbladder": TissueMaterial(between(8, 18), strength_kpa=between(800, 1400)),
        "cystic artery": TissueMaterial(between(8, 15), strength_kpa=between(800, 1400)),
        "calot fat": TissueMaterial(between(1.5, 4), density=0.95e-3, strength_kpa=between(15, 30)),
    }
