"""Paths of instruments against SciPy's spherical interpolation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from splatscope.geometry import apply, make_transform
from splatscope.simulate.tissue.tool_motion import ToolMotion
from tissue_material import tool

STEPS = 20


@pytest.mark.parametrize("turn_rad", [2.5, 1e-2, 1e-5, 0.0])
def test_tools_and_capsules_move_steadily(turn_rad):
    rng = np.random.default_rng(4)
    capsules = np.column_stack([rng.uniform(-80, 80, (5, 6)), np.ones(5)])
    first = Rotation.random(rng=rng)
    last = Rotation.from_rotvec(turn_rad * np.array([0.6, 0, 0.8])) * first
    places = rng.uniform(-100, 100, (2, 3))
    old = replace(tool([0, 0, 0], capsules=capsules), world_from_tool=make_transform(first.as_matrix(), places[0]))
    now = replace(old, world_from_tool=make_transform(last.as_matrix(), places[1]), capsules=capsules + 1.5)
    standing = tool([1, 2, 3], capsules=[[0, 0, 0, 0, 0, 5, 1.0]])
    motion = ToolMotion({"left": old}, {"right": standing, "left": now}, STEPS, "cpu")

    share = np.linspace(0, 1, STEPS + 1)
    turns = Slerp([0, 1], Rotation.concatenate([first, last]))(share).as_matrix()
    path = make_transform(turns, places[0] + share[:, None] * (places[1] - places[0]))
    local = capsules + 1.5 * share[:, None, None]
    assert motion.names == ["right", "left"] and list(motion.capsule_tool) == [0, 1, 1, 1, 1, 1]
    assert motion.starts.numpy()[:, 1:] == pytest.approx(apply(path, local[..., :3]), abs=5e-4)
    assert motion.ends.numpy()[:, 1:] == pytest.approx(apply(path, local[..., 3:6]), abs=5e-4)
    still = apply(standing.world_from_tool, np.array([[0, 0, 0], [0, 0, 5.0]]))
    assert motion.starts.numpy()[:, 0] == pytest.approx(np.tile(still[0], (STEPS + 1, 1)), abs=1e-5)
    poses = motion.poses.numpy()[:, 1]
    assert Rotation.from_quat(poses[:, 3:]).as_matrix() == pytest.approx(turns, abs=1e-5)
    assert poses[:, :3] == pytest.approx(path[:, :3, 3], abs=1e-4)
