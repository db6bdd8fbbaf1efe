"""Visibility: which triangle is seen at each pixel. Runs on the CPU and on CUDA alike.

Triangles are rasterised in homogeneous coordinates (Olano and Greer 1997): for the ray direction d of a pixel and
corners a, b, c in camera axes, d.(b x c), d.(c x a), d.(a x b) are in proportion to the barycentric coordinates of the
point that the ray meets, and with the normal n of the triangle d.n over a.n is the reciprocal of its depth. Nothing is
divided by the depth of a corner, so triangles that cross the near plane need no clipping: pixels whose depth lies
before it are dropped. Every pixel has a ray of its own, so a lens may bend them.
"""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

Distortion = wp.types.vector(length=8, dtype=wp.float32)  # k1, k2, p1, p2, k3, k4, k5, k6 of Brown and Conrady


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


@wp.func
def edge_form(a: wp.vec3, b: wp.vec3) -> wp.vec3:
    """a x b, without the cancellation that a short edge far away brings, and exactly -(b x a) the other way round."""
    if a[0] < b[0] or (a[0] == b[0] and (a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]))):
        return wp.cross(a, b - a)
    return -wp.cross(b, a - b)


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
    rays: wp.array(dtype=wp.vec2),  # of the pixels, undistorted, at depth 1
    field: wp.vec4,  # bounds of the rays
    intrinsics: wp.vec4,  # fx, fy, cx, cy
    distortion: Distortion,
    distorted: int,
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
    normal = wp.cross(b - a, c - a)
    if wp.dot(a, normal) > -1.0e-12:  # seen from behind, or edge-on
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
    if bounds[0] > field[2] or bounds[1] > field[3] or bounds[2] < field[0] or bounds[3] < field[1]:
        return
    if distorted > 0:  # beyond the field the polynomial may fold back into the picture
        bounds = wp.vec4(
            wp.max(bounds[0], field[0]),
            wp.max(bounds[1], field[1]),
            wp.min(bounds[2], field[2]),
            wp.min(bounds[3], field[3]),
        )
        bounds = distort_bounds(bounds, distortion)
    first_x = int(wp.ceil(wp.clamp(bounds[0] * intrinsics[0] + intrinsics[2] - 0.502, 0.0, float(width))))
    first_y = int(wp.ceil(wp.clamp(bounds[1] * intrinsics[1] + intrinsics[3] - 0.502, 0.0, float(height))))
    last_x = int(wp.floor(wp.clamp(bounds[2] * intrinsics[0] + intrinsics[2] - 0.498, -1.0, float(width - 1))))
    last_y = int(wp.floor(wp.clamp(bounds[3] * intrinsics[1] + intrinsics[3] - 0.498, -1.0, float(height - 1))))
    if first_x > last_x or first_y > last_y:
        return
    # a triangle seen from outside has its normal towards the camera: all forms are negative within it
    normal = normal / wp.dot(normal, a)
    opposite_a = edge_form(b, c)
    opposite_b = edge_form(c, a)
    opposite_c = edge_form(a, b)
    instance = part_instance[face_part[triangle]]
    bit = 0
    if instance > 0:
        bit = 1 << (instance - 1)
    nearest = 1.0 / near
    for y in range(first_y, last_y + 1):
        for x in range(first_x, last_x + 1):
            ray = wp.vec3(rays[y * width + x][0], rays[y * width + x][1], 1.0)
            if wp.dot(opposite_a, ray) <= 0.0 and wp.dot(opposite_b, ray) <= 0.0 and wp.dot(opposite_c, ray) <= 0.0:
                reciprocal = wp.dot(normal, ray)
                if reciprocal > 0.0 and reciprocal <= nearest:
                    # positive floats order like their bits
                    key = (wp.int64(wp.cast(reciprocal, wp.int32)) << wp.int64(32)) | wp.int64(triangle)
                    wp.atomic_max(keys, y * width + x, key)
                    if bit > 0:
                        wp.atomic_or(amodal, y * width + x, bit)


@wp.func
def triangle_of(key: wp.int64) -> int:
    return int(key & wp.int64(0x7FFFFFFF))


@wp.func
def corner_weights(
    triangle: int, ray: wp.vec2, camera_vertices: wp.array(dtype=wp.vec3), faces: wp.array2d(dtype=wp.int32)
) -> wp.vec3:
    """Barycentric coordinates of the point of a triangle that a ray meets."""
    a = camera_vertices[faces[triangle, 0]]
    b = camera_vertices[faces[triangle, 1]]
    c = camera_vertices[faces[triangle, 2]]
    direction = wp.vec3(ray[0], ray[1], 1.0)
    weights = wp.vec3(
        wp.dot(direction, edge_form(b, c)), wp.dot(direction, edge_form(c, a)), wp.dot(direction, edge_form(a, b))
    )
    return weights / (weights[0] + weights[1] + weights[2])


@wp.kernel
def resolve_labels(
    keys: wp.array(dtype=wp.int64),
    camera_vertices: wp.array(dtype=wp.vec3),
    condition: wp.array(dtype=wp.vec2),
    faces: wp.array2d(dtype=wp.int32),
    face_part: wp.array(dtype=wp.int32),
    part_class: wp.array(dtype=wp.int32),
    part_instance: wp.array(dtype=wp.int32),
    rays: wp.array(dtype=wp.vec2),
    blood_class: int,
    class_map: wp.array(dtype=wp.uint8),
    instance_map: wp.array(dtype=wp.uint8),
    depth: wp.array(dtype=float),
):
    pixel = wp.tid()
    key = keys[pixel]
    if key < wp.int64(0):
        class_map[pixel] = wp.uint8(0)
        instance_map[pixel] = wp.uint8(0)
        depth[pixel] = 0.0
        return
    triangle = triangle_of(key)
    part = face_part[triangle]
    class_id = part_class[part]
    if blood_class > 0:
        i = faces[triangle, 0]
        j = faces[triangle, 1]
        k = faces[triangle, 2]
        if wp.max(condition[i][1], wp.max(condition[j][1], condition[k][1])) > 0.5:
            weights = corner_weights(triangle, rays[pixel], camera_vertices, faces)
            if condition[i][1] * weights[0] + condition[j][1] * weights[1] + condition[k][1] * weights[2] > 0.5:
                class_id = blood_class
    class_map[pixel] = wp.uint8(class_id)
    instance_map[pixel] = wp.uint8(part_instance[part])
    depth[pixel] = 1.0 / wp.cast(int(key >> wp.int64(32)), wp.float32)


@wp.kernel
def resolve_points(
    keys: wp.array(dtype=wp.int64),
    camera_vertices: wp.array(dtype=wp.vec3),
    camera_normals: wp.array(dtype=wp.vec3),
    object_points: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    face_part: wp.array(dtype=wp.int32),
    part_object: wp.array(dtype=wp.int32),
    rays: wp.array(dtype=wp.vec2),
    normals: wp.array(dtype=wp.vec3),
    object_map: wp.array(dtype=wp.uint16),
    points: wp.array(dtype=wp.vec3),
):
    """The surface's normal, which object it is, and which point of it."""
    pixel = wp.tid()
    key = keys[pixel]
    if key < wp.int64(0):
        normals[pixel] = wp.vec3(0.0, 0.0, 0.0)
        points[pixel] = wp.vec3(0.0, 0.0, 0.0)
        object_map[pixel] = wp.uint16(0)
        return
    triangle = triangle_of(key)
    weights = corner_weights(triangle, rays[pixel], camera_vertices, faces)
    i = faces[triangle, 0]
    j = faces[triangle, 1]
    k = faces[triangle, 2]
    normals[pixel] = wp.normalize(
        camera_normals[i] * weights[0] + camera_normals[j] * weights[1] + camera_normals[k] * weights[2]
    )
    points[pixel] = object_points[i] * weights[0] + object_points[j] * weights[1] + object_points[k] * weights[2]
    object_map[pixel] = wp.uint16(part_object[face_part[triangle]] + 1)
