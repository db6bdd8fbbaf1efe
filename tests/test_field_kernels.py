"""Fields asked through kernels, against the same written in NumPy and SciPy."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.field_kernels import chain_distance, interpolate


@pytest.mark.parametrize(("periodic", "mode"), [(False, "nearest"), (True, "grid-wrap")])
def test_interpolation_is_that_of_scipy_within_and_beyond_the_grid(periodic, mode):
    rng = np.random.default_rng(0)
    grid = rng.normal(size=(9, 11, 7)).astype(np.float32)
    cells = np.concatenate([rng.uniform(-25, 25, (400, 3)), [[0, 0, 0], [8, 10, 6], [8, 3.5, 6]]]).reshape(13, 31, 3)
    expected = map_coordinates(grid, cells.reshape(-1, 3).T, order=1, mode=mode).reshape(13, 31)
    found = interpolate(grid, cells, periodic=periodic)
    assert found.dtype == np.float32 and np.abs(found - expected).max() < 2e-5


def test_chain_is_the_smooth_union_of_its_cones():
    rng = np.random.default_rng(1)
    points = rng.uniform(-30, 30, (50, 40, 3)).astype(np.float32)
    path, radii = sdf.curve(rng.uniform(-20, 20, (4, 3)), 6), np.linspace(1, 3, 19)
    expected = sdf.cone(points, path[0], path[1], radii[0], radii[1])
    for index in range(1, len(path) - 1):
        part = sdf.cone(points, path[index], path[index + 1], radii[index], radii[index + 1])
        expected = sdf.smooth_union(expected, part, 2.0)
    assert np.abs(chain_distance(points, path, radii, 2.0) - expected).max() < 1e-4
