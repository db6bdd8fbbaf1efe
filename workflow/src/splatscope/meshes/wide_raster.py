"""Visibility on the CPU, several pixels of a triangle at a time: what `raster_kernels` does, in lanes (see `lanes`)."""

import warp as wp

from splatscope.meshes.lanes import CORNER_WEIGHTS, LANE_TYPES, SEEN_TRIANGLES
from splatscope.meshes.raster_kernels import Forms, Projection, forms_of, picture_box

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.struct
class Facing:
    """A triangle that may be seen."""

    forms: Forms
    box: wp.vec4  # in the picture, in pixels
    triangle: wp.int32
    instance: wp.int32


@wp.kernel
def collect(
    groups: wp.array2d(dtype=wp.int32),  # first face, number of faces
    eye: Projection,
    faces: wp.array2d(dtype=wp.int32),
    face_part: wp.array(dtype=wp.int32),
    part_instance: wp.array(dtype=wp.int32),
    facing: wp.array(dtype=Facing),
    count: wp.array(dtype=wp.int32),  # of `facing`
):
    """List the triangles that face the camera and touch the picture."""
    group = wp.tid()
    first = groups[group, 0]
    found = count[0]
    for triangle in range(first, first + groups[group, 1]):
        i = faces[triangle, 0]
        j = faces[triangle, 1]
        k = faces[triangle, 2]
        a = eye.camera_vertices[i]
        b = eye.camera_vertices[j]
        c = eye.camera_vertices[k]
        normal = wp.cross(b - a, c - a)
        if wp.dot(a, normal) <= -1.0e-12:
            box = picture_box(eye, i, j, k)
            touches = box[0] < float(eye.width) and box[1] < float(eye.height) and box[2] >= 0.0 and box[3] >= 0.0
            if touches and box[0] <= box[2]:
                seen = Facing()
                seen.forms = forms_of(a, b, c, normal)
                seen.box = box
                seen.triangle = triangle
                seen.instance = part_instance[face_part[triangle]]
                facing[found] = seen
                found += 1
    count[0] = found


TRIANGLE = """
    typedef float Lanes __attribute__((ext_vector_type(LANES), aligned(4)));
    typedef int Ints __attribute__((ext_vector_type(LANES), aligned(4)));
    typedef wp::int64 Longs __attribute__((ext_vector_type(LANES), aligned(8)));
    typedef float Two __attribute__((ext_vector_type(2 * LANES), aligned(4)));
    const wp::vec_t<3, float> depth = seen.forms.depth, a = seen.forms.a, b = seen.forms.b, c = seen.forms.c;
    auto most = [](Lanes p, Lanes q) { return p > q ? p : q; };
    // the keys of a few neighbours, where the triangle is nearer than what they show; returns where it covers them
    auto cover = [&](const float* rays, wp::int64* keys, Ints wanted) {
        const Two both = *(const Two*)rays;
        const Lanes x = EVEN, y = ODD;
        const Lanes outside = most(a[0] * x + a[1] * y + a[2],
                                   most(b[0] * x + b[1] * y + b[2], c[0] * x + c[1] * y + c[2]));
        const Lanes reciprocal = depth[0] * x + depth[1] * y + depth[2];
        const Ints covered = wanted & (outside <= 0.0f) & (reciprocal > 0.0f) & (reciprocal <= nearest);
        const Ints high = __builtin_bit_cast(Ints, reciprocal);
        const Longs key = (__builtin_convertvector(high, Longs) << 32) | (wp::int64)seen.triangle;
        const Longs old = *(Longs*)keys;
        *(Longs*)keys = (__builtin_convertvector(covered, Longs) != 0) & (key > old) ? key : old;
        return covered;
    };
"""


def _triangle(lanes: int) -> str:
    steps = ", ".join(map(str, range(lanes)))
    even, odd = (", ".join(str(2 * lane + part) for lane in range(lanes)) for part in range(2))
    return (
        f"constexpr int LANES = {lanes};"
        + TRIANGLE.replace("EVEN", f"__builtin_shufflevector(both, both, {even})").replace(
            "ODD", f"__builtin_shufflevector(both, both, {odd})"
        )
        + f"const Ints steps = {{{steps}}};"
    )


DRAW = (
    _triangle(8)
    + """
    auto within = [](float value, int last) { return value < 0.0f ? 0.0f : value > last ? (float)last : value; };
    const int first_x = (int)__builtin_ceilf(within(seen.box[0] - 0.5f, width));
    const int first_y = (int)__builtin_ceilf(within(seen.box[1] - 0.5f, height));
    const int last_x = seen.box[2] < 0.5f ? -1 : (int)within(seen.box[2] - 0.5f, width - 1);
    const int last_y = seen.box[3] < 0.5f ? -1 : (int)within(seen.box[3] - 0.5f, height - 1);
    for (int row = first_y; row <= last_y; ++row)
        for (int column = first_x; column <= last_x; column += LANES) {
            const int pixel = row * width + column;
            const Ints covered = cover((const float*)rays.data + 2 * pixel, (wp::int64*)keys.data + pixel,
                                       steps <= last_x - column);
            if (seen.instance > 0)
                *(Ints*)(amodal.data + pixel) |= covered & (1 << (seen.instance - 1));
        }
"""
)

DRAW_SAMPLES = (
    _triangle(4)
    + """
    auto within = [](float value, int last) { return value < 0.0f ? 0.0f : value > last ? (float)last : value; };
    const int first_x = (int)within(seen.box[0], width), first_y = (int)within(seen.box[1], height);
    const int last_x = (int)within(seen.box[2], width - 1), last_y = (int)within(seen.box[3], height - 1);
    for (int row = first_y; row <= last_y; ++row)
        for (int pixel = row * width + first_x; pixel <= row * width + last_x; ++pixel) {
            const int slot = slots.data[pixel];
            if (slot < 0)
                continue;
            for (int sample = 0; sample < samples; sample += LANES)
                cover((const float*)rays.data + 2 * (pixel * samples + sample),
                      (wp::int64*)keys.data + slot * samples + sample, steps < samples - sample);
        }
"""
)

WEIGH = (
    LANE_TYPES
    + SEEN_TRIANGLES
    + CORNER_WEIGHTS
    + """
    const int first = group * LANES;
    int triangles[LANES];
    Lanes depth, x, y;
    if (!triangles_of((const wp::int64*)keys.data + first, triangles, depth))
        return;
    pairs((const float*)rays.data + 2 * first, x, y);
    const Vec shares = corner_weights(triangles, faces.data, (const float*)camera_vertices.data, x, y);
    put_triples((float*)weights.data + 3 * first, shares);
"""
)


@wp.func_native(DRAW)
def draw(
    seen: Facing,
    width: int,
    height: int,
    nearest: float,
    rays: wp.array(dtype=wp.vec2),
    keys: wp.array(dtype=wp.int64),
    amodal: wp.array(dtype=wp.int32),
): ...


@wp.kernel
def rasterize(
    facing: wp.array(dtype=Facing),
    width: int,
    height: int,
    near: float,
    rays: wp.array(dtype=wp.vec2),  # of the pixels, undistorted, at depth 1
    keys: wp.array(dtype=wp.int64),
    amodal: wp.array(dtype=wp.int32),
):
    """Keep the largest (reciprocal depth, triangle) per pixel; note every instance that covers it."""
    draw(facing[wp.tid()], width, height, 1.0 / near, rays, keys, amodal)


@wp.func_native(DRAW_SAMPLES)
def draw_samples(
    seen: Facing,
    width: int,
    height: int,
    nearest: float,
    slots: wp.array(dtype=wp.int32),
    samples: int,
    rays: wp.array(dtype=wp.vec2),
    keys: wp.array(dtype=wp.int64),
): ...


@wp.kernel
def rasterize_samples(
    facing: wp.array(dtype=Facing),
    width: int,
    height: int,
    near: float,
    slots: wp.array(dtype=wp.int32),  # place of each pixel among the flagged ones; -1
    samples: int,  # of a pixel
    rays: wp.array(dtype=wp.vec2),  # of the samples of each pixel in turn
    keys: wp.array(dtype=wp.int64),  # of the samples of each flagged pixel in turn
):
    """As `rasterize`, for the samples of flagged pixels alone."""
    draw_samples(facing[wp.tid()], width, height, 1.0 / near, slots, samples, rays, keys)


@wp.func_native(WEIGH)
def weigh_group(
    keys: wp.array(dtype=wp.int64),
    camera_vertices: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    rays: wp.array(dtype=wp.vec2),
    weights: wp.array(dtype=wp.vec3),
    group: int,
): ...


@wp.kernel
def resolve_weights(
    keys: wp.array(dtype=wp.int64),
    camera_vertices: wp.array(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    rays: wp.array(dtype=wp.vec2),
    weights: wp.array(dtype=wp.vec3),
):
    """Barycentric coordinates of what each pixel of a group shows."""
    weigh_group(keys, camera_vertices, faces, rays, weights, wp.tid())
