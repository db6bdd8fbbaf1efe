"""Optical flow: the surface point seen at a pixel, found again in another view.

Runs on the CPU and on CUDA alike; `wide_labels` has the CPU's fast path.
"""

import warp as wp

from splatscope.meshes.lens_kernels import Distortion, distort
from splatscope.meshes.raster_kernels import depth_of, triangle_of

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

DEPTH_TOLERANCE = wp.constant(0.01)  # share of the depth within which two surface points count as one
DEPTH_TOLERANCE_MM = wp.constant(0.3)


@wp.kernel
def find_again(
    source_keys: wp.array(dtype=wp.int64),
    source_weights: wp.array(dtype=wp.vec3),
    target_keys: wp.array(dtype=wp.int64),
    target_vertices: wp.array(dtype=wp.vec3),  # camera axes
    target_corners: wp.array2d(dtype=wp.int32),  # of the source's faces, among the target's vertices
    field: wp.vec4,  # bounds of what the lens sees, undistorted, at depth 1
    intrinsics: wp.vec4,
    distortion: Distortion,
    width: int,
    flow: wp.array2d(dtype=wp.vec3),  # x, y in pixels; 1 seen in both, 2 hidden in the target or outside its image
):
    row, column = wp.tid()
    pixel = row * width + column
    key = source_keys[pixel]
    if key < wp.int64(0):
        flow[row, column] = wp.vec3(0.0, 0.0, 0.0)
        return
    triangle = triangle_of(key)
    weights = source_weights[pixel]
    point = (
        target_vertices[target_corners[triangle, 0]] * weights[0]
        + target_vertices[target_corners[triangle, 1]] * weights[1]
        + target_vertices[target_corners[triangle, 2]] * weights[2]
    )
    flow[row, column] = wp.vec3(0.0, 0.0, 2.0)
    if point[2] < 1.0:  # behind the camera: there is no such pixel
        return
    ahead = wp.vec2(point[0] / point[2], point[1] / point[2])
    if ahead[0] < field[0] or ahead[1] < field[1] or ahead[0] > field[2] or ahead[1] > field[3]:
        return  # where the lens does not look
    bent = distort(ahead, distortion)
    x = bent[0] * intrinsics[0] + intrinsics[2]
    y = bent[1] * intrinsics[1] + intrinsics[3]
    found = wp.float32(2.0)
    if x >= 0.0 and y >= 0.0 and x < float(width) and y < float(flow.shape[0]):
        seen = target_keys[int(y) * width + int(x)]
        if seen >= wp.int64(0) and point[2] < depth_of(seen) * (1.0 + DEPTH_TOLERANCE) + DEPTH_TOLERANCE_MM:
            found = 1.0
    flow[row, column] = wp.vec3(x - float(column) - 0.5, y - float(row) - 0.5, found)
