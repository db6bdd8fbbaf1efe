"""The light that comes back from a group of points: native code, in lanes (see `lanes`), for `wide_shading`.

It computes what `radiance_at` of `shading_kernels` does and is read best beside it.
"""

from splatscope.meshes.lanes import LANE_TYPES, SEEN_TRIANGLES
from splatscope.meshes.shading_kernels import TEXEL_UNIT

FINISH = 24  # numbers a part: those of its SurfaceStyle, its rotation before the camera row by row, three of no meaning

RADIANCE = (
    LANE_TYPES
    + SEEN_TRIANGLES
    + f"constexpr int FINISH = {FINISH}; constexpr float TEXEL_UNIT = {TEXEL_UNIT}f;"
    + """
    typedef short Shorts __attribute__((ext_vector_type(8), aligned(2)));
    enum { NORMAL = 0, TEXTURE = 3, REST_NORMAL = 6, TINT = 9, OPENNESS = 12, BURN, BLOOD };  // of a Record
    enum { TILE, TILE_PX, LAST_LEVEL, PROJECTIONS, TILE_U_MM, TILE_V_MM, ROUGHNESS, REFLECTANCE, FILM_REFLECTANCE,
           FILM_ROUGHNESS, BUMP, SCATTER, ROTATION };  // of a part
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
        const Ints tile_px = as_ints(f[TILE_PX]), last_level = as_ints(f[LAST_LEVEL]);
        const Vec ray = {x, y, (Lanes)1.0f};
        const Vec normal = unit(Vec{here[NORMAL], here[NORMAL + 1], here[NORMAL + 2]});
        const Lanes wide_mm = width * depth / root(most(-dot(normal, ray), (Lanes)0.05f));
        const Lanes texels_wide = wide_mm * floats(tile_px) / f[TILE_U_MM];
        Lanes spread = 1.0f + texels_wide * texels_wide / 3.0f;
        Ints level = ((as_ints(spread) >> 23) - 127) >> 1;
        level = level < last_level ? level : last_level;
        spread *= as_floats((127 - 2 * level) << 23);
        Lanes share = clamp(0.5f * spread - 0.75f, 0.0f, 1.0f);
        share = level == last_level ? (Lanes)0.0f : share;

        const Lanes place_x = here[TEXTURE] / f[TILE_U_MM], place_y = here[TEXTURE + 1] / f[TILE_V_MM];
        const Lanes place_z = here[TEXTURE + 2] / f[TILE_U_MM];
        const Ints projected = as_ints(f[PROJECTIONS]) == 3;
        Vec across = {here[REST_NORMAL], here[REST_NORMAL + 1], here[REST_NORMAL + 2]};
        across = {across.x * across.x, across.y * across.y, across.z * across.z};
        across = {across.x * across.x, across.y * across.y, across.z * across.z};
        const Lanes fifth = 0.2f * (across.x + across.y + across.z), none = (Lanes)0.0f;
        across = {most(across.x - fifth, none), most(across.y - fifth, none), most(across.z - fifth, none)};
        const Lanes whole = 1.0f / (across.x + across.y + across.z);
        const Lanes shares[3] = {projected ? across.z * whole : (Lanes)1.0f, projected ? across.y * whole : none,
                                 projected ? across.x * whole : none};
        Eight looks[LANES] = {};  // albedo, gloss, slopes in the axes of the object at rest
        const Ints layer = as_ints(f[TILE]) * (int)surfaces.tiles.shape[1];
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

        const Lanes burn = here[BURN], blood = here[BLOOD];
        Vec body = {look[0] * here[TINT], look[1] * here[TINT + 1], look[2] * here[TINT + 2]};
        Lanes gloss = look[3], bump = f[BUMP], film = f[FILM_REFLECTANCE];
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
        const Vec lean = {(f[ROTATION] * look[4] + f[ROTATION + 1] * look[5] + f[ROTATION + 2] * look[6]) * bump,
                          (f[ROTATION + 3] * look[4] + f[ROTATION + 4] * look[5] + f[ROTATION + 5] * look[6]) * bump,
                          (f[ROTATION + 6] * look[4] + f[ROTATION + 7] * look[5] + f[ROTATION + 8] * look[6]) * bump};
        const Vec bumped = unit(moved(minus(normal, lean), normal, dot(lean, normal)));
        const Lanes stretch = dot(ray, ray);
        const Vec view = times(ray, -1.0f / root(stretch));
        const Lanes power = light[0] / (depth * depth * stretch * (1.0f + light[2] * (stretch - 1.0f)));
        const Lanes facing = clamp(dot(bumped, view), 0.02f, 1.0f);
        const Lanes film_facing = clamp(dot(unit(moved(normal, bumped, (Lanes)1.2f)), view), 0.02f, 1.0f);
        const Lanes wrapped = (facing + f[SCATTER]) / (1.0f + f[SCATTER]), rim = 1.0f - facing, open = here[OPENNESS];
        Lanes mirrored = highlight(facing, f[ROUGHNESS]) * f[REFLECTANCE] * gloss * (1.0f + rim * rim);
        mirrored += highlight(film_facing, f[FILM_ROUGHNESS]) * film * gloss;
        const Lanes lit = power * (0.45f + 0.55f * open) * wrapped + light[1] * open;
        const Lanes shine = least(mirrored, (Lanes)4.0f) * power * open;
        return Vec{body.x * lit + shine, body.y * lit + 0.98f * shine, body.z * lit + 0.95f * shine};
    };
"""
)
