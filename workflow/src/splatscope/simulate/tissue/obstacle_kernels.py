"""Contact of tissue with rigid surroundings given as a sampled distance field, and the search for what may touch.
Runs on the CPU and on CUDA alike."""

import warp as wp

from splatscope.simulate.tissue.contact_kernels import with_friction

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.func
def sample(grid: wp.array3d(dtype=float), cell: wp.vec3) -> wp.vec4:
    """Trilinear value and its gradient per cell; beyond the grid those of its border."""
    x = wp.clamp(cell[0], 0.0, float(grid.shape[0]) - 1.001)
    y = wp.clamp(cell[1], 0.0, float(grid.shape[1]) - 1.001)
    z = wp.clamp(cell[2], 0.0, float(grid.shape[2]) - 1.001)
    i, j, k = int(x), int(y), int(z)
    u, v, w = x - float(i), y - float(j), z - float(k)
    a00 = wp.lerp(grid[i, j, k], grid[i + 1, j, k], u)
    a10 = wp.lerp(grid[i, j + 1, k], grid[i + 1, j + 1, k], u)
    a01 = wp.lerp(grid[i, j, k + 1], grid[i + 1, j, k + 1], u)
    a11 = wp.lerp(grid[i, j + 1, k + 1], grid[i + 1, j + 1, k + 1], u)
    dx0 = wp.lerp(grid[i + 1, j, k] - grid[i, j, k], grid[i + 1, j + 1, k] - grid[i, j + 1, k], v)
    dx1 = wp.lerp(grid[i + 1, j, k + 1] - grid[i, j, k + 1], grid[i + 1, j + 1, k + 1] - grid[i, j + 1, k + 1], v)
    value = wp.lerp(wp.lerp(a00, a10, v), wp.lerp(a01, a11, v), w)
    dz = wp.lerp(a01, a11, v) - wp.lerp(a00, a10, v)
    return wp.vec4(value, wp.lerp(dx0, dx1, w), wp.lerp(a10 - a00, a11 - a01, w), dz)


@wp.kernel
def measure_clearance(
    positions: wp.array(dtype=wp.vec3),
    vertices: wp.array(dtype=wp.int32),
    grid: wp.array3d(dtype=float),
    origin: wp.vec3,
    spacing: float,
    clearance: wp.array(dtype=float),
):
    """Distance in mm of surface vertices from the surroundings."""
    index = wp.tid()
    clearance[index] = sample(grid, (positions[vertices[index]] - origin) / spacing)[0]


@wp.kernel
def push_off_obstacle(
    positions: wp.array(dtype=wp.vec3),
    previous: wp.array(dtype=wp.vec3),
    inverse_mass: wp.array(dtype=float),
    vertices: wp.array(dtype=wp.int32),
    grid: wp.array3d(dtype=float),
    origin: wp.vec3,
    spacing: float,
    most: float,  # mm of push in one step, beyond what takes back this step's approach
    friction: float,
):
    vertex = vertices[wp.tid()]
    if inverse_mass[vertex] == 0.0:
        return
    here = positions[vertex]
    field = sample(grid, (here - origin) / spacing)
    if field[0] >= 0.0:
        return
    normal = wp.normalize(wp.vec3(field[1], field[2], field[3]))
    moved = here - previous[vertex]
    push = normal * wp.min(-field[0], most + wp.max(-wp.dot(moved, normal), 0.0))
    positions[vertex] = here + with_friction(push, moved, friction)


@wp.kernel
def find_nearby_organ(
    positions: wp.array(dtype=wp.vec3),
    vertices: wp.array(dtype=wp.int32),
    vertex_body: wp.array(dtype=wp.int32),
    surfaces: wp.array(dtype=wp.uint64),  # wp.Mesh of each body
    meeting: wp.array2d(dtype=wp.bool),  # whether a body's vertices are held against another body
    lows: wp.array(dtype=wp.vec3),  # mm, bounding box of each body
    highs: wp.array(dtype=wp.vec3),
    reach: float,
    body: wp.array(dtype=wp.int32),  # nearest other body within reach, or -1
    face: wp.array(dtype=wp.int32),  # its nearest face
):
    index = wp.tid()
    vertex = vertices[index]
    here = positions[vertex]
    nearest = reach
    body[index] = -1
    own = vertex_body[vertex]
    for other in range(surfaces.shape[0]):
        if meeting[own, other]:
            beyond = wp.max(lows[other] - here, here - highs[other])
            if wp.max(beyond) < nearest:
                found = wp.mesh_query_point_no_sign(surfaces[other], here, nearest)
                if found.result:
                    point = wp.mesh_eval_position(surfaces[other], found.face, found.u, found.v)
                    distance = wp.length(here - point)
                    if distance < nearest:
                        nearest = distance
                        body[index] = other
                        face[index] = found.face
