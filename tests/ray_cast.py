"""An independent ray cast by Warp's bounding volume hierarchy, to hold the renderer's labels against."""

import numpy as np
import warp as wp


def nearest_hits(vertices: np.ndarray, faces: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First face met from the origin, seen from outside, along each direction (-1: none), and its depth."""
    shape = wp.Mesh(wp.array(vertices, dtype=wp.vec3), wp.array(np.ravel(faces), dtype=wp.int32))
    found, depth = wp.zeros(len(directions), dtype=wp.int32), wp.zeros(len(directions), dtype=float)
    wp.launch(cast, dim=len(directions), inputs=[shape.id, wp.array(directions, dtype=wp.vec3), found, depth])
    return found.numpy(), depth.numpy()


@wp.kernel
def cast(
    mesh: wp.uint64, directions: wp.array(dtype=wp.vec3), faces: wp.array(dtype=wp.int32), depth: wp.array(dtype=float)
):
    index = wp.tid()
    direction = wp.normalize(directions[index])
    start = wp.vec3(0.0, 0.0, 0.0)
    faces[index] = -1
    for _ in range(32):  # faces seen from behind do not count
        hit = wp.mesh_query_ray(mesh, start, direction, 1.0e6)
        if not hit.result:
            return
        start = start + direction * hit.t
        if hit.sign > 0.0:
            faces[index] = hit.face
            depth[index] = start[2]
            return
        start = start + direction * 1.0e-3
