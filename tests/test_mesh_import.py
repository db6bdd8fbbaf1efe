"""Users' meshes: real organs and instruments come in as sound tetrahedra, broken files are named and explained."""

import meshio
import numpy as np
import pytest
import trimesh

from splatscope.errors import InputError
from splatscope.meshes.mesh_import import DEFAULT_TETS, import_mesh
from splatscope.meshes.surface_distance import SurfaceDistance
from splatscope.meshes.tetrahedra import MIN_DIHEDRAL

CORNERS = np.array([[0, 0, 0], [20, 0, 0], [0, 20, 0], [0, 0, 20], [20, 20, 20.0]])
TETS = np.array([[0, 1, 2, 3], [1, 2, 3, 4]])
TETS_TURNED = np.array([[0, 1, 2, 3], [1, 3, 2, 4]])


def write_tets(path, tets=TETS, vertices=CORNERS, kind="tetra"):
    meshio.Mesh(vertices, [(kind, tets)]).write(path, file_format="gmsh" if path.suffix == ".msh" else None)
    return path


def error_of(*arguments, **settings) -> str:
    with pytest.raises(InputError) as caught:
        import_mesh(*arguments, **settings)
    assert str(arguments[0]) in str(caught.value)
    return str(caught.value)


def assert_filled(imported) -> None:
    quality = imported.mesh.quality()
    assert quality.min_dihedral_deg >= MIN_DIHEDRAL and quality.manifold and quality.components == 1
    assert 0.7 * DEFAULT_TETS < quality.tets < 1.4 * DEFAULT_TETS


def test_signed_distance_agrees_with_the_formula():
    ball = trimesh.creation.icosphere(subdivisions=4, radius=8.0)
    centre = np.array([900.0, -300, 50])
    points = np.random.default_rng(0).uniform(-14, 14, (500, 3))
    distance = SurfaceDistance(ball.vertices + centre, ball.faces)(points + centre)
    assert np.abs(distance - (np.linalg.norm(points, axis=1) - 8)).max() < 0.03  # chords of the facets
    assert distance.shape == (500,)


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply"])
def test_surfaces_are_filled(tmp_path, suffix):
    path = tmp_path / f"block.{suffix}"
    trimesh.creation.cylinder(radius=0.9, height=4.0, sections=48).export(path)
    imported = import_mesh(path, unit_mm=10)
    assert_filled(imported)
    assert imported.mesh.volumes().sum() == pytest.approx(np.pi * 9**2 * 40, rel=0.05)
    assert not imported.notes
    assert len(import_mesh(path, unit_mm=10, spacing_mm=6).mesh.tets) < 1500


def test_open_and_inside_out_surfaces_are_filled_and_told_of(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=3, radius=20.0)
    opened = trimesh.Trimesh(ball.vertices, ball.faces[np.argsort(ball.triangles_center[:, 2])[:-20]])
    opened.export(tmp_path / "open.ply")
    imported = import_mesh(tmp_path / "open.ply")
    assert_filled(imported)
    assert imported.mesh.volumes().sum() == pytest.approx(ball.volume, rel=0.05)
    open_edges = (np.unique(opened.edges_sorted, axis=0, return_counts=True)[1] == 1).sum()
    assert f"not closed ({open_edges} open edges" in imported.notes[0]
    ball.invert()
    ball.export(tmp_path / "inverted.ply")
    imported = import_mesh(tmp_path / "inverted.ply")
    assert_filled(imported)
    assert "turned inside out" in imported.notes[0]


@pytest.mark.parametrize("suffix", ["vtk", "vtu", "msh", "mesh", "inp"])
def test_tetrahedra_are_used_as_they_are(tmp_path, suffix):
    imported = import_mesh(write_tets(tmp_path / f"two.{suffix}"), unit_mm=2.0)
    assert np.array_equal(imported.mesh.vertices, CORNERS * 2)
    assert (np.sort(imported.mesh.tets) == np.sort(TETS)).all()
    assert imported.mesh.volumes().sum() == pytest.approx(8 * (20**3 / 6 + 20**3 / 3))
    assert len(imported.notes) == 0


def test_tetrahedra_are_turned_and_unused_vertices_dropped(tmp_path):
    vertices = np.vstack([CORNERS, [[5, 5, 5]]])
    imported = import_mesh(write_tets(tmp_path / "two.vtk", TETS_TURNED, vertices))
    assert (imported.mesh.volumes() > 0).all() and len(imported.mesh.vertices) == 5
    assert "1 of 2 tetrahedra were numbered the other way round" in imported.notes[0]
    assert "1 vertices that no tetrahedron uses" in imported.notes[1]


def test_corners_of_higher_order_tetrahedra_are_used(tmp_path):
    pairs = [(0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3)]
    vertices = np.vstack([CORNERS[:4], [(CORNERS[a] + CORNERS[b]) / 2 for a, b in pairs]])
    imported = import_mesh(write_tets(tmp_path / "ten.vtk", np.arange(10)[None], vertices, "tetra10"))
    assert imported.mesh.tets.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("file, tets", [("liver.msh", 596), ("liver2.msh", 1493)])
def test_real_gmsh_livers(shared_data, file, tets):
    imported = import_mesh(shared_data / "meshes/sofa_liver" / file, unit_mm=30)
    assert len(imported.mesh.tets) == tets
    refilled = import_mesh(shared_data / "meshes/sofa_liver" / file, unit_mm=30, refill=True)
    assert_filled(refilled)
    assert refilled.mesh.volumes().sum() == pytest.approx(imported.mesh.volumes().sum(), rel=0.04)


@pytest.mark.parametrize("organ", ["liver", "gallbladder", "fat"])
def test_real_meshes_of_flat_tetrahedra_are_told_of_and_refilled(shared_data, tmp_path, organ):
    folder = shared_data / "meshes/sano_liver_gallbladder" / organ
    vertices, tets = np.loadtxt(folder / "model.vertices"), np.loadtxt(folder / "model.tetras", dtype=int)
    path = write_tets(tmp_path / "organ.vtu", tets, vertices)
    imported = import_mesh(path, unit_mm=110)
    assert len(imported.mesh.tets) == len(tets) and any("set refill" in note for note in imported.notes)
    refilled = import_mesh(path, unit_mm=110, refill=True)
    assert refilled.mesh.quality().min_dihedral_deg >= MIN_DIHEDRAL and refilled.mesh.quality().manifold
    share = refilled.mesh.volumes().sum() / imported.mesh.volumes().sum()
    if organ == "fat":  # a sheet of which parts are thinner than the spacing for so few tetrahedra
        assert f"{share:.0%} of the surface's volume is filled" in refilled.notes[-1]
    else:
        assert share == pytest.approx(1, rel=0.08)


@pytest.mark.parametrize(
    "file, unit_mm", [("sofa_liver/liver-smooth.obj", 30), ("laparoscopic_instruments/forceps_jaw_left.stl", 1)]
)
def test_real_surfaces_are_filled(shared_data, file, unit_mm):
    assert_filled(import_mesh(shared_data / "meshes" / file, unit_mm=unit_mm))


def test_files_that_cannot_be_used_are_explained(tmp_path, shared_data):
    assert "no such file" in error_of(tmp_path / "none.stl")
    (tmp_path / "notes.txt").write_text("nothing")
    assert "export it anew" in error_of(tmp_path / "notes.txt")
    for suffix in ("vtk", "msh", "stl", "ply"):
        (tmp_path / f"broken.{suffix}").write_text("not a mesh\n" * 3)
        assert "found: " in error_of(tmp_path / f"broken.{suffix}")
    (tmp_path / "cut.msh").write_text("$NOD\n2\n1 0 0 0\n2 1 0 0\n$ENDNOD\n$ELM\n1\n1 4 1 1 4 1 2 3 4\n$ENDELM\n")
    assert "KeyError: 3" in error_of(tmp_path / "cut.msh")
    meshio.Mesh(CORNERS, [("line", np.array([[0, 1]]))]).write(tmp_path / "line.vtk")
    assert "neither triangles nor tetrahedra" in error_of(tmp_path / "line.vtk")
    assert "a format that is not read" in error_of(shared_data / "meshes/davinci_tips/tip/tip_006.dae")


def test_unusable_meshes_are_explained(tmp_path):
    path = write_tets(tmp_path / "two.vtk")
    assert "0.02 mm long" in error_of(path, unit_mm=0.001) and "set unit_mm" in error_of(path, unit_mm=1000)
    flat = CORNERS * [1, 1, 0]
    assert "2 of 2 tetrahedra without volume" in error_of(write_tets(tmp_path / "flat.vtk", TETS, flat))
    folded = np.vstack([CORNERS[:4], [[6, 6, 1]]])  # the second lies within the first
    assert "overlapping tetrahedra" in error_of(write_tets(tmp_path / "folded.vtk", TETS, folded))
    meshio.Mesh(np.where(np.arange(15).reshape(5, 3) == 7, np.nan, CORNERS), [("tetra", TETS)]).write(
        tmp_path / "nan.vtk"
    )
    assert "1 vertices that are not numbers" in error_of(tmp_path / "nan.vtk")
    sheet = trimesh.creation.box((30, 30, 0.3))
    sheet.export(tmp_path / "sheet.stl")
    assert "smaller spacing_mm" in error_of(tmp_path / "sheet.stl", spacing_mm=8)
