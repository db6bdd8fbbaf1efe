"""What is seen at each pixel: which point of which triangle, and its labels.

Runs on the CPU and on CUDA alike; `wide_labels` is the CPU's fast path.
"""

import warp as wp

from splatscope.meshes.lens_kernels import Record
from splatscope.meshes.raster_kernels import depth_of, triangle_of

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.func
def corner_weights(
    triangle: int, at: wp.vec2, camera_vertices: wp.array(dtype=wp.vec3), faces: wp.array2d(dtype=wp.int32)
) -> wp.vec3:
    """Barycentric coordinates of the point of a triangle that a ray meets."""
    a = camera_vertices[faces[triangle, 0]]
    b = camera_vertices[faces[triangle, 1]] - a
    c = camera_vertices[faces[triangle, 2]] - a
    normal = wp.cross(b, c)
    ray = wp.vec3(at[0], at[1], 1.0)
    point = ray * (wp.dot(a, normal) / wp.dot(ray, normal)) - a
    scale = 1.0 / wp.dot(normal, normal)
    second = wp.dot(wp.cross(point, c), normal) * scale
    third = wp.dot(wp.cross(b, point), normal) * scale
    return wp.vec3(1.0 - second - third, second, third)


@wp.kernel
def resolve_weights(
    keys: wp.array(dtype=wp.int64),
    camera_vertices: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    rays: wp.array(dtype=wp.vec2),
    weights: wp.array(dtype=wp.vec3),
):
    pixel = wp.tid()
    key = keys[pixel]
    if key >= wp.int64(0):
        weights[pixel] = corner_weights(triangle_of(key), rays[pixel], camera_vertices, faces)


@wp.kernel
def conceal(pixels: wp.array(dtype=wp.int32), keys: wp.array(dtype=wp.int64), amodal: wp.array(dtype=wp.int32)):
    """Nothing is there."""
    pixel = pixels[wp.tid()]
    keys[pixel] = wp.int64(-1)
    amodal[pixel] = 0


@wp.kernel
def resolve_labels(
    keys: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=wp.vec3),
    condition: wp.array(dtype=wp.vec2),
    faces: wp.array2d(dtype=wp.int32),
    face_part: wp.array(dtype=wp.int32),
    part_class: wp.array(dtype=wp.int32),
    part_instance: wp.array(dtype=wp.int32),
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
        blood = (
            condition[faces[triangle, 0]][1] * weights[pixel][0]
            + condition[faces[triangle, 1]][1] * weights[pixel][1]
            + condition[faces[triangle, 2]][1] * weights[pixel][2]
        )
        if blood > 0.5:
            class_id = blood_class
    class_map[pixel] = wp.uint8(class_id)
    instance_map[pixel] = wp.uint8(part_instance[part])
    depth[pixel] = depth_of(key)


@wp.kernel
def resolve_points(
    keys: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=wp.vec3),
    records: wp.array(dtype=Record),
    object_points: wp.array(dtype=wp.vec4),  # 1 + object, point of the object
    faces: wp.array2d(dtype=wp.int32),
    normals: wp.array(dtype=wp.vec3),
    points: wp.array(dtype=wp.vec4),
):
    """The surface's normal; which object it is, and which point of it."""
    pixel = wp.tid()
    key = keys[pixel]
    if key < wp.int64(0):
        normals[pixel] = wp.vec3(0.0, 0.0, 0.0)
        points[pixel] = wp.vec4(0.0, 0.0, 0.0, 0.0)
        return
    triangle = triangle_of(key)
    share = weights[pixel]
    i = faces[triangle, 0]
    j = faces[triangle, 1]
    k = faces[triangle, 2]
    here = records[i] * share[0] + records[j] * share[1] + records[k] * share[2]
    normals[pixel] = wp.normalize(wp.vec3(here[0], here[1], here[2]))
    point = object_points[i] * share[0] + object_points[j] * share[1] + object_points[k] * share[2]
    points[pixel] = wp.vec4(object_points[i][0], point[1], point[2], point[3])
