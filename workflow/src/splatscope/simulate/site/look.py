"""Colour and ambient occlusion of surfaces at rest: what a small texture tile and a light at the camera cannot give."""

from __future__ import annotations

import numpy as np

from splatscope.meshes import distance_fields as sdf
from splatscope.meshes import organ_fields
from splatscope.meshes.distance_fields import Field
from splatscope.meshes.mesh import Mesh
from splatscope.meshes.noise import VolumeNoise
from splatscope.meshes.organ_fields import ARTERY, CONNECTIVE, DUCT, FAT, GALLBLADDER, GUT, LIVER
from splatscope.meshes.tet_quality import field_gradient
from splatscope.simulate.site.backdrop import Backdrop
from splatscope.simulate.site.organs import Organs, SampledOrgans

MOVING_SHARE = 0.5  # of the shade that organs which may move away cast: what they uncover must not stay black


class Look:
    """Tint of the site's surfaces."""

    def __init__(self, organs: Organs, moving: SampledOrgans, backdrop: Backdrop, noise: VolumeNoise):
        self._moving, self._backdrop, self._noise = moving, backdrop, noise
        self._neck, self._fundus = organs.sac_path[2], organs.sac_path[0]
        self._own = {
            LIVER: organs.liver,
            GALLBLADDER: organs.gallbladder,
            DUCT: organs.gallbladder,
            ARTERY: organs.artery,
            FAT: organs.calot,
            CONNECTIVE: organs.calot,
        }

    def tissue(self, points: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Colour factor and occlusion float32 [N, 4] at rest positions [N, 3] of bodies, with their classes [N]."""
        tint = np.ones((len(points), 4), np.float32)
        for class_id, own in self._own.items():
            here = np.flatnonzero(classes == class_id)
            if len(here):
                some = points[here].astype(np.float32)
                normals = field_gradient(own, some, 0.3)
                normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
                tint[here] = self._tint(Mesh(some, np.zeros((0, 3)), normals), class_id, own)
        return tint

    def backdrop(self, mesh: Mesh, class_id: int) -> np.ndarray:
        """The same for a surface of the backdrop."""
        return self._tint(mesh, class_id, self._backdrop.distance)

    def _tint(self, mesh: Mesh, class_id: int, own: Field) -> np.ndarray:
        factor = organ_fields.broad_tint(mesh.vertices, class_id in (FAT, CONNECTIVE, GUT), self._noise)
        if class_id in (GALLBLADDER, DUCT):
            axis = self._fundus - self._neck
            factor *= organ_fields.gallbladder_tint(np.clip((mesh.vertices - self._neck) @ axis / (axis @ axis), 0, 1))
        alone = sdf.ambient_occlusion([own, self._backdrop.distance], mesh)
        beset = sdf.ambient_occlusion([own, self._backdrop.distance, self._moving.distance], mesh)
        occlusion = alone + MOVING_SHARE * (beset - alone)
        return np.concatenate([np.clip(factor, 0.4, 1.6), occlusion[:, None]], 1).astype(np.float32)
