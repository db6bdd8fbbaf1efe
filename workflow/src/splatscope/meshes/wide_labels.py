"""Labels and flow on the CPU, a group of pixels at a time: what `label_kernels` and `flow_kernels` do (see `lanes`)."""

import warp as wp

from splatscope.meshes.flow_kernels import DEPTH_TOLERANCE, DEPTH_TOLERANCE_MM
from splatscope.meshes.lanes import LANE_TYPES, LANES, SEEN_TRIANGLES
from splatscope.meshes.lens_kernels import Distortion
from splatscope.meshes.shading_kernels import Record

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

GROUP = (
    LANE_TYPES
    + SEEN_TRIANGLES
    + """
    const int first = group * LANES;
    int triangles[LANES];
    Lanes depth;
    const unsigned seen = triangles_of((const wp::int64*)keys.data + first, triangles, depth);
    Ints there;
    #pragma clang loop unroll(full)
    for (int lane = 0; lane < LANES; ++lane)
        there[lane] = (seen >> lane & 1) ? -1 : 0;
    const Lanes none = (Lanes)0.0f;
    """
)

POINTS = (
    GROUP
    + """
    typedef float Four __attribute__((ext_vector_type(4), aligned(4)));
    float* normal = (float*)normals.data + 3 * first;
    Four* point = (Four*)points.data + first;
    if (!seen) {
        *(Three*)normal = (Three)0.0f;
        for (int lane = 0; lane < LANES; ++lane)
            point[lane] = (Four)0.0f;
        return;
    }
    const float* weight = (const float*)weights.data + 3 * first;
    Eight rows[LANES];
    #pragma clang loop unroll(full)
    for (int lane = 0; lane < LANES; ++lane) {
        const int* corner = faces.data + 3 * triangles[lane];
        const float p = weight[3 * lane], q = weight[3 * lane + 1], r = weight[3 * lane + 2];
        const float* record = (const float*)records.data;
        rows[lane] = *(const Eight*)(record + 16l * corner[0]) * p + *(const Eight*)(record + 16l * corner[1]) * q
            + *(const Eight*)(record + 16l * corner[2]) * r;
        const Four* at = (const Four*)object_points.data;
        Four met = at[corner[0]] * p + at[corner[1]] * q + at[corner[2]] * r;
        met.x = at[corner[0]].x;
        point[lane] = (seen >> lane & 1) ? met : (Four)0.0f;
    }
    Lanes columns[8];
    columns_of(rows, columns);
    const Vec up = unit(Vec{columns[0], columns[1], columns[2]});
    put_triples(normal, Vec{there ? up.x : none, there ? up.y : none, there ? up.z : none});
"""
)

LABELS = (
    GROUP
    + """
    for (int lane = 0; lane < LANES; ++lane) {
        class_map.data[first + lane] = 0;
        instance_map.data[first + lane] = 0;
    }
    if (!seen) {
        *(Lanes*)(depth_mm.data + first) = none;
        return;
    }
    *(Lanes*)(depth_mm.data + first) = there ? depth : none;
    const float* weight = (const float*)weights.data + 3 * first;
    const float* conditions = (const float*)condition.data;
    for (int lane = 0; lane < LANES; ++lane) {
        if (!(seen >> lane & 1))
            continue;
        const int part = face_part.data[triangles[lane]];
        int class_id = part_class.data[part];
        if (blood_class > 0) {
            const int* corner = faces.data + 3 * triangles[lane];
            const float blood = conditions[2 * corner[0] + 1] * weight[3 * lane]
                + conditions[2 * corner[1] + 1] * weight[3 * lane + 1]
                + conditions[2 * corner[2] + 1] * weight[3 * lane + 2];
            if (blood > 0.5f)
                class_id = blood_class;
        }
        class_map.data[first + lane] = class_id;
        instance_map.data[first + lane] = part_instance.data[part];
    }
"""
)

FLOW = (
    LANE_TYPES
    + SEEN_TRIANGLES
    + f"""
    constexpr float TOLERANCE = {DEPTH_TOLERANCE}f, TOLERANCE_MM = {DEPTH_TOLERANCE_MM}f;
    const Ints steps = {{{", ".join(map(str, range(LANES)))}}};
    """
    + """
    const int column = group * LANES, first = row * width + column;
    const int count = width - column < LANES ? width - column : LANES;
    float* out = (float*)flow.data + 3 * first;
    int triangles[LANES];
    Lanes depth;
    const unsigned seen = triangles_of((const wp::int64*)source_keys.data + first, triangles, depth);
    Vec found = {};
    if (seen) {
        const Vec shares = triples((const float*)source_weights.data + 3 * first);
        auto gather = [&](int corner) {
            Vec v;
            #pragma clang loop unroll(full)
            for (int lane = 0; lane < LANES; ++lane) {
                const int vertex = target_corners.data[3 * triangles[lane] + corner];
                const float* p = (const float*)target_vertices.data + 3 * vertex;
                v.x[lane] = p[0]; v.y[lane] = p[1]; v.z[lane] = p[2];
            }
            return v;
        };
        const Vec point = moved(moved(times(gather(0), shares.x), gather(1), shares.y), gather(2), shares.z);
        const Lanes x = point.x / point.z, y = point.y / point.z;
        const Ints looked_at = (point.z >= 1.0f) & (x >= field[0]) & (y >= field[1])
            & (x <= field[2]) & (y <= field[3]);
        const auto& k = distortion;
        const Lanes r = x * x + y * y;
        const Lanes radial = (1.0f + r * (k[0] + r * (k[1] + r * k[4]))) / (1.0f + r * (k[5] + r * (k[6] + r * k[7])));
        const Lanes bent_x = x * radial + 2.0f * k[2] * x * y + k[3] * (r + 2.0f * x * x);
        const Lanes bent_y = y * radial + k[2] * (r + 2.0f * y * y) + 2.0f * k[3] * x * y;
        const Lanes to_x = bent_x * intrinsics[0] + intrinsics[2], to_y = bent_y * intrinsics[1] + intrinsics[3];
        const Ints inside = looked_at & (to_x >= 0.0f) & (to_y >= 0.0f)
            & (to_x < (float)width) & (to_y < (float)height);
        const Ints at = inside & (ints(to_y) * width + ints(to_x));
        Lanes reciprocal;
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; ++lane) {
            const wp::int64 key = target_keys.data[at[lane]];
            reciprocal[lane] = __builtin_bit_cast(float, key < 0 ? 0x7f800000 : (int)(key >> 32));  // infinite: nothing
        }
        const Ints near = inside & (point.z < 1.0f / reciprocal * (1.0f + TOLERANCE) + TOLERANCE_MM);
        Ints there;
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; ++lane)
            there[lane] = (seen >> lane & 1) ? -1 : 0;
        const Ints moves = there & looked_at;
        const Lanes none = (Lanes)0.0f, hidden = (Lanes)2.0f;
        found.x = moves ? to_x - floats(steps + column) - 0.5f : none;
        found.y = moves ? to_y - (float)row - 0.5f : none;
        found.z = there ? (near ? (Lanes)1.0f : hidden) : none;
    }
    if (count == LANES) {
        put_triples(out, found);
        return;
    }
    const float* planes = (const float*)&found;
    for (int lane = 0; lane < count; ++lane)
        for (int k = 0; k < 3; ++k)
            out[3 * lane + k] = planes[LANES * k + lane];
"""
)


@wp.func_native(POINTS)
def locate_group(
    keys: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=wp.vec3),
    records: wp.array(dtype=Record),
    object_points: wp.array(dtype=wp.vec4),
    faces: wp.array2d(dtype=wp.int32),
    normals: wp.array(dtype=wp.vec3),
    points: wp.array(dtype=wp.vec4),
    group: int,
): ...


@wp.kernel
def resolve_points(
    keys: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=wp.vec3),
    records: wp.array(dtype=Record),
    object_points: wp.array(dtype=wp.vec4),
    faces: wp.array2d(dtype=wp.int32),
    normals: wp.array(dtype=wp.vec3),
    points: wp.array(dtype=wp.vec4),
):
    """The surface's normal; which object it is, and which point of it."""
    locate_group(keys, weights, records, object_points, faces, normals, points, wp.tid())


@wp.func_native(LABELS)
def label_group(
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
    depth_mm: wp.array(dtype=float),
    group: int,
): ...


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
    depth_mm: wp.array(dtype=float),
):
    """Class, instance and depth."""
    label_group(
        keys, weights, condition, faces, face_part, part_class, part_instance,
        blood_class, class_map, instance_map, depth_mm, wp.tid(),
    )  # fmt: skip


@wp.func_native(FLOW)
def find_group_again(
    source_keys: wp.array(dtype=wp.int64),
    source_weights: wp.array(dtype=wp.vec3),
    target_keys: wp.array(dtype=wp.int64),
    target_vertices: wp.array(dtype=wp.vec3),
    target_corners: wp.array2d(dtype=wp.int32),
    field: wp.vec4,
    intrinsics: wp.vec4,
    distortion: Distortion,
    width: int,
    height: int,
    flow: wp.array(dtype=wp.vec3),
    row: int,
    group: int,
): ...


@wp.kernel
def find_again(
    source_keys: wp.array(dtype=wp.int64),
    source_weights: wp.array(dtype=wp.vec3),
    target_keys: wp.array(dtype=wp.int64),
    target_vertices: wp.array(dtype=wp.vec3),
    target_corners: wp.array2d(dtype=wp.int32),
    field: wp.vec4,
    intrinsics: wp.vec4,
    distortion: Distortion,
    width: int,
    height: int,
    flow: wp.array(dtype=wp.vec3),
):
    """Optical flow: the surface point seen at a pixel, found again in another view."""
    row, group = wp.tid()
    find_group_again(
        source_keys, source_weights, target_keys, target_vertices, target_corners,
        field, intrinsics, distortion, width, height, flow, row, group,
    )  # fmt: skip
