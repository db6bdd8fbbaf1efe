"""The elastic solver. Runs on the CPU and on CUDA alike; `wide_solver` is the CPU's fast path of `solve_neo_hookean`.

Extended position-based dynamics with small steps and one iteration each (Macklin et al. 2019, "Small steps in physics
simulation"), the tetrahedra in Gauss-Seidel order by colour. Length mm, mass g, time s.
"""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.kernel
def predict(
    positions: wp.array(dtype=wp.vec3),
    previous: wp.array(dtype=wp.vec3),
    weight: wp.array(dtype=float),  # share of gravity that the vertex feels; 0: fixed
    kept: float,  # share of the last step's displacement that inertia repeats
    farthest: float,  # mm that a vertex moves by inertia in one step
    fall: wp.vec3,  # mm, gravity times the step squared
):
    """Inertia and gravity. The velocity is not stored: it is the displacement over the last step."""
    vertex = wp.tid()
    here = positions[vertex]
    moved = here - previous[vertex]
    previous[vertex] = here
    share = weight[vertex]
    if share > 0.0:
        squared = wp.length_sq(moved)
        if squared > farthest * farthest:
            moved = moved * (farthest / wp.sqrt(squared))
        positions[vertex] = here + moved * kept + fall * share


GROUP = 8  # tetrahedra side by side in memory; those of a group have one colour
# What a tetrahedron's solve needs beside positions: the inverse rest shape row by row (9), the symmetric M (6: 00 11 22
# 01 02 12), -alpha / theta, 1 / theta, mu / lambda, the inverse masses of the corners (4). See solve_neo_hookean.
NUMBERS = 22


@wp.kernel
def pack_tets(
    places: wp.array(dtype=wp.int32),  # to be filled: group * GROUP + place in the group
    tet_at: wp.array(dtype=wp.int32),  # tetrahedron of each place
    inverse_mass: wp.array(dtype=float),
    tets: wp.array(dtype=wp.vec4i),
    inverse_rest: wp.array(dtype=wp.mat33),
    compliance: wp.array(dtype=wp.vec2),  # 1 / (mu volume), 1 / (lambda volume); 0 where the tetrahedron is gone
    per_step_squared: float,  # 1/s^2
    corners: wp.array3d(dtype=wp.int32),  # [groups, 4, GROUP]
    numbers: wp.array3d(dtype=float),  # [groups, NUMBERS, GROUP]
):
    """What each tetrahedron's solve needs beside positions; numbers with which one that is gone does nothing."""
    place = places[wp.tid()]
    tet, group, lane = tet_at[place], place // GROUP, place % GROUP
    vertices, rest, soft = tets[tet], inverse_rest[tet], compliance[tet]
    for corner in range(4):
        corners[group, corner, lane] = vertices[corner]
    alpha = soft[0] * per_step_squared
    if alpha == 0.0:
        for k in range(NUMBERS):
            numbers[group, k, lane] = 0.0
        numbers[group, 17, lane] = 1.0
        return
    g0 = -(rest[0] + rest[1] + rest[2])
    a = wp.outer(g0, g0) * inverse_mass[vertices[0]]
    for corner in range(3):
        a += wp.outer(rest[corner], rest[corner]) * inverse_mass[vertices[corner + 1]]
    size = wp.trace(a) / 3.0
    theta = 1.0 + size / (size + alpha)
    m = wp.inverse(a * theta + wp.identity(n=3, dtype=float) * alpha)
    for row in range(3):
        for column in range(3):
            numbers[group, 3 * row + column, lane] = rest[row, column]
        numbers[group, 9 + row, lane] = m[row, row]
    numbers[group, 12, lane] = m[0, 1]
    numbers[group, 13, lane] = m[0, 2]
    numbers[group, 14, lane] = m[1, 2]
    numbers[group, 15, lane] = -alpha / theta
    numbers[group, 16, lane] = 1.0 / theta
    numbers[group, 17, lane] = soft[1] / soft[0]
    for corner in range(4):
        numbers[group, 18 + corner, lane] = inverse_mass[vertices[corner]]


@wp.kernel
def solve_neo_hookean(
    positions: wp.array(dtype=wp.vec3),
    corners: wp.array3d(dtype=wp.int32),
    numbers: wp.array3d(dtype=float),
    first: int,  # place
):
    """One XPBD iteration of stable Neo-Hookean tetrahedra: energy mu / 2 |F|^2 + lambda / 2 (det F - 1 - mu / lambda)^2
    (Macklin & Mueller 2021, equations 8 to 11).

    Its two constraints |F| and det F - 1 - mu / lambda pull against each other even at rest, and the first is blind to
    shear: solved one after the other, stiff tissue swells and shakes. Here the nine components of F (compliance
    1 / (mu volume) each) and the volume are a block of ten constraints, solved together as by Ton-That, Kry & Andrews
    2023. With A the sum of w g g^T over the corners' rest gradients g, alpha the step's compliance of F,
    M = (alpha + theta A)^-1, N = A M and C the cofactors of F, the block solve comes to
        k = (1 + mu / lambda - det F + F : C N) / (mu / lambda + C : C N),   dx = w (k C - F) M g.
    theta 1 is Gauss-Newton. The true stiffness against shear is twice that, as the volume term adds its curvature:
    theta goes to 2 where the tetrahedron is stiff for its mass and the step, or corrections would overshoot. Linear
    momentum is kept; angular momentum dies away slowly where tissue vibrates, as F alone is not blind to rotation.
    """
    place = wp.tid() + first
    at, lane = place // GROUP, place % GROUP
    i0, i1, i2, i3 = corners[at, 0, lane], corners[at, 1, lane], corners[at, 2, lane], corners[at, 3, lane]
    b00, b01, b02 = numbers[at, 0, lane], numbers[at, 1, lane], numbers[at, 2, lane]
    b10, b11, b12 = numbers[at, 3, lane], numbers[at, 4, lane], numbers[at, 5, lane]
    b20, b21, b22 = numbers[at, 6, lane], numbers[at, 7, lane], numbers[at, 8, lane]
    m00, m11, m22 = numbers[at, 9, lane], numbers[at, 10, lane], numbers[at, 11, lane]
    m01, m02, m12 = numbers[at, 12, lane], numbers[at, 13, lane], numbers[at, 14, lane]
    beta, scale, ratio = numbers[at, 15, lane], numbers[at, 16, lane], numbers[at, 17, lane]
    x0, x1, x2, x3 = positions[i0], positions[i1], positions[i2], positions[i3]
    e1, e2, e3 = x1 - x0, x2 - x0, x3 - x0
    f0 = e1 * b00 + e2 * b10 + e3 * b20
    f1 = e1 * b01 + e2 * b11 + e3 * b21
    f2 = e1 * b02 + e2 * b12 + e3 * b22
    c0, c1, c2 = wp.cross(f1, f2), wp.cross(f2, f0), wp.cross(f0, f1)
    n01, n02, n12 = beta * m01, beta * m02, beta * m12
    cn0 = c0 * (scale + beta * m00) + c1 * n01 + c2 * n02
    cn1 = c0 * n01 + c1 * (scale + beta * m11) + c2 * n12
    cn2 = c0 * n02 + c1 * n12 + c2 * (scale + beta * m22)
    wanted = 1.0 + ratio - wp.dot(f0, c0) + wp.dot(cn0, f0) + wp.dot(cn1, f1) + wp.dot(cn2, f2)
    k = wanted / (ratio + wp.dot(cn0, c0) + wp.dot(cn1, c1) + wp.dot(cn2, c2))
    p0, p1, p2 = c0 * k - f0, c1 * k - f1, c2 * k - f2
    q0 = p0 * m00 + p1 * m01 + p2 * m02
    q1 = p0 * m01 + p1 * m11 + p2 * m12
    q2 = p0 * m02 + p1 * m12 + p2 * m22
    d1 = q0 * b00 + q1 * b01 + q2 * b02
    d2 = q0 * b10 + q1 * b11 + q2 * b12
    d3 = q0 * b20 + q1 * b21 + q2 * b22
    positions[i0] = x0 - (d1 + d2 + d3) * numbers[at, 18, lane]
    positions[i1] = x1 + d1 * numbers[at, 19, lane]
    positions[i2] = x2 + d2 * numbers[at, 20, lane]
    positions[i3] = x3 + d3 * numbers[at, 21, lane]
