"""The tissue as the renderer takes it: one surface of all organs that deforms, burns, bleeds and comes apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from splatscope.meshes.mesh import Mesh, vertex_normals
from splatscope.meshes.scene import Look, Surface
from splatscope.simulate.tissue.tissue import Tissue

# class id: material outside, material of the inside that a cut shows
MATERIALS = {
    2: ("liver", "parenchyma"),
    4: ("fat", "fat"),
    6: ("connective", "connective"),
    8: ("duct", "mucosa"),
    10: ("gallbladder", "mucosa"),
    13: ("artery", "lumen"),
}


class TissueSurface:
    """Follows a Tissue."""

    def __init__(self, tissue: Tissue, tint: Callable[[np.ndarray, np.ndarray], np.ndarray], blood: Callable):
        """`tint`(points [V, 3], classes [V]) -> [V, 4] colour factor and openness; `blood`() -> [V] in 0..1."""
        self._tissue, self._blood = tissue, blood
        self._version = -1
        self._tint = _tint_before_cuts(tissue, tint)
        self._looks = [Look(name, class_id) for class_id, pair in MATERIALS.items() for name in pair]
        self._first_look = np.full(256, -1)
        self._first_look[list(MATERIALS)] = np.arange(len(MATERIALS)) * 2

    @property
    def changed(self) -> bool:
        """Whether faces came or went since the surface was last made."""
        return self._version != self._tissue.topology_version

    def surface(self) -> Surface:
        """The surface as it is now."""
        tissue = self._tissue
        self._version, self._cut = tissue.topology_version, tissue.surface()
        self._tets = tissue.tets.copy()
        rest = tissue.rest
        faces = self._cut.faces
        vertices, normals, condition = self.now()
        classes = tissue.tet_class[self._cut.tet]
        return Surface(
            Mesh(vertices, faces, normals, self._tint[tissue.origin], rest),
            self._looks,
            self._first_look[classes] + self._cut.inner,
            condition,
            vertex_normals(rest, faces),
        )

    def now(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vertices [V, 3], normals [V, 3], condition [V, 2] of the faces that `surface` last gave."""
        vertices = self._tissue.positions
        condition = np.stack([self._tissue.burn, self._blood()], -1).astype(np.float32)
        return vertices, vertex_normals(vertices, self._cut.faces), condition

    def topology(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Faces [F, 3]; tetrahedron and its three corners of each face [F, 4]; tetrahedra [T, 4]: as last made."""
        return self._cut.faces, np.column_stack([self._cut.tet, self._cut.corner]), self._tets


def _tint_before_cuts(tissue: Tissue, tint: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """float32 [V, 4] of the vertices that were there at first; copies that cuts make of them have the same."""
    count = tissue.body_starts[-1]
    classes = np.zeros(count, np.uint8)
    classes[tissue.origin[tissue.tets].ravel()] = np.repeat(tissue.tet_class, 4)
    return tint(tissue.rest[:count], classes)
