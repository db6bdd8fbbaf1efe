"""Shading on the CPU, a group of pixels or samples at a time: what `shading_kernels` does, in lanes (see `lanes`)."""

import warp as wp

from splatscope.meshes.lanes import CORNER_WEIGHTS, LANE_TYPES, LANES
from splatscope.meshes.shading_kernels import CONTRAST, DARK, Surfaces
from splatscope.meshes.wide_radiance import RADIANCE

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

SHADE = (
    RADIANCE
    + """
    const int first = group * LANES;
    float* out = (float*)radiance.data + 3 * first;
    int triangles[LANES];
    Lanes depth, x, y;
    const unsigned seen = triangles_of((const wp::int64*)keys.data + first, triangles, depth);
    if (!seen) {
        *(Three*)out = (Three)0.0f;
        return;
    }
    pairs((const float*)rays.data + 2 * first, x, y);
    const float* own_weights = (const float*)weights.data + 3 * first;
    auto weight = [&](int lane, int corner) { return own_weights[3 * lane + corner]; };
    Vec light_back = radiance_at(triangles, weight, x, y, depth);
    if (seen != (1u << LANES) - 1) {
        Ints there;
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; ++lane)
            there[lane] = (seen >> lane & 1) ? -1 : 0;
        const Lanes none = (Lanes)0.0f;
        light_back = {there ? light_back.x : none, there ? light_back.y : none, there ? light_back.z : none};
    }
    put_triples(out, light_back);
"""
)

FLAG = (
    LANE_TYPES
    + f"constexpr float CONTRAST = {CONTRAST}f, DARK = {DARK}f;"
    + f"const Ints steps = {{{', '.join(map(str, range(LANES)))}}};"
    + f"""
    auto before_first = [](Lanes before, Lanes here) {{
        return __builtin_shufflevector(before, here, {", ".join(str(LANES - 1 + lane) for lane in range(LANES))});
    }};
    """
    + """
    auto magnitude = [&](Lanes a) { return most(a, -a); };
    auto brightest = [&](Vec a) { return most(a.x, most(a.y, a.z)); };
    auto differ = [&](Vec a, Lanes bright, Vec b) {
        const Vec d = minus(a, b);
        const Lanes apart = most(magnitude(d.x), most(magnitude(d.y), magnitude(d.z)));
        return apart > CONTRAST * (bright + brightest(b) + DARK);
    };
    int found = count.data[0];
    Vec before = triples((const float*)radiance.data + 3 * row * width);
    for (int column = 0; column < width; column += LANES) {
        const int pixel = row * width + column;
        const float* at = (const float*)radiance.data + 3 * pixel;
        const Vec here = triples(at);
        const Lanes bright = brightest(here);
        const Ints columns = steps + column;
        const Vec left = {before_first(before.x, here.x), before_first(before.y, here.y),
                          before_first(before.z, here.z)};
        Ints different = differ(here, bright, triples(at + 3)) & (columns + 1 < width);
        different |= differ(here, bright, left) & (columns > 0);
        before = here;
        if (row > 0)
            different |= differ(here, bright, triples(at - 3 * width));
        if (row + 1 < height)
            different |= differ(here, bright, triples(at + 3 * width));
        unsigned waiting = bits_of(different & (columns < width));
        for (int lane = 0; lane < LANES && column + lane < width; ++lane)
            slots.data[pixel + lane] = -1;
        while (waiting) {
            const int lane = __builtin_ctz(waiting);
            waiting &= waiting - 1;
            slots.data[pixel + lane] = found;
            flagged.data[found++] = pixel + lane;
        }
    }
    count.data[0] = found;
"""
)

SHADE_SAMPLES = (
    RADIANCE
    + CORNER_WEIGHTS
    + """
    const int first = group * LANES, samples = across * across, end = count * samples;
    int triangles[LANES];
    Lanes depth, x, y;
    const unsigned seen = triangles_of((const wp::int64*)keys.data + first, triangles, depth);
    Vec light_back = {};
    if (seen) {
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; ++lane) {
            const int sample = first + lane < end ? first + lane : first;
            const int pixel = flagged.data[sample / samples];
            const float* ray = (const float*)rays.data + 2 * (pixel * samples + sample % samples);
            x[lane] = ray[0]; y[lane] = ray[1];
        }
        const Vec shares = corner_weights(triangles, corners, (const float*)camera_vertices.data, x, y);
        const float* planes = (const float*)&shares;
        auto weight = [&](int lane, int corner) { return planes[LANES * corner + lane]; };
        light_back = radiance_at(triangles, weight, x, y, depth);
    }
    const float* planes = (const float*)&light_back;
    for (int lane = 0; lane < LANES && first + lane < end; ++lane) {
        const int sub = (first + lane) % samples;
        float* out = (float*)radiance.data + 3 * flagged.data[(first + lane) / samples];
        for (int channel = 0; channel < 3; ++channel) {
            const float part = (seen >> lane & 1) ? planes[LANES * channel + lane] / samples : 0.0f;
            out[channel] = sub == 0 ? part : out[channel] + part;
        }
    }
"""
)


@wp.func_native(SHADE)
def shade_group(
    keys: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=wp.vec3),
    rays: wp.array(dtype=wp.vec2),
    surfaces: Surfaces,
    finish: wp.array2d(dtype=float),
    width: float,
    light: wp.vec3,
    radiance: wp.array(dtype=wp.vec3),
    group: int,
): ...


@wp.kernel
def shade(
    keys: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=wp.vec3),
    rays: wp.array(dtype=wp.vec2),
    surfaces: Surfaces,
    finish: wp.array2d(dtype=float),
    width: float,
    light: wp.vec3,
    radiance: wp.array(dtype=wp.vec3),
):
    """Radiance of the pixels' centres."""
    shade_group(keys, weights, rays, surfaces, finish, width, light, radiance, wp.tid())


@wp.func_native(FLAG)
def flag_row(
    radiance: wp.array(dtype=wp.vec3),
    width: int,
    height: int,
    slots: wp.array(dtype=wp.int32),
    flagged: wp.array(dtype=wp.int32),
    count: wp.array(dtype=wp.int32),
    row: int,
): ...


@wp.kernel
def flag_contrast(
    radiance: wp.array(dtype=wp.vec3),
    width: int,
    height: int,
    slots: wp.array(dtype=wp.int32),  # place of each pixel among the flagged ones; -1
    flagged: wp.array(dtype=wp.int32),
    count: wp.array(dtype=wp.int32),  # of the flagged
):
    """List the pixels that differ from a neighbour."""
    flag_row(radiance, width, height, slots, flagged, count, wp.tid())


@wp.func_native(SHADE_SAMPLES)
def shade_sample_group(
    flagged: wp.array(dtype=wp.int32),
    count: int,
    across: int,
    keys: wp.array(dtype=wp.int64),
    rays: wp.array(dtype=wp.vec2),
    camera_vertices: wp.array(dtype=wp.vec3),
    surfaces: Surfaces,
    finish: wp.array2d(dtype=float),
    width: float,
    light: wp.vec3,
    radiance: wp.array(dtype=wp.vec3),
    group: int,
): ...


@wp.kernel
def shade_samples(
    flagged: wp.array(dtype=wp.int32),
    count: int,
    across: int,
    keys: wp.array(dtype=wp.int64),  # of the samples of each flagged pixel in turn
    rays: wp.array(dtype=wp.vec2),  # of the samples of each pixel in turn
    camera_vertices: wp.array(dtype=wp.vec3),
    surfaces: Surfaces,
    finish: wp.array2d(dtype=float),
    width: float,
    light: wp.vec3,
    radiance: wp.array(dtype=wp.vec3),
):
    """The mean radiance of the samples of each flagged pixel."""
    shade_sample_group(
        flagged, count, across, keys, rays, camera_vertices, surfaces, finish, width, light, radiance, wp.tid()
    )
