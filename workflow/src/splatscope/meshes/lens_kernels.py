"""Vertices before a camera, and where its lens puts them. Runs on the CPU and on CUDA alike."""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

ELSEWHERE = wp.constant(1.0e9)
Distortion = wp.types.vector(length=8, dtype=wp.float32)  # k1, k2, p1, p2, k3, k4, k5, k6 of Brown and Conrady
# what a vertex says to shading: its normal before the camera; texture coordinates; normal at rest; tint and openness;
# burn and blood; one number of no meaning, which makes it as long as a line of the processor's cache
Record = wp.types.vector(length=16, dtype=wp.float32)


@wp.func
def distort(point: wp.vec2, k: Distortion) -> wp.vec2:
    """Where the lens puts a point of the image plane at depth 1."""
    x = point[0]
    y = point[1]
    r = x * x + y * y
    radial = (1.0 + r * (k[0] + r * (k[1] + r * k[4]))) / (1.0 + r * (k[5] + r * (k[6] + r * k[7])))
    return wp.vec2(
        x * radial + 2.0 * k[2] * x * y + k[3] * (r + 2.0 * x * x),
        y * radial + k[2] * (r + 2.0 * y * y) + 2.0 * k[3] * x * y,
    )


@wp.func
def extend(bounds: wp.vec4, x: float, y: float) -> wp.vec4:
    return wp.vec4(wp.min(bounds[0], x), wp.min(bounds[1], y), wp.max(bounds[2], x), wp.max(bounds[3], y))


@wp.func
def distort_bounds(bounds: wp.vec4, k: Distortion) -> wp.vec4:
    """A box that holds the distorted box: of its corners and the middles of its sides, with an allowance for bends."""
    bent = wp.vec4(1.0e9, 1.0e9, -1.0e9, -1.0e9)
    for index in range(8):
        at = index + index / 4  # 0, 1, 2, 3, 5, 6, 7, 8: not the middle of nine
        point = distort(
            wp.vec2(
                bounds[0] + (bounds[2] - bounds[0]) * 0.5 * float(at % 3),
                bounds[1] + (bounds[3] - bounds[1]) * 0.5 * float(at / 3),
            ),
            k,
        )
        bent = extend(bent, point[0], point[1])
    margin = 0.08 * wp.max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    return wp.vec4(bent[0] - margin, bent[1] - margin, bent[2] + margin, bent[3] + margin)


@wp.kernel
def transform_vertices(
    vertices: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    condition: wp.array(dtype=wp.vec2),
    vertex_object: wp.array(dtype=wp.int32),
    camera_from_object: wp.array(dtype=wp.mat44),
    camera_vertices: wp.array(dtype=wp.vec3),
    records: wp.array(dtype=Record),
):
    """Vertices before the camera; what changes from picture to picture in their records."""
    index = wp.tid()
    pose = camera_from_object[vertex_object[index]]
    camera_vertices[index] = wp.transform_point(pose, vertices[index])
    normal = wp.transform_vector(pose, normals[index])
    for axis in range(3):
        records[index][axis] = normal[axis]
    records[index][13] = condition[index][0]
    records[index][14] = condition[index][1]


@wp.kernel
def project_vertices(
    camera_vertices: wp.array(dtype=wp.vec3),
    field: wp.vec4,
    intrinsics: wp.vec4,
    distortion: Distortion,
    near: float,
    vertex_pixels: wp.array(dtype=wp.vec2),
):
    """Where the lens puts each vertex in the picture; ELSEWHERE if that cannot be said or is outside the field."""
    index = wp.tid()
    point = camera_vertices[index]
    vertex_pixels[index] = wp.vec2(ELSEWHERE, ELSEWHERE)
    if point[2] >= near:
        ahead = wp.vec2(point[0] / point[2], point[1] / point[2])
        if ahead[0] >= field[0] and ahead[1] >= field[1] and ahead[0] <= field[2] and ahead[1] <= field[3]:
            bent = distort(ahead, distortion)
            vertex_pixels[index] = wp.vec2(
                bent[0] * intrinsics[0] + intrinsics[2], bent[1] * intrinsics[1] + intrinsics[3]
            )
