"""What a tissue simulation is made of: organs, their materials, and the connective tissue between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from splatscope.meshes.tetrahedra import TetMesh


@dataclass(frozen=True)
class TissueMaterial:
    """Elastic tissue. Raises ValueError outside the ranges that the solver handles."""

    young_kpa: float
    poisson: float = 0.48  # of what is solid: see TissueSettings.tube_poisson
    density: float = 1.05e-3  # g/mm^3
    strength_kpa: float = float("inf")  # greatest tensile (Cauchy) stress before it tears

    def __post_init__(self):
        for name, low, high in (("young_kpa", 0.1, 1e4), ("poisson", 0.0, 0.495), ("density", 1e-5, 1e-1)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"expected {name} in {low}..{high}, got {getattr(self, name)}")
        if not self.strength_kpa > 0:
            raise ValueError(f"expected a strength above 0 kPa, got {self.strength_kpa}")


@dataclass
class Body:
    """One connected organ in its unloaded shape."""

    name: str
    mesh: TetMesh
    material: TissueMaterial
    classes: np.ndarray  # uint8 [T] class id of each tetrahedron (resources/classes.tsv)
    fixed: np.ndarray  # bool [V] vertices that never move: attachments to the body wall

    def __post_init__(self):
        self.classes, self.fixed = np.asarray(self.classes, np.uint8), np.asarray(self.fixed, bool)
        for name, count in (("classes", len(self.mesh.tets)), ("fixed", len(self.mesh.vertices))):
            if getattr(self, name).shape != (count,):
                raise ValueError(f"{self.name}: expected {name} [{count}], got {list(getattr(self, name).shape)}")


@dataclass
class Bonds:
    """Strands of connective tissue between vertices of bodies. They resist tension only, and fail for good."""

    first_body: np.ndarray  # int32 [N] index into the list of bodies
    first_vertex: np.ndarray  # int32 [N] vertex of that body
    second_body: np.ndarray
    second_vertex: np.ndarray
    rest_mm: np.ndarray  # float32 [N] length up to which they are slack
    stiffness_n_per_mm: np.ndarray  # float32 [N]
    break_mm: np.ndarray  # float32 [N] stretch beyond the rest length at which they fail

    def __post_init__(self):
        count = len(self.first_body)
        for name in ("first_body", "first_vertex", "second_body", "second_vertex"):
            setattr(self, name, np.asarray(getattr(self, name), np.int32))
        for name in ("rest_mm", "stiffness_n_per_mm", "break_mm"):
            setattr(self, name, np.asarray(getattr(self, name), np.float32))
        for name, value in vars(self).items():
            if value.shape != (count,):
                raise ValueError(f"expected {name} [{count}] as first_body, got {list(value.shape)}")
        if count and (self.stiffness_n_per_mm.min() <= 0 or self.rest_mm.min() < 0 or self.break_mm.min() <= 0):
            raise ValueError("expected bonds of positive stiffness and breaking stretch and of no negative rest length")

    @classmethod
    def none(cls) -> Bonds:
        return cls(*[np.zeros(0)] * 7)

    def __len__(self) -> int:
        return len(self.first_body)
