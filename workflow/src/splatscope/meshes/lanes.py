"""What the CPU's wide kernels share: pixels side by side in the lanes of the vector registers.

The kernels are native code in Clang's extended vectors, which Warp's own compiler turns into whatever the processor
has. CUDA runs the plain kernels, which compute the same and which the tests hold the wide ones against.
"""

LANES = 16  # pixels of a group
PADDING = 2 * LANES  # elements behind the last pixel of a buffer that a wide kernel may read, and write back unchanged


def _every(step: int, start: int = 0) -> str:
    return ", ".join(str(start + step * lane) for lane in range(LANES))


_WOVEN = ", ".join(str(lane + LANES * part) for lane in range(LANES) for part in range(3))
_PADDED = ", ".join(str(lane) for lane in range(LANES)) + ", -1" * LANES
_ALL = ", ".join(str(lane) for lane in range(2 * LANES))

LANE_TYPES = (
    f"constexpr int LANES = {LANES};"
    + """
    typedef float Lanes __attribute__((ext_vector_type(LANES), aligned(4)));
    typedef int Ints __attribute__((ext_vector_type(LANES), aligned(4)));
    typedef unsigned Naturals __attribute__((ext_vector_type(LANES), aligned(4)));
    typedef bool Bits __attribute__((ext_vector_type(LANES)));
    typedef float Two __attribute__((ext_vector_type(2 * LANES), aligned(4)));
    typedef float Three __attribute__((ext_vector_type(3 * LANES), aligned(4)));
    typedef float Eight __attribute__((ext_vector_type(8), aligned(4)));
    struct Vec { Lanes x, y, z; };

    auto bits_of = [](Ints mask) -> unsigned {
        return __builtin_bit_cast(unsigned short, __builtin_convertvector(mask, Bits));
    };
    auto floats = [](Ints a) { return __builtin_convertvector(a, Lanes); };
    auto ints = [](Lanes a) { return __builtin_convertvector(a, Ints); };
    auto as_floats = [](Ints a) { return __builtin_bit_cast(Lanes, a); };
    auto as_ints = [](Lanes a) { return __builtin_bit_cast(Ints, a); };
    auto most = [](Lanes a, Lanes b) { return a > b ? a : b; };
    auto least = [](Lanes a, Lanes b) { return a < b ? a : b; };
    auto clamp = [&](Lanes a, float low, float high) { return least(most(a, (Lanes)low), (Lanes)high); };
    auto root = [](Lanes a) { return __builtin_elementwise_sqrt(a); };
    auto minus = [](Vec a, Vec b) { return Vec{a.x - b.x, a.y - b.y, a.z - b.z}; };
    auto times = [](Vec a, Lanes s) { return Vec{a.x * s, a.y * s, a.z * s}; };
    auto moved = [](Vec a, Vec b, Lanes s) { return Vec{a.x + b.x * s, a.y + b.y * s, a.z + b.z * s}; };
    auto cross = [](Vec a, Vec b) {
        return Vec{a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
    };
    auto dot = [](Vec a, Vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; };
    auto unit = [&](Vec a) { return times(a, 1.0f / root(dot(a, a))); };
"""
    + f"""
    auto pairs = [](const float* at, Lanes& x, Lanes& y) {{
        const Two both = *(const Two*)at;
        x = __builtin_shufflevector(both, both, {_every(2)});
        y = __builtin_shufflevector(both, both, {_every(2, 1)});
    }};
    auto triples = [](const float* at) {{
        const Three all = *(const Three*)at;
        return Vec{{__builtin_shufflevector(all, all, {_every(3)}), __builtin_shufflevector(all, all, {_every(3, 1)}),
                   __builtin_shufflevector(all, all, {_every(3, 2)})}};
    }};
    auto put_triples = [](float* at, Vec v) {{
        const Two two = __builtin_shufflevector(v.x, v.y, {_ALL});
        const Two third = __builtin_shufflevector(v.z, v.z, {_PADDED});
        *(Three*)at = __builtin_shufflevector(two, third, {_WOVEN});
    }};
    auto columns_of = [](const Eight* rows, Lanes* columns) {{ // rows [LANES] of eight numbers
        Eight sides[2][8];
        #pragma clang loop unroll(full)
        for (int side = 0; side < 2; ++side) {{
            Eight a[8], b[8];
            #pragma clang loop unroll(full)
            for (int k = 0; k < 8; k += 2) {{
                const Eight p = rows[8 * side + k], q = rows[8 * side + k + 1];
                a[k] = __builtin_shufflevector(p, q, 0, 8, 1, 9, 4, 12, 5, 13);
                a[k + 1] = __builtin_shufflevector(p, q, 2, 10, 3, 11, 6, 14, 7, 15);
            }}
            #pragma clang loop unroll(full)
            for (int k = 0; k < 8; k += 4) {{
                b[k] = __builtin_shufflevector(a[k], a[k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
                b[k + 1] = __builtin_shufflevector(a[k], a[k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
                b[k + 2] = __builtin_shufflevector(a[k + 1], a[k + 3], 0, 1, 8, 9, 4, 5, 12, 13);
                b[k + 3] = __builtin_shufflevector(a[k + 1], a[k + 3], 2, 3, 10, 11, 6, 7, 14, 15);
            }}
            #pragma clang loop unroll(full)
            for (int k = 0; k < 4; ++k) {{
                sides[side][k] = __builtin_shufflevector(b[k], b[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
                sides[side][k + 4] = __builtin_shufflevector(b[k], b[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
            }}
        }}
        #pragma clang loop unroll(full)
        for (int k = 0; k < 8; ++k)
            columns[k] = __builtin_shufflevector(sides[0][k], sides[1][k], {_every(1)});
    }};
"""
)

# for snippets with keys, a group, faces and the vertices before the camera
SEEN_TRIANGLES = """
    auto triangles_of = [](const wp::int64* keys, int* triangles, Lanes& depth) -> unsigned {
        unsigned seen = 0;
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; ++lane)
            seen |= (unsigned)(keys[lane] >= 0) << lane;
        if (!seen)
            return 0;
        const wp::int64 some = keys[__builtin_ctz(seen)];  // stands where nothing is seen
        Ints reciprocal;
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; ++lane) {
            const wp::int64 key = keys[lane] >= 0 ? keys[lane] : some;
            triangles[lane] = (int)(key & 0x7fffffff);
            reciprocal[lane] = (int)(key >> 32);
        }
        depth = 1.0f / __builtin_bit_cast(Lanes, reciprocal);
        return seen;
    };
"""

CORNER_WEIGHTS = """
    auto corner_weights = [&](const int* triangles, const int* corners, const float* vertices, Lanes x, Lanes y) {
        auto gather = [&](int corner) {
            Vec v;
            #pragma clang loop unroll(full)
            for (int lane = 0; lane < LANES; ++lane) {
                const float* p = vertices + 3 * corners[3 * triangles[lane] + corner];
                v.x[lane] = p[0]; v.y[lane] = p[1]; v.z[lane] = p[2];
            }
            return v;
        };
        const Vec a = gather(0), b = minus(gather(1), a), c = minus(gather(2), a);
        const Vec normal = cross(b, c), ray = {x, y, (Lanes)1.0f};
        const Vec point = minus(times(ray, dot(a, normal) / dot(ray, normal)), a);
        const Lanes scale = 1.0f / dot(normal, normal);
        const Lanes second = dot(cross(point, c), normal) * scale, third = dot(cross(b, point), normal) * scale;
        return Vec{1.0f - second - third, second, third};
    };
"""
