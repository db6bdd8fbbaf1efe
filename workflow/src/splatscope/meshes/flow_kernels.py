"""Optical flow: the surface point seen at a pixel, found again in another view. Runs on the CPU and on CUDA alike."""

import warp as wp

from splatscope.meshes.raster_kernels import Distortion, corner_weights, distort, triangle_of

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

DEPTH_TOLERANCE = wp.constant(0.01)  # share of the depth within which two surface points count as one
DEPTH_TOLERANCE_MM = wp.constant(0.3)


@wp.kernel
def find_again(
    source_keys: wp.array(dtype=wp.int64),
    source_vertices: wp.array(dtype=wp.vec3),  # camera axes
    source_faces: wp.array2d(dtype=wp.int32),
    target_keys: wp.array(dtype=wp.int64),
    target_vertices: wp.array(dtype=wp.vec3),
    target_corners: wp.array2d(dtype=wp.int32),  # of the source's faces, among the target's vertices
    rays: wp.array(dtype=wp.vec2),
    field: wp.vec4,  # bounds of what the lens sees, undistorted, at depth 1
    intrinsics: wp.vec4,
    distortion: Distortion,
    width: int,
    height: int,
    displacement: wp.array(dtype=wp.vec2),
    found: wp.array(dtype=wp.uint8),
):
    pixel = wp.tid()
    displacement[pixel] = wp.vec2(0.0, 0.0)
    found[pixel] = wp.uint8(0)
    key = source_keys[pixel]
    if key < wp.int64(0):
        return
    triangle = triangle_of(key)
    weights = corner_weights(triangle, rays[pixel], source_vertices, source_faces)
    point = (
        target_vertices[target_corners[triangle, 0]] * weights[0]
        + target_vertices[target_corners[triangle, 1]] * weights[1]
        + target_vertices[target_corners[triangle, 2]] * weights[2]
    )
    found[pixel] = wp.uint8(2)
    if point[2] < 1.0:  # behind the camera: there is no such pixel
        return
    ahead = wp.vec2(point[0] / point[2], point[1] / point[2])
    if ahead[0] < field[0] or ahead[1] < field[1] or ahead[0] > field[2] or ahead[1] > field[3]:
        return  # where the lens does not look
    bent = distort(ahead, distortion)
    x = bent[0] * intrinsics[0] + intrinsics[2]
    y = bent[1] * intrinsics[1] + intrinsics[3]
    displacement[pixel] = wp.vec2(x - float(pixel % width) - 0.5, y - float(pixel // width) - 0.5)
    if x < 0.0 or y < 0.0 or x >= float(width) or y >= float(height):
        return
    column = wp.clamp(int(x), 0, width - 1)
    row = wp.clamp(int(y), 0, height - 1)
    seen = target_keys[row * width + column]
    if seen < wp.int64(0):
        return
    depth = 1.0 / wp.cast(int(seen >> wp.int64(32)), wp.float32)
    if point[2] < depth * (1.0 + DEPTH_TOLERANCE) + DEPTH_TOLERANCE_MM:
        found[pixel] = wp.uint8(1)
