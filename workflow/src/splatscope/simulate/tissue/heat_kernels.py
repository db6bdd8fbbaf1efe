"""Heat in tissue: conduction, perfusion, thermal damage, drying, and what these do to the material; and the stress that
tears it. Runs on the CPU and on CUDA alike."""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

ARRHENIUS_LOG_RATE = wp.constant(91.8012)  # ln(7.39e39 / s) and
ARRHENIUS_KELVIN = wp.constant(30996.0)  # 2.577e5 J/mol over the gas constant: liver (Chang & Nguyen 2004)


@wp.kernel
def conduct(
    tets: wp.array(dtype=wp.vec4i),
    inverse_rest: wp.array(dtype=wp.mat33),
    conductance: wp.array(dtype=float),  # W mm^2/K: conductivity times volume; 0 where the tetrahedron is gone
    temperature: wp.array(dtype=float),
    flow: wp.array(dtype=wp.vec3),
):
    """Conductance times the gradient of temperature in each linear tetrahedron."""
    tet = wp.tid()
    corners = tets[tet]
    t0 = temperature[corners[0]]
    rise = wp.vec3(temperature[corners[1]] - t0, temperature[corners[2]] - t0, temperature[corners[3]] - t0)
    flow[tet] = wp.transpose(inverse_rest[tet]) * rise * conductance[tet]


@wp.kernel
def warm(
    inverse_rest: wp.array(dtype=wp.mat33),
    flow: wp.array(dtype=wp.vec3),
    entry_starts: wp.array(dtype=wp.int32),
    entries: wp.array(dtype=wp.int32),  # tetrahedron * 4 + corner
    heat_capacity: wp.array(dtype=float),  # J/K of each vertex
    water_heat: wp.array(dtype=float),  # J that boil off all the water of each vertex
    supplied: wp.array(dtype=float),  # J brought by instruments in this interval
    body_temperature: float,
    perfusion: float,  # 1/s
    boiling: float,
    duration: float,
    temperature: wp.array(dtype=float),
    damage: wp.array(dtype=float),
    dried: wp.array(dtype=float),
):
    """Explicit step of the bioheat equation (Pennes 1948) with Arrhenius damage; beyond boiling heat dries it."""
    vertex = wp.tid()
    capacity = heat_capacity[vertex]
    if capacity == 0.0:
        return
    power = wp.float32(0.0)
    for at in range(entry_starts[vertex], entry_starts[vertex + 1]):
        tet, corner = entries[at] // 4, entries[at] % 4
        rest = inverse_rest[tet]
        slope = -(rest[0] + rest[1] + rest[2])
        if corner > 0:
            slope = rest[corner - 1]
        power -= wp.dot(slope, flow[tet])
    now = temperature[vertex]
    now += (power * duration + supplied[vertex]) / capacity + (body_temperature - now) * perfusion * duration
    if now > boiling:
        dried[vertex] = dried[vertex] + (now - boiling) * capacity / water_heat[vertex]
        now = boiling
    now = wp.max(now, wp.min(body_temperature, temperature[vertex]))
    temperature[vertex] = now
    damage[vertex] = damage[vertex] + duration * wp.exp(ARRHENIUS_LOG_RATE - ARRHENIUS_KELVIN / (now + 273.15))


@wp.kernel
def set_material(
    tets: wp.array(dtype=wp.vec4i),
    raw_inverse_rest: wp.array(dtype=wp.mat33),
    raw_compliance: wp.array(dtype=wp.vec2),
    burn: wp.array(dtype=float),
    shrinkage: float,
    stiffening: float,
    inverse_rest: wp.array(dtype=wp.mat33),
    compliance: wp.array(dtype=wp.vec2),
):
    """Coagulated tissue contracts and stiffens."""
    tet = wp.tid()
    corners = tets[tet]
    burnt = 0.25 * (
        wp.min(burn[corners[0]], 1.0)
        + wp.min(burn[corners[1]], 1.0)
        + wp.min(burn[corners[2]], 1.0)
        + wp.min(burn[corners[3]], 1.0)
    )
    length = 1.0 - shrinkage * burnt
    inverse_rest[tet] = raw_inverse_rest[tet] / length
    compliance[tet] = raw_compliance[tet] / ((1.0 + stiffening * burnt) * length * length * length)


@wp.kernel
def measure_stress(
    positions: wp.array(dtype=wp.vec3),
    tets: wp.array(dtype=wp.vec4i),
    inverse_rest: wp.array(dtype=wp.mat33),
    compliance: wp.array(dtype=wp.vec2),
    volume: wp.array(dtype=float),
    strength: wp.array(dtype=float),  # Pa
    smoothing: float,
    load: wp.array(dtype=float),
):
    """Running mean of the greatest principal stress over the strength; Cauchy's stress is
    (mu / J) F F^T + lambda (J - 1 - mu / lambda). Far below the strength an upper bound of it does."""
    tet = wp.tid()
    soft = compliance[tet]
    if soft[0] == 0.0:
        load[tet] = 0.0
        return
    corners = tets[tet]
    x0 = positions[corners[0]]
    edges = wp.matrix_from_cols(positions[corners[1]] - x0, positions[corners[2]] - x0, positions[corners[3]] - x0)
    f = edges * inverse_rest[tet]
    jacobian = wp.max(wp.determinant(f), 0.1)
    b = f * wp.transpose(f)
    mu = 1.0 / (soft[0] * volume[tet] * strength[tet])
    pressure = (jacobian - 1.0) / (soft[1] * volume[tet] * strength[tet]) - mu
    # largest eigenvalue of a symmetric matrix in closed form (Smith 1961)
    mean = wp.trace(b) / 3.0
    d = b - wp.identity(n=3, dtype=float) * mean
    spread = wp.sqrt(wp.max(wp.ddot(d, d) / 6.0, 1.0e-12))
    now = mu / jacobian * (mean + 2.0 * spread) + pressure
    if now > 0.5:
        half = wp.clamp(wp.determinant(d / spread) * 0.5, -1.0, 1.0)
        now = mu / jacobian * (mean + 2.0 * spread * wp.cos(wp.acos(half) / 3.0)) + pressure
    load[tet] = load[tet] + (now - load[tet]) * smoothing
