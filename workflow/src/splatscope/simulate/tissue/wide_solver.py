"""The elastic solver on the CPU: a group of tetrahedra at a time, each in a lane of the vector registers.

Tetrahedra of one colour share no vertex, so that solving eight at once is solving them one after the other. Warp's own
compiler does the vectors (Clang's extended vectors, for whatever the processor has); CUDA runs `solve_neo_hookean`,
which computes the same and which the tests hold this against.
"""

import warp as wp

from splatscope.simulate.tissue.solver_kernels import GROUP, NUMBERS

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

SOLVE = (
    f"constexpr int GROUP = {GROUP}, NUMBERS = {NUMBERS};"
    + """
    typedef float Lanes __attribute__((ext_vector_type(GROUP), aligned(4)));
    struct Vec { Lanes x, y, z; };
    const int* at = corners.data + group * 4 * GROUP;
    const Lanes* n = (const Lanes*)(numbers.data + group * NUMBERS * GROUP);
    float* points = (float*)positions.data;

    auto gather = [&](int corner) {
        Vec v;
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < GROUP; ++lane) {
            const float* p = points + 3 * at[corner * GROUP + lane];
            v.x[lane] = p[0]; v.y[lane] = p[1]; v.z[lane] = p[2];
        }
        return v;
    };
    auto scatter = [&](int corner, Vec v) {
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < GROUP; ++lane) {
            float* p = points + 3 * at[corner * GROUP + lane];
            p[0] = v.x[lane]; p[1] = v.y[lane]; p[2] = v.z[lane];
        }
    };
    auto moved = [](Vec a, Vec b, Lanes s) { return Vec{a.x + b.x * s, a.y + b.y * s, a.z + b.z * s}; };
    auto minus = [](Vec a, Vec b) { return Vec{a.x - b.x, a.y - b.y, a.z - b.z}; };
    auto mixed = [](Vec a, Lanes s, Vec b, Lanes t, Vec c, Lanes u) {
        return Vec{a.x * s + b.x * t + c.x * u, a.y * s + b.y * t + c.y * u, a.z * s + b.z * t + c.z * u};
    };
    auto cross = [](Vec a, Vec b) {
        return Vec{a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
    };
    auto dot = [](Vec a, Vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; };

    const Lanes m00 = n[9], m11 = n[10], m22 = n[11], m01 = n[12], m02 = n[13], m12 = n[14];
    const Lanes beta = n[15], scale = n[16], ratio = n[17];
    const Vec x0 = gather(0), x1 = gather(1), x2 = gather(2), x3 = gather(3);
    const Vec e1 = minus(x1, x0), e2 = minus(x2, x0), e3 = minus(x3, x0);
    const Vec f0 = mixed(e1, n[0], e2, n[3], e3, n[6]);
    const Vec f1 = mixed(e1, n[1], e2, n[4], e3, n[7]);
    const Vec f2 = mixed(e1, n[2], e2, n[5], e3, n[8]);
    const Vec c0 = cross(f1, f2), c1 = cross(f2, f0), c2 = cross(f0, f1);
    const Lanes n01 = beta * m01, n02 = beta * m02, n12 = beta * m12;
    const Vec cn0 = mixed(c0, scale + beta * m00, c1, n01, c2, n02);
    const Vec cn1 = mixed(c0, n01, c1, scale + beta * m11, c2, n12);
    const Vec cn2 = mixed(c0, n02, c1, n12, c2, scale + beta * m22);
    const Lanes wanted = 1.0f + ratio - dot(f0, c0) + dot(cn0, f0) + dot(cn1, f1) + dot(cn2, f2);
    const Lanes k = wanted / (ratio + dot(cn0, c0) + dot(cn1, c1) + dot(cn2, c2));
    const Vec p0 = {c0.x * k - f0.x, c0.y * k - f0.y, c0.z * k - f0.z};
    const Vec p1 = {c1.x * k - f1.x, c1.y * k - f1.y, c1.z * k - f1.z};
    const Vec p2 = {c2.x * k - f2.x, c2.y * k - f2.y, c2.z * k - f2.z};
    const Vec q0 = mixed(p0, m00, p1, m01, p2, m02);
    const Vec q1 = mixed(p0, m01, p1, m11, p2, m12);
    const Vec q2 = mixed(p0, m02, p1, m12, p2, m22);
    const Vec d1 = mixed(q0, n[0], q1, n[1], q2, n[2]);
    const Vec d2 = mixed(q0, n[3], q1, n[4], q2, n[5]);
    const Vec d3 = mixed(q0, n[6], q1, n[7], q2, n[8]);
    const Vec d0 = {d1.x + d2.x + d3.x, d1.y + d2.y + d3.y, d1.z + d2.z + d3.z};
    scatter(0, moved(x0, d0, -n[18]));
    scatter(1, moved(x1, d1, n[19]));
    scatter(2, moved(x2, d2, n[20]));
    scatter(3, moved(x3, d3, n[21]));
"""
)


@wp.func_native(SOLVE)
def solve_group(
    positions: wp.array(dtype=wp.vec3),
    corners: wp.array3d(dtype=wp.int32),
    numbers: wp.array3d(dtype=float),
    group: int,
): ...


@wp.kernel
def solve_groups(
    positions: wp.array(dtype=wp.vec3),
    corners: wp.array3d(dtype=wp.int32),  # [groups, 4, GROUP], contiguous; a place without a tetrahedron repeats one
    numbers: wp.array3d(dtype=float),  # [groups, NUMBERS, GROUP], contiguous, as pack_tets makes them
):
    """What `solve_neo_hookean` does, for all tetrahedra in the order of the groups."""
    solve_group(positions, corners, numbers, wp.tid())
