"""Contact of tissue with instruments, with other organs, and with the rigid surroundings. CPU and CUDA alike.

A contact is a triangle of tissue against a capsule, or against a vertex of another organ. Its push is computed from the
positions as they are (Jacobi), then every vertex gathers the pushes that concern it in a fixed order: no races, and the
same bytes each time.
"""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.func
def closest_on_segment(point: wp.vec3, start: wp.vec3, end: wp.vec3) -> float:
    """Share 0..1 of the way from start to end."""
    along = end - start
    return wp.clamp(wp.dot(point - start, along) / wp.max(wp.dot(along, along), 1.0e-9), 0.0, 1.0)


@wp.func
def closest_on_triangle(p: wp.vec3, a: wp.vec3, b: wp.vec3, c: wp.vec3) -> wp.vec3:
    """Barycentric coordinates (Ericson 2005, Real-Time Collision Detection, 5.1.5)."""
    ab, ac, ap = b - a, c - a, p - a
    d1, d2 = wp.dot(ab, ap), wp.dot(ac, ap)
    if d1 <= 0.0 and d2 <= 0.0:
        return wp.vec3(1.0, 0.0, 0.0)
    bp = p - b
    d3, d4 = wp.dot(ab, bp), wp.dot(ac, bp)
    if d3 >= 0.0 and d4 <= d3:
        return wp.vec3(0.0, 1.0, 0.0)
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        v = d1 / wp.max(d1 - d3, 1.0e-12)
        return wp.vec3(1.0 - v, v, 0.0)
    cp = p - c
    d5, d6 = wp.dot(ab, cp), wp.dot(ac, cp)
    if d6 >= 0.0 and d5 <= d6:
        return wp.vec3(0.0, 0.0, 1.0)
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        w = d2 / wp.max(d2 - d6, 1.0e-12)
        return wp.vec3(1.0 - w, 0.0, w)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and (d4 - d3) >= 0.0 and (d5 - d6) >= 0.0:
        w = (d4 - d3) / wp.max((d4 - d3) + (d5 - d6), 1.0e-12)
        return wp.vec3(0.0, 1.0 - w, w)
    scale = 1.0 / wp.max(va + vb + vc, 1.0e-12)
    return wp.vec3(va * scale, vb * scale, vc * scale)


@wp.func
def with_friction(normal_push: wp.vec3, slide: wp.vec3, friction: float) -> wp.vec3:
    """Adds Coulomb friction to a push (mm): `slide` is the relative displacement over the step, of which the part
    square to the push is taken back, as far as `friction` times the push allows."""
    depth = wp.length(normal_push)
    if depth < 1.0e-9:
        return normal_push
    normal = normal_push / depth
    across = slide - normal * wp.dot(slide, normal)
    length = wp.length(across)
    if length < 1.0e-9:
        return normal_push
    return normal_push - across * wp.min(1.0, friction * depth / length)


@wp.func
def mobility(inverse_mass: wp.array(dtype=float), face: wp.vec3i, inside: wp.vec3) -> float:
    """Inverse mass of a point of a triangle. Where fixed corners would have a free one move farther than the point
    itself, as much as that one's, so that it does not."""
    total = wp.float32(0.0)
    largest = wp.float32(0.0)
    for corner in range(3):
        share = inverse_mass[face[corner]] * inside[corner]
        total += share * inside[corner]
        largest = wp.max(largest, share)
    return wp.max(total, largest)


@wp.kernel
def note_faces_near_tools(
    positions: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    starts: wp.array(dtype=wp.vec3),  # of the capsules in the middle of the interval
    ends: wp.array(dtype=wp.vec3),
    lows: wp.array(dtype=wp.vec3),  # their bounding boxes, grown by their reaches
    highs: wp.array(dtype=wp.vec3),
    reaches: wp.array(dtype=float),  # mm: radius, motion over the interval, margin
    near: wp.array(dtype=wp.int32),
):
    """A bit for each capsule that may touch the face in this interval."""
    face = wp.tid()
    a, b, c = positions[faces[face][0]], positions[faces[face][1]], positions[faces[face][2]]
    centre = (a + b + c) / 3.0
    size = wp.sqrt(wp.max(wp.length_sq(a - centre), wp.max(wp.length_sq(b - centre), wp.length_sq(c - centre))))
    bits = wp.int32(0)
    for capsule in range(reaches.shape[0]):
        if wp.max(wp.max(lows[capsule] - centre, centre - highs[capsule])) < size:
            start, end = starts[capsule], ends[capsule]
            nearest = start + (end - start) * closest_on_segment(centre, start, end)
            reach = reaches[capsule] + size
            if wp.length_sq(centre - nearest) < reach * reach:
                bits = bits | (1 << capsule)
    near[face] = bits


@wp.kernel
def push_by_tools(
    positions: wp.array(dtype=wp.vec3),
    previous: wp.array(dtype=wp.vec3),
    inverse_mass: wp.array(dtype=float),
    faces: wp.array(dtype=wp.vec3i),
    capsules: wp.array(dtype=wp.int32),
    starts: wp.array2d(dtype=wp.vec3),  # [steps + 1, capsules]
    ends: wp.array2d(dtype=wp.vec3),
    radii: wp.array(dtype=float),
    most: float,  # mm of push in one step, beyond what takes back this step's approach
    friction: float,
    step: int,
    pushes: wp.array(dtype=wp.vec3),
    weights: wp.array(dtype=wp.vec4),
):
    """Triangle against capsule: the triangle's nearest point is moved out of the capsule."""
    contact = wp.tid()
    face, capsule = faces[contact], capsules[contact]
    start, end, radius = starts[step + 1, capsule], ends[step + 1, capsule], radii[capsule]
    a, b, c = positions[face[0]], positions[face[1]], positions[face[2]]
    pushes[contact] = wp.vec3(0.0, 0.0, 0.0)
    centre = (a + b + c) / 3.0
    share = closest_on_segment(centre, start, end)
    apart = wp.length(centre - (start + (end - start) * share)) - radius
    if apart > 0.0 and apart * apart > wp.max(
        wp.length_sq(a - centre), wp.max(wp.length_sq(b - centre), wp.length_sq(c - centre))
    ):
        return
    # alternating projections between two convex sets approach their nearest points
    inside = wp.vec3(0.0, 0.0, 0.0)
    for _ in range(3):
        inside = closest_on_triangle(start + (end - start) * share, a, b, c)
        share = closest_on_segment(a * inside[0] + b * inside[1] + c * inside[2], start, end)
    point = a * inside[0] + b * inside[1] + c * inside[2]
    away = point - (start + (end - start) * share)
    distance = wp.length(away)
    if distance >= radius:
        return
    direction = away / wp.max(distance, 1.0e-9)
    if distance < 1.0e-6:
        direction = -wp.normalize(wp.cross(b - a, c - a))
    was = previous[face[0]] * inside[0] + previous[face[1]] * inside[1] + previous[face[2]] * inside[2]
    tool_motion = (start - starts[step, capsule]) * (1.0 - share) + (end - ends[step, capsule]) * share
    slide = point - was - tool_motion
    approach = wp.max(-wp.dot(slide, direction), 0.0)
    push = with_friction(direction * wp.min(radius - distance, approach + most), slide, friction)
    movable = mobility(inverse_mass, face, inside)
    if movable > 0.0:
        pushes[contact] = push / movable
        weights[contact] = wp.vec4(inside[0], inside[1], inside[2], 0.0)


@wp.kernel
def push_organs_apart(
    positions: wp.array(dtype=wp.vec3),
    previous: wp.array(dtype=wp.vec3),
    inverse_mass: wp.array(dtype=float),
    faces: wp.array(dtype=wp.vec3i),
    vertices: wp.array(dtype=wp.int32),
    gap: float,  # mm that organs keep
    most: float,  # mm of push in one step, beyond what takes back this step's approach
    friction: float,
    first: int,  # where these contacts begin in the results
    pushes: wp.array(dtype=wp.vec3),
    weights: wp.array(dtype=wp.vec4),
):
    """Vertex against a triangle of another organ's surface."""
    contact = wp.tid()
    face, vertex = faces[contact], vertices[contact]
    a, b, c, p = positions[face[0]], positions[face[1]], positions[face[2]], positions[vertex]
    pushes[first + contact] = wp.vec3(0.0, 0.0, 0.0)
    normal = wp.cross(b - a, c - a)
    area = wp.length(normal)
    if area < 1.0e-9:
        return
    normal = normal / area
    depth = gap - wp.dot(p - a, normal)
    if depth <= 0.0:
        return
    inside = closest_on_triangle(p, a, b, c)
    lateral = p - (a * inside[0] + b * inside[1] + c * inside[2])
    lateral = lateral - normal * wp.dot(lateral, normal)
    if wp.length_sq(lateral) > 0.01 * area:  # beside the triangle: behind its plane, but not inside the organ
        return
    u, v, w = inside[0], inside[1], inside[2]
    slide = (p - previous[vertex]) - (
        (a - previous[face[0]]) * u + (b - previous[face[1]]) * v + (c - previous[face[2]]) * w
    )
    approach = wp.max(-wp.dot(slide, normal), 0.0)
    push = with_friction(normal * wp.min(depth, approach + most), slide, friction)
    movable = inverse_mass[vertex] + mobility(inverse_mass, face, inside)
    if movable > 0.0:
        pushes[first + contact] = push / movable
        weights[first + contact] = wp.vec4(-u, -v, -w, 1.0)


@wp.kernel
def gather_pushes(
    positions: wp.array(dtype=wp.vec3),
    inverse_mass: wp.array(dtype=float),
    vertices: wp.array(dtype=wp.int32),
    entry_starts: wp.array(dtype=wp.int32),
    entries: wp.array(dtype=wp.int32),  # contact * 4 + which of its weights
    pushes: wp.array(dtype=wp.vec3),
    weights: wp.array(dtype=wp.vec4),
):
    """Moves a vertex so far that each of its pushes gets its length in its own direction: pushes that agree do not add
    up, and those that differ do not weaken each other."""
    index = wp.tid()
    vertex = vertices[index]
    total = wp.vec3(0.0, 0.0, 0.0)
    for at in range(entry_starts[index], entry_starts[index + 1]):
        contact, corner = entries[at] // 4, entries[at] % 4
        push = pushes[contact]
        if wp.length_sq(push) > 0.0:
            push = push * (weights[contact][corner] * inverse_mass[vertex])
            length = wp.length(push)
            if length > 1.0e-9:
                direction = push / length
                total += direction * wp.max(length - wp.dot(total, direction), 0.0)
    if wp.length_sq(total) > 0.0:
        positions[vertex] = positions[vertex] + total
