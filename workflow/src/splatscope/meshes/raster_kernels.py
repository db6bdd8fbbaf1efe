"""Visibility: which triangle is seen at each pixel. Runs on the CPU and on CUDA alike.

Triangles are rasterised in homogeneous coordinates (Olano and Greer 1997): for the ray direction d of a pixel and
corners a, b, c in camera axes, d.(b x c), d.(c x a), d.(a x b) over det(a, b, c) are the barycentric coordinates
divided by depth. Nothing is divided by the depth of a corner, so triangles that cross the near plane need no clipping:
pixels whose depth lies before it are dropped.
"""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.func
def reciprocal_depths(a: wp.vec3, b: wp.vec3, c: wp.vec3) -> wp.mat33:
    """Rows: the linear forms of the ray direction that give each corner's barycentric coordinate over depth."""
    area_a = wp.cross(b, c)
    area_b = wp.cross(c, a)
    area_c = wp.cross(a, b)
    scale = 1.0 / wp.dot(a, area_a)
    return wp.matrix_from_rows(area_a * scale, area_b * scale, area_c * scale)


@wp.kernel
def transform_vertices(
    vertices: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    vertex_object: wp.array(dtype=wp.int32),
    camera_from_object: wp.array(dtype=wp.mat44),
    camera_vertices: wp.array(dtype=wp.vec3),
    camera_normals: wp.array(dtype=wp.vec3),
):
    index = wp.tid()
    pose = camera_from_object[vertex_object[index]]
    camera_vertices[index] = wp.transform_point(pose, vertices[index])
    camera_normals[index] = wp.transform_vector(pose, normals[index])


@wp.func
def extend(bounds: wp.vec4, x: float, y: float) -> wp.vec4:
    return wp.vec4(wp.min(bounds[0], x), wp.min(bounds[1], y), wp.max(bounds[2], x), wp.max(bounds[3], y))


@wp.func
def extend_edge(bounds: wp.vec4, a: wp.vec3, b: wp.vec3, near: float) -> wp.vec4:
    """Bounds that also hold the visible end points of the edge a-b, in units of the image plane at depth 1."""
    if a[2] >= near:
        bounds = extend(bounds, a[0] / a[2], a[1] / a[2])
    if (a[2] >= near) != (b[2] >= near):
        share = (near - a[2]) / (b[2] - a[2])
        bounds = extend(bounds, (a[0] + share * (b[0] - a[0])) / near, (a[1] + share * (b[1] - a[1])) / near)
    return bounds


@wp.kernel
def rasterize(
    groups: wp.array2d(dtype=wp.int32),  # first face, number of faces
    camera_vertices: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    face_part: wp.array(dtype=wp.int32),
    part_instance: wp.array(dtype=wp.int32),
    intrinsics: wp.vec4,  # fx, fy, cx, cy
    width: int,
    height: int,
    near: float,
    keys: wp.array(dtype=wp.int64),
    amodal: wp.array(dtype=wp.int32),
):
    """Keep the largest (reciprocal depth, triangle) per pixel; note every instance that covers it."""
    group, member = wp.tid()
    if member >= groups[group, 1]:
        return
    triangle = groups[group, 0] + member
    a = camera_vertices[faces[triangle, 0]]
    b = camera_vertices[faces[triangle, 1]]
    c = camera_vertices[faces[triangle, 2]]
    if wp.max(a[2], wp.max(b[2], c[2])) < near:
        return
    if wp.dot(a, wp.cross(b - a, c - a)) > -1.0e-12:  # seen from behind, or edge-on
        return
    bounds = wp.vec4(1.0e9, 1.0e9, -1.0e9, -1.0e9)
    if wp.min(a[2], wp.min(b[2], c[2])) >= near:
        scale_a = 1.0 / a[2]
        scale_b = 1.0 / b[2]
        scale_c = 1.0 / c[2]
        bounds = wp.vec4(
            wp.min(a[0] * scale_a, wp.min(b[0] * scale_b, c[0] * scale_c)),
            wp.min(a[1] * scale_a, wp.min(b[1] * scale_b, c[1] * scale_c)),
            wp.max(a[0] * scale_a, wp.max(b[0] * scale_b, c[0] * scale_c)),
            wp.max(a[1] * scale_a, wp.max(b[1] * scale_b, c[1] * scale_c)),
        )
    else:
        bounds = extend_edge(bounds, a, b, near)
        bounds = extend_edge(bounds, b, c, near)
        bounds = extend_edge(bounds, c, a, near)
    first_x = int(wp.ceil(wp.clamp(bounds[0] * intrinsics[0] + intrinsics[2] - 0.502, 0.0, float(width))))
    first_y = int(wp.ceil(wp.clamp(bounds[1] * intrinsics[1] + intrinsics[3] - 0.502, 0.0, float(height))))
    last_x = int(wp.floor(wp.clamp(bounds[2] * intrinsics[0] + intrinsics[2] - 0.498, -1.0, float(width - 1))))
    last_y = int(wp.floor(wp.clamp(bounds[3] * intrinsics[1] + intrinsics[3] - 0.498, -1.0, float(height - 1))))
    if first_x > last_x or first_y > last_y:
        return
    forms = reciprocal_depths(a, b, c)
    instance = part_instance[face_part[triangle]]
    bit = 0
    if instance > 0:
        bit = 1 << (instance - 1)
    step = wp.vec3(forms[0, 0], forms[1, 0], forms[2, 0]) / intrinsics[0]
    nearest = 1.0 / near
    for y in range(first_y, last_y + 1):
        row = forms * wp.vec3(
            (0.5 - intrinsics[2]) / intrinsics[0], (float(y) + 0.5 - intrinsics[3]) / intrinsics[1], 1.0
        )
        for x in range(first_x, last_x + 1):
            weights = row + step * float(x)
            if weights[0] >= 0.0 and weights[1] >= 0.0 and weights[2] >= 0.0:
                reciprocal = weights[0] + weights[1] + weights[2]
                if reciprocal > 0.0 and reciprocal <= nearest:
                    # positive floats order like their bits
                    key = (wp.int64(wp.cast(reciprocal, wp.int32)) << wp.int64(32)) | wp.int64(triangle)
                    wp.atomic_max(keys, y * width + x, key)
                    if bit > 0:
                        wp.atomic_or(amodal, y * width + x, bit)


@wp.func
def triangle_of(key: wp.int64) -> int:
    return int(key & wp.int64(0x7FFFFFFF))


@wp.kernel
def resolve_labels(
    keys: wp.array(dtype=wp.int64),
    camera_vertices: wp.array(dtype=wp.vec3),
    camera_normals: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    face_part: wp.array(dtype=wp.int32),
    part_class: wp.array(dtype=wp.int32),
    part_instance: wp.array(dtype=wp.int32),
    intrinsics: wp.vec4,
    width: int,
    with_normals: int,
    class_map: wp.array(dtype=wp.uint8),
    instance_map: wp.array(dtype=wp.uint8),
    depth: wp.array(dtype=float),
    normals: wp.array(dtype=wp.vec3),
):
    pixel = wp.tid()
    key = keys[pixel]
    if key < wp.int64(0):
        class_map[pixel] = wp.uint8(0)
        instance_map[pixel] = wp.uint8(0)
        depth[pixel] = 0.0
        if with_normals > 0:
            normals[pixel] = wp.vec3(0.0, 0.0, 0.0)
        return
    triangle = triangle_of(key)
    part = face_part[triangle]
    class_map[pixel] = wp.uint8(part_class[part])
    instance_map[pixel] = wp.uint8(part_instance[part])
    depth[pixel] = 1.0 / wp.cast(int(key >> wp.int64(32)), wp.float32)
    if with_normals > 0:
        first, second, third = faces[triangle, 0], faces[triangle, 1], faces[triangle, 2]
        forms = reciprocal_depths(camera_vertices[first], camera_vertices[second], camera_vertices[third])
        ray = wp.vec3(
            (float(pixel % width) + 0.5 - intrinsics[2]) / intrinsics[0],
            (float(pixel // width) + 0.5 - intrinsics[3]) / intrinsics[1],
            1.0,
        )
        weights = forms * ray
        normals[pixel] = wp.normalize(
            camera_normals[first] * weights[0]
            + camera_normals[second] * weights[1]
            + camera_normals[third] * weights[2]
        )
