"""Tetrahedra: well shaped, closed, on the surface that they were made from."""

import numpy as np
import pytest
import trimesh

from splatscope.meshes import distance_fields as sdf
from splatscope.meshes.noise import VolumeNoise
from splatscope.meshes.tetrahedra import MIN_DIHEDRAL, Inversion, TetMesh, pinched_vertices, stuff


def ball(centre, radius):
    return lambda points: np.linalg.norm(points - np.asarray(centre, np.float32), axis=-1) - radius


def winding_tube(seed: int):
    path = sdf.curve(np.cumsum(np.random.default_rng(seed).normal(0, 6, (5, 3)), axis=0))
    return lambda points: sdf.tube(points, path, 2.0, 1.0), path.min(0) - 6, path.max(0) + 6


def lumpy(seed: int):
    noise = VolumeNoise(seed)
    return lambda points: ball((0, 0, 0), 14)(points) + 2.0 * noise(points, 24)


def reference_dihedrals(mesh: TetMesh) -> np.ndarray:
    """Six angles [T, 6] in degrees, each from the two faces' directions square to their common edge."""
    corners = mesh.vertices[mesh.tets]
    angles = []
    for i, j, k, l in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 0, 2), (2, 3, 0, 1)):
        edge = corners[:, j] - corners[:, i]
        edge /= np.linalg.norm(edge, axis=1, keepdims=True)
        arms = []
        for other in (k, l):
            arm = corners[:, other] - corners[:, i]
            arm -= (arm * edge).sum(1, keepdims=True) * edge
            arms.append(arm / np.linalg.norm(arm, axis=1, keepdims=True))
        angles.append(np.degrees(np.arccos(np.clip((arms[0] * arms[1]).sum(1), -1, 1))))
    return np.stack(angles, -1)


def assert_sound(mesh: TetMesh, field) -> None:
    """Positive, well-shaped tetrahedra in one piece; a boundary on the zero level that nowhere touches itself."""
    assert reference_dihedrals(mesh).min() >= MIN_DIHEDRAL
    faces, owner = mesh.boundary()
    surface = trimesh.Trimesh(mesh.vertices, faces, process=False)
    assert surface.is_watertight and surface.is_winding_consistent
    assert surface.volume == pytest.approx(mesh.volumes().sum(), rel=1e-6)  # outward, and no face is missing
    assert (mesh.tets[owner][:, :, None] == faces[:, None]).any(1).all()
    quality = mesh.quality()
    assert quality.manifold and quality.components == 1
    edge = np.cbrt(12 * mesh.volumes().mean())
    assert np.percentile(np.abs(field(mesh.vertices[np.unique(faces)])), 99) < 0.02 * edge
    assert len(np.unique(mesh.tets)) == len(mesh.vertices)


@pytest.mark.parametrize("spacing", [2.3, 3.7, 6.0])
def test_balls_are_filled(spacing):
    centre, radius = (0.3, -0.8, 1.1), 10.0
    mesh = stuff(ball(centre, radius), (-15, -15, -15), (15, 15, 15), spacing)
    assert_sound(mesh, ball(centre, radius))
    exact = 4 / 3 * np.pi * radius**3
    assert 1 - 0.3 * (spacing / radius) ** 2 < mesh.volumes().sum() / exact < 1  # chords cut the caps off
    assert mesh.quality().volume_mm3 == pytest.approx(mesh.volumes().sum())


@pytest.mark.parametrize("seed", range(4))
def test_thin_winding_tubes_are_filled(seed):
    field, low, high = winding_tube(seed)
    assert_sound(stuff(field, low, high, 1.6), field)


@pytest.mark.parametrize("seed", range(4))
def test_lumpy_shapes_are_filled(seed):
    assert_sound(stuff(lumpy(seed), (-26, -26, -26), (26, 26, 26), 3.1), lumpy(seed))


def test_grading_coarsens_away_from_its_centre_and_keeps_the_angles():
    field = ball((0, 0, 0), 30)
    grading = Inversion((0, 0, 60), 35)
    mesh = stuff(field, (-34, -34, -34), (34, 34, 34), 4.0, grading)
    assert_sound(mesh, field)
    distance = np.linalg.norm(mesh.vertices[mesh.tets].mean(1) - grading.centre, axis=1)
    edge = np.cbrt(12 * mesh.volumes())
    for near in (35, 60, 80):
        there = np.abs(distance - near) < 5
        assert np.median(edge[there]) == pytest.approx(4.0 * (near / 35) ** 2, rel=0.25)
    with pytest.raises(ValueError, match="outside the box"):
        stuff(field, (-34, -34, -34), (34, 34, 34), 4.0, Inversion((0, 0, 0), 35))


def test_the_largest_piece_is_kept():
    def field(points):
        return np.minimum(ball((-10, 0, 0), 6)(points), ball((10, 0, 0), 4)(points))

    mesh = stuff(field, (-18, -9, -9), (18, 9, 9), 1.7)
    assert_sound(mesh, ball((-10, 0, 0), 6))


def test_equal_input_gives_equal_bytes():
    first, second = (stuff(lumpy(3), (-26, -26, -26), (26, 26, 26), 4.0) for _ in range(2))
    assert first.vertices.tobytes() == second.vertices.tobytes() and first.tets.tobytes() == second.tets.tobytes()


def test_a_solid_that_the_box_cuts_is_refused():
    with pytest.raises(ValueError, match="reaches the border"):
        stuff(ball((0, 0, 0), 10), (-15, -15, -5), (15, 15, 15), 2.0)
    with pytest.raises(ValueError, match="nowhere negative"):
        stuff(ball((0, 0, 0), -1), (-15, -15, -15), (15, 15, 15), 2.0)


CORNER = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])


def test_touching_points_and_edges_are_found():
    far = np.array([[-1, 0, 0], [0, -1, 0], [0, 0, -1.0]])
    in_a_point = TetMesh(np.vstack([CORNER, far]), [[0, 1, 2, 3], [0, 5, 4, 6]])
    assert pinched_vertices(in_a_point.tets).tolist() == [0]
    along_an_edge = TetMesh(np.vstack([CORNER, far[:2]]), [[0, 1, 2, 3], [0, 4, 5, 3]])
    assert pinched_vertices(along_an_edge.tets).tolist() == [0, 3]
    by_a_face = TetMesh(np.vstack([CORNER, far[:1]]), [[0, 1, 2, 3], [0, 2, 4, 3]])
    assert not len(pinched_vertices(by_a_face.tets))
    assert in_a_point.quality().components == 2 and not in_a_point.quality().manifold
    assert len(by_a_face.largest_component().tets) == 2


def test_meshes_are_checked_when_made():
    with pytest.raises(ValueError, match=r"vertices \[V, 3\], got \[4, 2\]"):
        TetMesh(CORNER[:, :2], [[0, 1, 2, 3]])
    with pytest.raises(ValueError, match=r"tetrahedra \[T, 4\], at least one, got \[0, 4\]"):
        TetMesh(CORNER, np.zeros((0, 4)))
    with pytest.raises(ValueError, match=r"indices 0\.\.3, got 0\.\.4"):
        TetMesh(CORNER, [[0, 1, 2, 4]])
    with pytest.raises(ValueError, match="positive volume, got 1 of 1"):
        TetMesh(CORNER, [[0, 2, 1, 3]])
    with pytest.raises(ValueError, match="1 that are not"):
        TetMesh(np.vstack([CORNER, [[np.nan] * 3]]), [[0, 1, 2, 3]])


def test_sampling_where_near_agrees_with_sampling_all():
    field = lumpy(5)
    low, counts, spacing = np.array([-27.0, -25, -26]), np.array([51, 47, 50]), 1.1
    sparse = sdf.sample_where_near(field, low, counts, spacing)
    points = low + spacing * np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1)
    full = field(points.astype(np.float32))
    assert sparse.shape == full.shape
    near = np.abs(full) < 2 * spacing
    assert near.any() and np.allclose(sparse[near], full[near], atol=1e-4)
    assert (np.sign(sparse) == np.sign(full)).all()
