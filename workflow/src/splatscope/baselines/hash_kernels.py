"""Look-up in a multiresolution hash grid, and its gradient. Runs on the CPU and on CUDA alike."""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

PRIME_Y = wp.constant(wp.uint32(2654435761))
PRIME_Z = wp.constant(wp.uint32(805459861))


@wp.func
def entry(x: wp.uint32, y: wp.uint32, z: wp.uint32, cells: wp.uint32, size: wp.uint32) -> int:
    """Row of a level's table for a grid vertex: its own where the level has room for all, else the hashed one."""
    side = cells + wp.uint32(1)
    if side * side * side <= size:
        return int(x + side * (y + side * z))
    return int((x ^ (y * PRIME_Y) ^ (z * PRIME_Z)) & (size - wp.uint32(1)))


@wp.func
def lowest_corner(place: wp.vec3, cells: wp.uint32) -> wp.vec3:
    """Of the cell that holds a place (in cells); the cube's far sides belong to the last cells."""
    last = float(cells) - 1.0
    return wp.vec3(wp.min(wp.floor(place[0]), last), wp.min(wp.floor(place[1]), last), wp.min(wp.floor(place[2]), last))


@wp.func
def along_edge(
    table: wp.array(dtype=wp.vec4),
    start: int,
    x: wp.uint32,
    y: wp.uint32,
    z: wp.uint32,
    share: float,
    cells: wp.uint32,
    size: wp.uint32,
) -> wp.vec4:
    """Between a vertex and the next one along x."""
    first = table[start + entry(x, y, z, cells, size)]
    return first * (1.0 - share) + table[start + entry(x + wp.uint32(1), y, z, cells, size)] * share


@wp.func
def add_along_edge(
    table: wp.array(dtype=wp.vec4),
    start: int,
    x: wp.uint32,
    y: wp.uint32,
    z: wp.uint32,
    share: float,
    cells: wp.uint32,
    size: wp.uint32,
    value: wp.vec4,
):
    """The transpose of `along_edge`."""
    wp.atomic_add(table, start + entry(x, y, z, cells, size), value * (1.0 - share))
    wp.atomic_add(table, start + entry(x + wp.uint32(1), y, z, cells, size), value * share)


@wp.kernel
def interpolate(
    points: wp.array(dtype=wp.vec3),  # [N] in the unit cube
    table: wp.array(dtype=wp.vec4),  # the levels' rows, one level after the other
    cells: wp.array(dtype=wp.uint32),  # [L] along each axis
    sizes: wp.array(dtype=wp.uint32),  # [L] rows
    starts: wp.array(dtype=int),  # [L] first row
    features: wp.array2d(dtype=wp.vec4),  # [N, L]
):
    level, index = wp.tid()
    number = cells[level]
    size = sizes[level]
    start = starts[level]
    place = points[index] * float(number)
    corner = lowest_corner(place, number)
    share = place - corner
    x = wp.uint32(corner[0])
    y = wp.uint32(corner[1])
    z = wp.uint32(corner[2])
    y1 = y + wp.uint32(1)
    z1 = z + wp.uint32(1)
    near = along_edge(table, start, x, y, z, share[0], number, size) * (1.0 - share[1])
    near = near + along_edge(table, start, x, y1, z, share[0], number, size) * share[1]
    far = along_edge(table, start, x, y, z1, share[0], number, size) * (1.0 - share[1])
    far = far + along_edge(table, start, x, y1, z1, share[0], number, size) * share[1]
    features[index, level] = near * (1.0 - share[2]) + far * share[2]


@wp.kernel
def scatter(
    points: wp.array(dtype=wp.vec3),
    gradient: wp.array2d(dtype=wp.vec4),  # [N, L], of the features
    cells: wp.array(dtype=wp.uint32),
    sizes: wp.array(dtype=wp.uint32),
    starts: wp.array(dtype=int),
    table_gradient: wp.array(dtype=wp.vec4),  # is added to
):
    level, index = wp.tid()
    number = cells[level]
    size = sizes[level]
    start = starts[level]
    place = points[index] * float(number)
    corner = lowest_corner(place, number)
    share = place - corner
    x = wp.uint32(corner[0])
    y = wp.uint32(corner[1])
    z = wp.uint32(corner[2])
    y1 = y + wp.uint32(1)
    z1 = z + wp.uint32(1)
    near = gradient[index, level] * (1.0 - share[2])
    far = gradient[index, level] * share[2]
    add_along_edge(table_gradient, start, x, y, z, share[0], number, size, near * (1.0 - share[1]))
    add_along_edge(table_gradient, start, x, y1, z, share[0], number, size, near * share[1])
    add_along_edge(table_gradient, start, x, y, z1, share[0], number, size, far * (1.0 - share[1]))
    add_along_edge(table_gradient, start, x, y1, z1, share[0], number, size, far * share[1])
