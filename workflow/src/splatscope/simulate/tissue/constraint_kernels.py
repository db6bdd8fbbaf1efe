"""Constraints of few vertices: connective bonds, clips, and tissue held by jaws. Runs on the CPU and on CUDA alike."""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.kernel
def solve_bonds(
    positions: wp.array(dtype=wp.vec3),
    inverse_mass: wp.array(dtype=float),
    ends: wp.array(dtype=wp.vec2i),
    rest: wp.array(dtype=float),  # mm
    compliance: wp.array(dtype=float),  # mm per 1e-6 N
    longest: wp.array(dtype=float),  # mm, beyond which a bond fails
    broken: wp.array(dtype=wp.int32),
    per_step_squared: float,
    first: int,
):
    """Bonds resist stretch, and fail."""
    bond = wp.tid() + first
    if broken[bond] != 0:
        return
    a, b = ends[bond][0], ends[bond][1]
    offset = positions[a] - positions[b]
    squared = wp.length_sq(offset)
    if squared <= rest[bond] * rest[bond]:
        return
    length = wp.sqrt(squared)
    if length > longest[bond]:
        broken[bond] = 1
        return
    weight = inverse_mass[a] + inverse_mass[b]
    if weight == 0.0:
        return
    move = offset * ((rest[bond] - length) / (length * (weight + compliance[bond] * per_step_squared)))
    positions[a] = positions[a] + move * inverse_mass[a]
    positions[b] = positions[b] - move * inverse_mass[b]


@wp.kernel
def hold_in_clips(
    positions: wp.array(dtype=wp.vec3),
    inverse_mass: wp.array(dtype=float),
    starts: wp.array(dtype=wp.int32),
    vertices: wp.array(dtype=wp.int32),
    shape: wp.array(dtype=wp.vec3),  # mm, in each clip's frame
    closing: wp.array(dtype=wp.int32),  # not 0: the applier still holds the clip's direction
    poses: wp.array(dtype=wp.transform),  # world_from_clip, follows the tissue
):
    """The vertices in a clip move as a rigid body (shape matching, Mueller et al. 2005) of the shape that the closed
    clip gives them; the rotation follows from step to step (Mueller, Bender, Chentanez & Macklin 2016)."""
    clip = wp.tid()
    mass = wp.float32(0.0)
    here = wp.vec3(0.0, 0.0, 0.0)
    there = wp.vec3(0.0, 0.0, 0.0)
    for slot in range(starts[clip], starts[clip + 1]):
        weight = inverse_mass[vertices[slot]]
        if weight > 0.0:
            mass += 1.0 / weight
            here += positions[vertices[slot]] / weight
            there += shape[slot] / weight
    if mass == 0.0:
        return
    here = here / mass
    there = there / mass
    spread = wp.mat33(0.0)
    for slot in range(starts[clip], starts[clip + 1]):
        weight = inverse_mass[vertices[slot]]
        if weight > 0.0:
            spread += wp.outer(positions[vertices[slot]] - here, (shape[slot] - there) / weight)
    turn = wp.transform_get_rotation(poses[clip])
    turns = wp.int32(3)
    if closing[clip] != 0:
        turns = 0
    for _ in range(turns):
        axes = wp.quat_to_matrix(turn)
        axis = wp.vec3(0.0, 0.0, 0.0)
        agreement = wp.float32(0.0)
        for k in range(3):
            column = wp.vec3(axes[0, k], axes[1, k], axes[2, k])
            towards = wp.vec3(spread[0, k], spread[1, k], spread[2, k])
            axis += wp.cross(column, towards)
            agreement += wp.dot(column, towards)
        axis = axis / (wp.abs(agreement) + 1.0e-9)
        angle = wp.length(axis)
        if angle > 1.0e-7:
            turn = wp.normalize(wp.quat_from_axis_angle(axis / angle, angle) * turn)
    poses[clip] = wp.transform(here - wp.quat_rotate(turn, there), turn)
    for slot in range(starts[clip], starts[clip + 1]):
        if inverse_mass[vertices[slot]] > 0.0:
            positions[vertices[slot]] = here + wp.quat_rotate(turn, shape[slot] - there)


@wp.kernel
def hold_in_jaws(
    positions: wp.array(dtype=wp.vec3),
    inverse_mass: wp.array(dtype=float),
    vertices: wp.array(dtype=wp.int32),
    places: wp.array(dtype=wp.vec3),  # mm, in the tool's frame
    tools: wp.array(dtype=wp.int32),
    tool_poses: wp.array2d(dtype=wp.transform),  # world_from_tool [steps + 1, tools]
    compliance: float,  # mm per 1e-6 N
    per_step_squared: float,
    smoothing: float,  # share of the newest force in the running mean
    step: int,
    forces: wp.array(dtype=wp.vec3),  # 1e-6 N, of the jaws on each vertex
):
    """Each held vertex is pulled towards its place between the jaws, and the force that this takes is noted."""
    slot = wp.tid()
    vertex = vertices[slot]
    weight = inverse_mass[vertex]
    if weight == 0.0:
        return
    place = wp.transform_point(tool_poses[step + 1, tools[slot]], places[slot])
    impulse = (place - positions[vertex]) / (weight + compliance * per_step_squared)
    positions[vertex] = positions[vertex] + impulse * weight
    forces[slot] = forces[slot] + (impulse * per_step_squared - forces[slot]) * smoothing
