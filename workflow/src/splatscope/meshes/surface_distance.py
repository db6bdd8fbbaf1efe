"""Signed distance to a triangle mesh, closed or not: nearest point, inside by the generalised winding number.

Jacobson et al., "Robust Inside-Outside Segmentation Using Generalized Winding Numbers", SIGGRAPH 2013: holes, seams and
overlapping parts blur the border between inside and outside locally and do no harm elsewhere.
"""

from __future__ import annotations

import numpy as np
import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False})


@wp.kernel
def signed_distances(
    surface: wp.uint64, reach: float, points: wp.array(dtype=wp.vec3), distances: wp.array(dtype=float)
):
    index = wp.tid()
    point = points[index]
    query = wp.mesh_query_point_sign_winding_number(surface, point, reach)
    nearest = wp.mesh_eval_position(surface, query.face, query.u, query.v)
    distances[index] = query.sign * wp.length(point - nearest)


class SurfaceDistance:
    """A distance field of vertices [V, 3] mm and faces [F, 3], counter-clockwise from outside."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        self._middle = (vertices.min(0) + vertices.max(0)) / 2  # float32 is finest near the origin
        self._size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
        self._mesh = wp.Mesh(
            points=wp.array((vertices - self._middle).astype(np.float32), dtype=wp.vec3, device="cpu"),
            indices=wp.array(faces.astype(np.int32).ravel(), dtype=wp.int32, device="cpu"),
            support_winding_number=True,
        )

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """float32 [...] mm at points [..., 3]; negative inside."""
        centred = (np.asarray(points, np.float64) - self._middle).astype(np.float32).reshape(-1, 3)
        reach = self._size + 2 * float(np.abs(centred).max(initial=0))
        distances = wp.empty(len(centred), dtype=float, device="cpu")
        wp.launch(
            signed_distances,
            dim=len(centred),
            inputs=[self._mesh.id, reach, wp.array(centred, dtype=wp.vec3, device="cpu")],
            outputs=[distances],
            device="cpu",
        )
        return distances.numpy().reshape(np.shape(points)[:-1])
