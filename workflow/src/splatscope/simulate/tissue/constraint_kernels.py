"""Constraints of few vertices: connective bonds, clips, and tissue held by jaws. Runs on the CPU and on CUDA alike."""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.kernel
def solve_pairs(
    positions: wp.array(dtype=wp.vec3),
    inverse_mass: wp.array(dtype=float),
    pairs: wp.array(dtype=wp.vec2i),
    rest: wp.array(dtype=float),  # mm
    compliance: wp.array(dtype=float),  # mm per 1e-6 N
    longest: wp.array(dtype=float),  # mm, beyond which a bond fails
    clip: wp.array(dtype=wp.int32),  # index of the clip that a pair belongs to; -1: a bond
    clip_axes: wp.array(dtype=wp.vec3),  # the way each clip closes
    broken: wp.array(dtype=wp.int32),
    per_step_squared: float,
    first: int,
):
    """Bonds resist stretch and fail; pairs of a clip keep their distance along the clip's axis, both ways."""
    pair = wp.tid() + first
    if broken[pair] != 0:
        return
    a, b = pairs[pair][0], pairs[pair][1]
    wa, wb = inverse_mass[a], inverse_mass[b]
    if wa + wb == 0.0:
        return
    offset = positions[a] - positions[b]
    axis = wp.vec3(0.0, 0.0, 0.0)
    if clip[pair] >= 0:
        axis = clip_axes[clip[pair]]
    else:
        length = wp.length(offset)
        if length > longest[pair]:
            broken[pair] = 1
            return
        if length <= rest[pair] or length == 0.0:
            return
        axis = offset / length
    stretch = wp.dot(offset, axis) - rest[pair]
    move = axis * (-stretch / (wa + wb + compliance[pair] * per_step_squared))
    positions[a] = positions[a] + move * wa
    positions[b] = positions[b] - move * wb


@wp.kernel
def hold_in_jaws(
    positions: wp.array(dtype=wp.vec3),
    inverse_mass: wp.array(dtype=float),
    vertices: wp.array(dtype=wp.int32),
    places: wp.array(dtype=wp.vec3),  # mm, in the tool's frame
    tools: wp.array(dtype=wp.int32),
    tool_poses: wp.array(dtype=wp.transform),  # world_from_tool by step and tool
    compliance: float,  # mm per 1e-6 N
    per_step_squared: float,
    smoothing: float,  # share of the newest force in the running mean
    step: int,
    tool_count: int,
    forces: wp.array(dtype=wp.vec3),  # 1e-6 N, of the jaws on each vertex
):
    """Each held vertex is pulled towards its place between the jaws, and the force that this takes is noted."""
    slot = wp.tid()
    vertex = vertices[slot]
    weight = inverse_mass[vertex]
    if weight == 0.0:
        return
    place = wp.transform_point(tool_poses[(step + 1) * tool_count + tools[slot]], places[slot])
    impulse = (place - positions[vertex]) / (weight + compliance * per_step_squared)
    positions[vertex] = positions[vertex] + impulse * weight
    forces[slot] = forces[slot] + (impulse * per_step_squared - forces[slot]) * smoothing
