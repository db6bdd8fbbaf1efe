"""Made-up pieces of tissue and tools for the tests of the tissue physics."""

import itertools

import numpy as np

from splatscope.geometry import make_transform
from splatscope.meshes.instruments.tool_state import Blade, ToolState
from splatscope.meshes.tetrahedra import TetMesh, stuff
from splatscope.simulate.tissue.body import Body, TissueMaterial
from splatscope.simulate.tissue.settings import TissueSettings

WEIGHTLESS = TissueSettings(gravity_mm_s2=(0, 0, 0))
POINTING_DOWN = np.diag([1.0, -1, -1])  # the tool's z axis along -z


def box(cells, edge_mm: float, corner=(0, 0, 0)) -> TetMesh:
    """Cubes of six tetrahedra each (Kuhn): cells [3] along the axes."""
    counts = np.array(cells)
    grid = np.stack(np.meshgrid(*[np.arange(n + 1) for n in counts], indexing="ij"), -1).reshape(-1, 3)
    cubes = np.stack(np.meshgrid(*[np.arange(n) for n in counts], indexing="ij"), -1).reshape(-1, 3)
    tets = []
    for axes in itertools.permutations(range(3)):
        path = [cubes]
        for axis in axes:
            path.append(path[-1] + np.eye(3, dtype=int)[axis])
        tet = np.stack([np.ravel_multi_index(point.T, counts + 1) for point in path], -1)
        even = np.linalg.det(np.eye(3)[list(axes)]) > 0
        tets.append(tet if even else tet[:, [1, 0, 2, 3]])
    return TetMesh(grid * float(edge_mm) + corner, np.vstack(tets))


def body(mesh: TetMesh, name="liver", class_id=2, fixed=None, **material) -> Body:
    fixed = np.zeros(len(mesh.vertices), bool) if fixed is None else fixed
    settings = {"young_kpa": 8.0, **material}
    return Body(name, mesh, TissueMaterial(**settings), np.full(len(mesh.tets), class_id), fixed)


def tube(radius=2.5, half_length=12.0, spacing=1.4) -> TetMesh:
    """A tube along x through the origin."""

    def field(points):
        along = np.clip(points[..., 0], -half_length, half_length)
        across = np.stack([points[..., 0] - along, points[..., 1], points[..., 2]], -1)
        return np.linalg.norm(across, axis=-1) - radius

    reach = radius + 2
    return stuff(field, [-half_length - reach, -reach, -reach], [half_length + reach, reach, reach], spacing)


def ball(radius=12.0, spacing=4.0, centre=(0.0, 0, 0)) -> TetMesh:
    centre = np.array(centre, np.float32)
    low, high = centre - radius - 3, centre + radius + 3
    return stuff(lambda points: np.linalg.norm(points - centre, axis=-1) - radius, low, high, spacing)


def tool(grip_point, *, rotation=POINTING_DOWN, capsules=(), **state) -> ToolState:
    """Jaws that close along the tool's x axis, their grip point (in the world) 8 mm from the pivot."""
    local = np.array([0, 0, 8.0])
    pose = make_transform(rotation, np.asarray(grip_point, float) - rotation @ local)
    settings = {"grip_reach_mm": 5.0, "closed": 1.0, **state}
    return ToolState(pose, np.reshape(np.array(capsules, float), (-1, 7)), local, np.array([1.0, 0, 0]), **settings)


def scissors(centre, normal, size_mm: float) -> ToolState:
    """Blades about `centre` whose plane has the given normal."""
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    side = np.cross(normal, [0.3, 0.5, 0.8])
    side /= np.linalg.norm(side)
    blade = Blade(np.array([0, 0, 8.0]), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), size_mm, size_mm)
    return tool(centre, rotation=np.stack([normal, np.cross(side, normal), side], 1), blade=blade)


def volumes(tissue) -> np.ndarray:
    """Signed volume now [T] in mm^3."""
    corners = tissue.positions.astype(float)[tissue.tets]
    edges = corners[:, 1:] - corners[:, :1]
    return np.linalg.det(edges) / 6
