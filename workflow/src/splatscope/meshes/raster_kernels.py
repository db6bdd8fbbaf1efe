"""Visibility: which triangle is seen at each pixel.

Runs on the CPU and on CUDA alike; `wide_raster` is the CPU's fast path.

Triangles are rasterised in homogeneous coordinates (Olano and Greer 1997): for the ray direction d of a pixel and
corners a, b, c in camera axes, d.(b x c), d.(c x a), d.(a x b) are in proportion to the barycentric coordinates of the
point that the ray meets, and with the normal n of the triangle d.n over a.n is the reciprocal of its depth. Nothing is
divided by the depth of a corner, so triangles that cross the near plane need no clipping: pixels whose depth lies
before it are dropped. Every pixel has a ray of its own, so a lens may bend them.
"""

import warp as wp

from splatscope.meshes.lens_kernels import ELSEWHERE, Distortion, distort_bounds, extend

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.func
def edge_form(a: wp.vec3, b: wp.vec3) -> wp.vec3:
    """a x b, without the cancellation that a short edge far away brings, and exactly -(b x a) the other way round."""
    if a[0] < b[0] or (a[0] == b[0] and (a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]))):
        return wp.cross(a, b - a)
    return -wp.cross(b, a - b)


@wp.func
def extend_edge(bounds: wp.vec4, a: wp.vec3, b: wp.vec3, near: float) -> wp.vec4:
    """Bounds that also hold the visible end points of the edge a-b, in units of the image plane at depth 1."""
    if a[2] >= near:
        bounds = extend(bounds, a[0] / a[2], a[1] / a[2])
    if (a[2] >= near) != (b[2] >= near):
        share = (near - a[2]) / (b[2] - a[2])
        bounds = extend(bounds, (a[0] + share * (b[0] - a[0])) / near, (a[1] + share * (b[1] - a[1])) / near)
    return bounds


@wp.struct
class Projection:
    """A camera before which vertices stand."""

    camera_vertices: wp.array(dtype=wp.vec3)
    vertex_pixels: wp.array(dtype=wp.vec2)
    field: wp.vec4  # bounds of all rays
    intrinsics: wp.vec4  # fx, fy, cx, cy
    distortion: Distortion
    distorted: wp.int32
    bend: float  # see Lens
    width: wp.int32
    height: wp.int32
    near: float


@wp.func
def picture_box(eye: Projection, i: int, j: int, k: int) -> wp.vec4:
    """A box in the picture, in pixels, that holds the triangle; empty (first above last) where it is not seen."""
    p = eye.vertex_pixels[i]
    q = eye.vertex_pixels[j]
    r = eye.vertex_pixels[k]
    box = wp.vec4(
        wp.min(p[0], wp.min(q[0], r[0])),
        wp.min(p[1], wp.min(q[1], r[1])),
        wp.max(p[0], wp.max(q[0], r[0])),
        wp.max(p[1], wp.max(q[1], r[1])),
    )
    a = eye.camera_vertices[i]
    b = eye.camera_vertices[j]
    c = eye.camera_vertices[k]
    if box[2] < ELSEWHERE:
        margin = wp.float32(0.002)
        if eye.distorted > 0:
            ahead = wp.vec2(a[0], a[1]) / a[2]
            first = wp.vec2(b[0], b[1]) / b[2] - ahead
            second = wp.vec2(c[0], c[1]) / c[2] - ahead
            third = first - second
            margin += eye.bend * wp.max(wp.dot(first, first), wp.max(wp.dot(second, second), wp.dot(third, third)))
        return wp.vec4(box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)
    empty = wp.vec4(1.0, 1.0, 0.0, 0.0)
    if wp.max(a[2], wp.max(b[2], c[2])) < eye.near:
        return empty
    bounds = wp.vec4(1.0e9, 1.0e9, -1.0e9, -1.0e9)
    bounds = extend_edge(bounds, a, b, eye.near)
    bounds = extend_edge(bounds, b, c, eye.near)
    bounds = extend_edge(bounds, c, a, eye.near)
    field = eye.field
    if bounds[0] > field[2] or bounds[1] > field[3] or bounds[2] < field[0] or bounds[3] < field[1]:
        return empty
    if eye.distorted > 0:  # beyond the field the polynomial may fold back into the picture
        bounds = wp.vec4(
            wp.max(bounds[0], field[0]),
            wp.max(bounds[1], field[1]),
            wp.min(bounds[2], field[2]),
            wp.min(bounds[3], field[3]),
        )
        bounds = distort_bounds(bounds, eye.distortion)
    f = eye.intrinsics
    return wp.vec4(
        bounds[0] * f[0] + f[2] - 0.002,
        bounds[1] * f[1] + f[3] - 0.002,
        bounds[2] * f[0] + f[2] + 0.002,
        bounds[3] * f[1] + f[3] + 0.002,
    )


@wp.struct
class Forms:
    """A triangle by linear forms of the ray: reciprocal depth, and three that are not above 0 within it."""

    depth: wp.vec3
    a: wp.vec3
    b: wp.vec3
    c: wp.vec3


@wp.func
def forms_of(a: wp.vec3, b: wp.vec3, c: wp.vec3, normal: wp.vec3) -> Forms:
    forms = Forms()
    forms.depth = normal / wp.dot(normal, a)
    # a triangle seen from outside has its normal towards the camera: all forms are negative within it
    forms.a = edge_form(b, c)
    forms.b = edge_form(c, a)
    forms.c = edge_form(a, b)
    return forms


@wp.func
def reciprocal_depth(forms: Forms, at: wp.vec2) -> float:
    """Where a ray meets the triangle; 0 where it does not."""
    ray = wp.vec3(at[0], at[1], 1.0)
    if wp.max(wp.dot(forms.a, ray), wp.max(wp.dot(forms.b, ray), wp.dot(forms.c, ray))) <= 0.0:
        return wp.dot(forms.depth, ray)
    return 0.0


@wp.func
def key_of(reciprocal: float, triangle: int) -> wp.int64:
    """The nearest surface has the largest key: positive floats order like their bits."""
    return (wp.int64(wp.cast(reciprocal, wp.int32)) << wp.int64(32)) | wp.int64(triangle)


@wp.kernel
def rasterize(
    groups: wp.array2d(dtype=wp.int32),  # first face, number of faces
    eye: Projection,
    faces: wp.array2d(dtype=wp.int32),
    face_part: wp.array(dtype=wp.int32),
    part_instance: wp.array(dtype=wp.int32),
    rays: wp.array(dtype=wp.vec2),  # of the pixels, undistorted, at depth 1
    keys: wp.array(dtype=wp.int64),
    amodal: wp.array(dtype=wp.int32),
):
    """Keep the largest (reciprocal depth, triangle) per pixel; note every instance that covers it."""
    group, member = wp.tid()
    if member >= groups[group, 1]:
        return
    triangle = groups[group, 0] + member
    i = faces[triangle, 0]
    j = faces[triangle, 1]
    k = faces[triangle, 2]
    box = picture_box(eye, i, j, k)
    first_x = int(wp.ceil(wp.clamp(box[0] - 0.5, 0.0, float(eye.width))))
    first_y = int(wp.ceil(wp.clamp(box[1] - 0.5, 0.0, float(eye.height))))
    last_x = int(wp.floor(wp.clamp(box[2] - 0.5, -1.0, float(eye.width - 1))))
    last_y = int(wp.floor(wp.clamp(box[3] - 0.5, -1.0, float(eye.height - 1))))
    if first_x > last_x or first_y > last_y:
        return
    a = eye.camera_vertices[i]
    b = eye.camera_vertices[j]
    c = eye.camera_vertices[k]
    normal = wp.cross(b - a, c - a)
    if wp.dot(a, normal) > -1.0e-12:  # seen from behind, or edge-on
        return
    forms = forms_of(a, b, c, normal)
    instance = part_instance[face_part[triangle]]
    nearest = 1.0 / eye.near
    for y in range(first_y, last_y + 1):
        for x in range(first_x, last_x + 1):
            pixel = y * eye.width + x
            reciprocal = reciprocal_depth(forms, rays[pixel])
            if reciprocal > 0.0 and reciprocal <= nearest:
                wp.atomic_max(keys, pixel, key_of(reciprocal, triangle))
                if instance > 0:
                    wp.atomic_or(amodal, pixel, 1 << (instance - 1))


@wp.kernel
def rasterize_samples(
    groups: wp.array2d(dtype=wp.int32),
    eye: Projection,
    faces: wp.array2d(dtype=wp.int32),
    flagged: wp.array(dtype=wp.uint8),  # of the pixels
    across: int,  # samples along each side of a pixel
    rays: wp.array(dtype=wp.vec2),  # of the samples
    keys: wp.array(dtype=wp.int64),  # of the samples
):
    """As `rasterize`, for the samples of flagged pixels alone."""
    group, member = wp.tid()
    if member >= groups[group, 1]:
        return
    triangle = groups[group, 0] + member
    i = faces[triangle, 0]
    j = faces[triangle, 1]
    k = faces[triangle, 2]
    box = picture_box(eye, i, j, k)
    first_x = int(wp.clamp(box[0], 0.0, float(eye.width)))
    first_y = int(wp.clamp(box[1], 0.0, float(eye.height)))
    last_x = int(wp.floor(wp.clamp(box[2], -1.0, float(eye.width - 1))))
    last_y = int(wp.floor(wp.clamp(box[3], -1.0, float(eye.height - 1))))
    if first_x > last_x or first_y > last_y:
        return
    a = eye.camera_vertices[i]
    b = eye.camera_vertices[j]
    c = eye.camera_vertices[k]
    normal = wp.cross(b - a, c - a)
    if wp.dot(a, normal) > -1.0e-12:
        return
    wanted = wp.int32(0)
    for y in range(first_y, last_y + 1):
        for x in range(first_x, last_x + 1):
            wanted += int(flagged[y * eye.width + x])
    if wanted == 0:
        return
    forms = forms_of(a, b, c, normal)
    nearest = 1.0 / eye.near
    for y in range(first_y, last_y + 1):
        for x in range(first_x, last_x + 1):
            if flagged[y * eye.width + x] > wp.uint8(0):
                for sub in range(across * across):
                    sample = (y * across + sub / across) * eye.width * across + x * across + sub % across
                    reciprocal = reciprocal_depth(forms, rays[sample])
                    if reciprocal > 0.0 and reciprocal <= nearest:
                        wp.atomic_max(keys, sample, key_of(reciprocal, triangle))


@wp.func
def triangle_of(key: wp.int64) -> int:
    return int(key & wp.int64(0x7FFFFFFF))


@wp.func
def depth_of(key: wp.int64) -> float:
    return 1.0 / wp.cast(int(key >> wp.int64(32)), wp.float32)
