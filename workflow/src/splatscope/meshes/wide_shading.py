"""Shading on the CPU, a group of pixels or samples at a time: what `shading_kernels` does, in lanes (see `lanes`)."""

import warp as wp

from splatscope.meshes.lanes import CORNER_WEIGHTS, LANE_TYPES, LANES, SEEN_TRIANGLES
from splatscope.meshes.shading_kernels import CONTRAST, DARK, TEXEL_UNIT, Surfaces

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

FINISH = 24  # numbers a part, see `finishes`

RADIANCE = (
    LANE_TYPES
    + SEEN_TRIANGLES
    + f"constexpr int FINISH = {FINISH}; constexpr float TEXEL_UNIT = {TEXEL_UNIT}f;"
    + """
    typedef short Shorts __attribute__((ext_vector_type(8), aligned(2)));
    const float* records = (const float*)surfaces.records.data;
    const short* texels = (const short*)surfaces.tiles.data;
    const int* corners = surfaces.faces.data;
    const int* parts = surfaces.face_part.data;

    auto texel = [&](int at) { return __builtin_convertvector(*(const Shorts*)(texels + 8l * at), Eight); };
    auto row_part = [](Ints row, Ints size) { return (row >> 2) * (size << 2) + ((row & 3) << 2); };
    auto column_part = [](Ints column) { return ((column >> 2) << 4) + (column & 3); };
    auto highlight = [&](Lanes facing, Lanes roughness) {
        const Lanes squared = roughness * roughness, spread = facing * facing * (squared - 1.0f) + 1.0f;
        return squared / (spread * spread) * 0.25f / most(facing, (Lanes)0.25f);
    };
    auto blend = [](Lanes a, Lanes b, Lanes share) { return a * (1.0f - share) + b * share; };

    // `weight`(lane, corner): what each corner of the triangles counts
    auto radiance_at = [&](const int* triangles, auto weight, Lanes x, Lanes y, Lanes depth) {
        Eight low[LANES], high[LANES];
        const float* own[LANES];
        bool alike = true;
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; ++lane) {
            const int* corner = corners + 3 * triangles[lane];
            const Eight* a = (const Eight*)(records + 16l * corner[0]);
            const Eight* b = (const Eight*)(records + 16l * corner[1]);
            const Eight* c = (const Eight*)(records + 16l * corner[2]);
            low[lane] = a[0] * weight(lane, 0) + b[0] * weight(lane, 1) + c[0] * weight(lane, 2);
            high[lane] = a[1] * weight(lane, 0) + b[1] * weight(lane, 1) + c[1] * weight(lane, 2);
            own[lane] = finish.data + FINISH * parts[triangles[lane]];
            alike &= own[lane] == own[0];
        }
        Lanes here[16], f[FINISH];
        columns_of(low, here);
        columns_of(high, here + 8);
        if (alike) {
            #pragma clang loop unroll(full)
            for (int k = 0; k < FINISH; ++k)
                f[k] = (Lanes)own[0][k];
        } else {
            #pragma clang loop unroll(full)
            for (int k = 0; k < FINISH; k += 8) {
                Eight rows[LANES];
                #pragma clang loop unroll(full)
                for (int lane = 0; lane < LANES; ++lane)
                    rows[lane] = *(const Eight*)(own[lane] + k);
                columns_of(rows, f + k);
            }
        }
        const Ints tile_px = as_ints(f[1]), last_level = as_ints(f[2]);
        const Vec ray = {x, y, (Lanes)1.0f};
        const Vec normal = unit(Vec{here[0], here[1], here[2]});
        const Lanes texels_wide = width * depth / root(most(-dot(normal, ray), (Lanes)0.05f)) * floats(tile_px) / f[4];
        Lanes spread = 1.0f + texels_wide * texels_wide / 3.0f;
        Ints level = ((as_ints(spread) >> 23) - 127) >> 1;
        level = level < last_level ? level : last_level;
        spread *= as_floats((127 - 2 * level) << 23);
        Lanes share = clamp(0.5f * spread - 0.75f, 0.0f, 1.0f);
        share = level == last_level ? (Lanes)0.0f : share;

        const Lanes place_x = here[3] / f[4], place_y = here[4] / f[5], place_z = here[5] / f[4];
        const Ints projected = as_ints(f[3]) == 3;
        Vec across = {here[6] * here[6], here[7] * here[7], here[8] * here[8]};
        across = {across.x * across.x, across.y * across.y, across.z * across.z};
        const Lanes fifth = 0.2f * (across.x + across.y + across.z), none = (Lanes)0.0f;
        across = {most(across.x - fifth, none), most(across.y - fifth, none), most(across.z - fifth, none)};
        const Lanes whole = 1.0f / (across.x + across.y + across.z);
        const Lanes shares[3] = {projected ? across.z * whole : (Lanes)1.0f, projected ? across.y * whole : none,
                                 projected ? across.x * whole : none};
        Eight looks[LANES] = {};  // albedo, gloss, slopes in the axes of the object at rest
        const Ints layer = as_ints(f[0]) * (int)surfaces.tiles.shape[1];
        #pragma clang loop unroll(full)
        for (int axis = 0; axis < 3; ++axis) {
            const Lanes u = axis == 0 ? place_x : axis == 1 ? place_x + 0.71f : place_y + 0.37f;
            const Lanes v = axis == 0 ? place_y : axis == 1 ? place_z + 0.23f : place_z;
            if (!bits_of(shares[axis] > 0.0f))
                continue;
            #pragma clang loop unroll(full)
            for (int step = 0; step < 2; ++step) {
                const Lanes counts = shares[axis] * (step == 0 ? 1.0f - share : share);
                unsigned waiting = bits_of(counts > 0.0f);
                if (!waiting)
                    continue;
                const Ints size = tile_px >> (level + step), mask = size - 1;
                const Lanes shift = 0.5f - as_floats((126 - level - step) << 23);
                const Lanes column_at = u * floats(size) - shift, row_at = v * floats(size) - shift;
                const Lanes left = __builtin_elementwise_floor(column_at), top = __builtin_elementwise_floor(row_at);
                const Lanes right = column_at - left, below = row_at - top;
                const Ints column = ints(left) & mask, row = ints(top) & mask;
                const Ints columns[2] = {column_part(column), column_part((column + 1) & mask)};
                const Naturals before = __builtin_bit_cast(Naturals, tile_px * tile_px - size * size);
                const Naturals third = before * 0xaaaaaaabu;  // the inverse of 3 modulo 2^32
                const Ints first = layer + __builtin_bit_cast(Ints, third * 4u);
                const Ints rows[2] = {first + row_part(row, size), first + row_part((row + 1) & mask, size)};
                const Lanes upper = counts * (1.0f - below), lower = counts * below;
                Ints at[4] = {rows[0] + columns[0], rows[0] + columns[1], rows[1] + columns[0], rows[1] + columns[1]};
                Lanes by[4] = {upper * (1.0f - right), upper * right, lower * (1.0f - right), lower * right};
                const int* t = (const int*)at;
                const float* w = (const float*)by;
                while (waiting) {
                    const int lane = __builtin_ctz(waiting);
                    waiting &= waiting - 1;
                    Eight look = texel(t[lane]) * w[lane] + texel(t[LANES + lane]) * w[LANES + lane]
                        + texel(t[2 * LANES + lane]) * w[2 * LANES + lane]
                        + texel(t[3 * LANES + lane]) * w[3 * LANES + lane];
                    if (axis == 1)
                        look = __builtin_shufflevector(look, look, 0, 1, 2, 3, 4, 6, 5, 7);
                    if (axis == 2)
                        look = __builtin_shufflevector(look, look, 0, 1, 2, 3, 6, 4, 5, 7);
                    looks[lane] += look;
                }
            }
        }
        Lanes look[8];
        columns_of(looks, look);
        #pragma clang loop unroll(full)
        for (int k = 0; k < 7; ++k)
            look[k] *= TEXEL_UNIT;

        const Lanes burn = here[13], blood = here[14];
        Vec body = {look[0] * here[9], look[1] * here[10], look[2] * here[11]};
        Lanes gloss = look[3], bump = f[10], film = f[8];
        if (bits_of(burn > 0.0f)) {
            const Lanes grain = 0.6f + 1.1f * (look[0] + look[1] + look[2]);
            const Lanes pale = clamp(burn * 1.5f, 0.0f, 1.0f), brown = clamp((burn - 0.55f) * 2.5f, 0.0f, 1.0f);
            const Lanes coal = clamp((burn - 0.85f) * 3.0f, 0.0f, 1.0f);
            body = {blend(body.x, 0.46f * grain, pale), blend(body.y, 0.36f * grain, pale),
                    blend(body.z, 0.25f * grain, pale)};
            body = {blend(body.x, 0.16f * grain, brown), blend(body.y, 0.085f * grain, brown),
                    blend(body.z, 0.04f * grain, brown)};
            body = {blend(body.x, 0.022f * grain, coal), blend(body.y, 0.017f * grain, coal),
                    blend(body.z, 0.014f * grain, coal)};
            film *= 1.0f - 0.8f * pale;
            gloss *= 1.0f - 0.6f * pale;
            bump *= 1.0f + 1.2f * pale;
        }
        if (bits_of(blood > 0.0f)) {
            const Lanes wet = clamp(blood * 4.0f - 1.5f, 0.0f, 1.0f), thin = 1.15f - 0.4f * blood;
            body = {blend(body.x, 0.20f * thin, wet), blend(body.y, 0.010f * thin, wet),
                    blend(body.z, 0.008f * thin, wet)};
            film = blend(film, (Lanes)0.05f, wet);
            gloss = blend(gloss, (Lanes)1.0f, wet);
            bump *= 1.0f - 0.8f * wet;
        }
        const Vec lean = {(f[12] * look[4] + f[13] * look[5] + f[14] * look[6]) * bump,
                          (f[15] * look[4] + f[16] * look[5] + f[17] * look[6]) * bump,
                          (f[18] * look[4] + f[19] * look[5] + f[20] * look[6]) * bump};
        const Vec bumped = unit(moved(minus(normal, lean), normal, dot(lean, normal)));
        const Lanes stretch = dot(ray, ray);
        const Vec view = times(ray, -1.0f / root(stretch));
        const Lanes power = light[0] / (depth * depth * stretch * (1.0f + light[2] * (stretch - 1.0f)));
        const Lanes facing = clamp(dot(bumped, view), 0.02f, 1.0f);
        const Lanes film_facing = clamp(dot(unit(moved(normal, bumped, (Lanes)1.2f)), view), 0.02f, 1.0f);
        const Lanes wrapped = (facing + f[11]) / (1.0f + f[11]), rim = 1.0f - facing, open = here[12];
        Lanes mirrored = highlight(facing, f[6]) * f[7] * gloss * (1.0f + rim * rim);
        mirrored += highlight(film_facing, f[9]) * film * gloss;
        const Lanes lit = power * (0.45f + 0.55f * open) * wrapped + light[1] * open;
        const Lanes shine = least(mirrored, (Lanes)4.0f) * power * open;
        return Vec{body.x * lit + shine, body.y * lit + 0.98f * shine, body.z * lit + 0.95f * shine};
    };
"""
)

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
