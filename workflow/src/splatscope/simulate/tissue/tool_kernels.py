"""Where instruments are at every substep. Runs on the CPU and on CUDA alike."""

import warp as wp

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.kernel
def interpolate_poses(
    before: wp.array(dtype=wp.mat44),  # world_from_tool
    now: wp.array(dtype=wp.mat44),
    steps: int,
    poses: wp.array2d(dtype=wp.transform),  # [steps + 1, tools]
):
    """Linear and spherical interpolation between two poses."""
    step, tool = wp.tid()
    share = float(step) / float(steps)
    first, last = wp.transform_from_matrix(before[tool]), wp.transform_from_matrix(now[tool])
    place = wp.lerp(wp.transform_get_translation(first), wp.transform_get_translation(last), share)
    turn = wp.quat_slerp(wp.transform_get_rotation(first), wp.transform_get_rotation(last), share)
    poses[step, tool] = wp.transform(place, turn)


@wp.kernel
def carry_capsules(
    poses: wp.array2d(dtype=wp.transform),
    owners: wp.array(dtype=wp.int32),  # tool of each capsule
    before: wp.array2d(dtype=wp.vec3),  # [capsules, 2] start and end, tool frame
    now: wp.array2d(dtype=wp.vec3),
    starts: wp.array2d(dtype=wp.vec3),  # [steps + 1, capsules] world
    ends: wp.array2d(dtype=wp.vec3),
):
    """Capsules go with their tools, and from where they were in the tool's frame to where they are now."""
    step, capsule = wp.tid()
    share = float(step) / float(poses.shape[0] - 1)
    pose = poses[step, owners[capsule]]
    starts[step, capsule] = wp.transform_point(pose, wp.lerp(before[capsule, 0], now[capsule, 0], share))
    ends[step, capsule] = wp.transform_point(pose, wp.lerp(before[capsule, 1], now[capsule, 1], share))
