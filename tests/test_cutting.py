"""Cuts leave a closed surface, a valid colouring and all of the volume; what cuts of ducts and arteries mean."""

import numpy as np
import pytest

from splatscope.meshes.tet_quality import boundary_faces
from splatscope.meshes.tetrahedra import pinched_vertices
from splatscope.simulate.tissue.colouring import colour, is_valid
from splatscope.simulate.tissue.settings import CYSTIC_ARTERY, CYSTIC_DUCT, LIVER
from splatscope.simulate.tissue.tissue import Tissue
from splatscope.simulate.tissue.topology import Topology
from splatscope.simulate.tissue_surface import TissueSurface
from tissue_material import WEIGHTLESS, ball, body, scissors, tool, tube, volumes

FRAME_S = 1 / 60
ALONG_Y = np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, -1]]).T  # jaws close along y, the tool comes from above


def cut(tissue: Tissue, centre, normal, size_mm: float):
    tissue.advance(FRAME_S, {"right": scissors(centre, normal, size_mm)})
    return tissue.cut("right")


def check(tissue: Tissue, volume_mm3: float) -> None:
    """The surface is a closed manifold of the stated faces; colouring and material volume are as they must be."""
    assert not len(pinched_vertices(tissue.tets[tissue.active]))
    surface = tissue.surface()
    faces, _ = boundary_faces(tissue.tets[tissue.active])
    assert {tuple(face) for face in np.sort(faces)} == {tuple(face) for face in np.sort(surface.faces)}
    edges = surface.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    there = {tuple(edge) for edge in edges}
    assert len(there) == len(edges) and there == {(b, a) for a, b in there}  # each edge twice, once each way
    corners = np.take_along_axis(tissue.tets[surface.tet], surface.corner.astype(int), axis=1)
    assert (corners == surface.faces).all()
    assert is_valid(tissue.tets, tissue.elements.colours)
    edges = tissue.rest[tissue.tets[:, 1:]].astype(float) - tissue.rest[tissue.tets[:, :1]]
    assert (np.linalg.det(edges) / 6)[tissue.active].sum() == pytest.approx(volume_mm3, rel=1e-4)


@pytest.mark.parametrize("shape", ["ball", "tube"])
def test_random_cuts_leave_a_clean_surface(shape):
    rng = np.random.default_rng(7)
    mesh = ball(10, 3) if shape == "ball" else tube(half_length=7)
    fixed = mesh.vertices[:, 0] < mesh.vertices[:, 0].min() + 3
    volume = mesh.volumes().sum()
    opened = 0
    for number in range(13):
        if number % 4 == 0:
            tissue = Tissue([body(mesh, fixed=fixed)], settings=WEIGHTLESS)
        centre = tissue.positions[rng.integers(len(tissue.positions))]
        before = volumes(tissue).sum()
        event = cut(tissue, centre, rng.normal(size=3), rng.uniform(4, 20))
        assert event.kind == "cut" and event.amount >= 0
        opened += event.amount > 0
        check(tissue, volume)
        assert volumes(tissue).sum() == pytest.approx(before, rel=1e-3)
        tissue.advance(FRAME_S, {})
        assert np.isfinite(tissue.positions).all()
    assert opened >= 12


@pytest.mark.slow
def test_hundred_random_cuts():
    rng = np.random.default_rng(0)
    mesh = ball(14, 3)
    for number in range(100):
        if number % 10 == 0:
            tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < -10)], settings=WEIGHTLESS)
        cut(tissue, tissue.positions[rng.integers(len(tissue.positions))], rng.normal(size=3), rng.uniform(3, 30))
        check(tissue, mesh.volumes().sum())


def test_new_faces_are_inner_and_new_vertices_keep_their_material_point():
    mesh = ball(10, 3)
    tissue = Tissue([body(mesh)], settings=WEIGHTLESS)
    version, outside = tissue.topology_version, len(tissue.surface().faces)
    assert not tissue.surface().inner.any()
    event = cut(tissue, [0, 0, 0], [0, 0, 1], 40)
    surface = tissue.surface()
    assert (~surface.inner).sum() == outside and tissue.topology_version > version
    corners = tissue.rest[surface.faces[surface.inner]]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    assert event.amount == pytest.approx(area / 2, rel=1e-3) and event.amount > 0.9 * np.pi * 10**2
    assert len(tissue.rest) == len(tissue.positions) > len(mesh.vertices)
    assert np.isin(tissue.rest[len(mesh.vertices) :, 0], tissue.rest[: len(mesh.vertices), 0]).all()
    assert np.allclose(corners[..., 2], 0, atol=2.5)


def test_severed_halves_part_and_their_mass_is_kept():
    mesh = tube()
    tissue = Tissue([body(mesh, "gallbladder", CYSTIC_DUCT, mesh.vertices[:, 0] < -13)])
    mass = tissue.masses.sum()
    event = cut(tissue, [0, 0, 0], [1, 0, 0], 12)
    assert event.severed and event.class_id == CYSTIC_DUCT and event.clipped_ends == 0
    assert tissue.topology.pieces(tissue.active).max() == 1
    assert tissue.masses.sum() == pytest.approx(mass)
    for _ in range(20):
        tissue.advance(FRAME_S, {})
    assert tissue.positions[tissue.rest[:, 0] > 4, 2].max() < -7  # falls, if slowly: see Elements.inertia
    assert tissue.positions[tissue.rest[:, 0] < -8, 2].min() > -8  # hangs


def test_a_cut_leaves_the_tint_of_the_surface_as_it_was():
    mesh = tube()
    tissue = Tissue([body(mesh, "gallbladder", CYSTIC_DUCT)], settings=WEIGHTLESS)
    surface = TissueSurface(
        tissue, lambda points, classes: np.column_stack([points, classes]), lambda: np.zeros(len(tissue.rest))
    )
    before = surface.surface().mesh.tint
    cut(tissue, [0, 0, 0], [1, 0, 0], 12)
    after = surface.surface().mesh.tint
    assert len(after) == len(tissue.rest) > len(before)
    assert (after[: len(before)] == before).all()
    assert np.allclose(after, np.column_stack([tissue.rest, np.full(len(tissue.rest), CYSTIC_DUCT)]))


def test_cut_in_the_air_does_nothing():
    tissue = Tissue([body(ball(6, 3))], settings=WEIGHTLESS)
    version = tissue.topology_version
    event = cut(tissue, [30, 0, 0], [1, 0, 0], 10)
    assert event.amount == 0 and event.body is None and len(tissue.positions) == len(tissue.rest)
    assert tissue.topology_version == version
    tissue.advance(FRAME_S, {"right": tool([0, 0, 0])})
    with pytest.raises(ValueError, match="with a blade"):
        tissue.cut("right")


def artery(clips_at=()) -> Tissue:
    """An artery along x whose supply comes from -x."""
    mesh = tube(radius=1.6, half_length=14, spacing=1.0)
    tissue = Tissue([body(mesh, "artery", CYSTIC_ARTERY, mesh.vertices[:, 0] < -14)], settings=WEIGHTLESS)
    for place in clips_at:
        tissue.advance(FRAME_S, {"left": tool([place, 0, 0], rotation=ALONG_Y)})
        assert tissue.clip("left").amount > 0
    return tissue


def bleeds(tissue: Tissue) -> list:
    return [event for event in tissue.advance(FRAME_S, {}) if event.kind == "bleed"]


def test_unclipped_artery_bleeds_until_it_is_clipped():
    tissue = artery()
    event = cut(tissue, [2, 0, 0], [1, 0, 0], 8)
    assert event.severed and event.clipped_ends == 0
    (bleed,) = bleeds(tissue)  # at the end that has the supply, and there alone
    assert bleed.class_id == CYSTIC_ARTERY and bleed.amount > 0.5
    (source,) = tissue.bleeding
    assert tissue.rest[source.vertex, 0] == pytest.approx(2, abs=1.5)
    tissue.advance(FRAME_S, {"left": tool([-6, 0, 0], rotation=ALONG_Y)})
    tissue.clip("left")
    assert "seal" in {event.kind for event in tissue.advance(FRAME_S, {})} and not tissue.bleeding


@pytest.mark.parametrize(("clips_at", "clipped_ends", "bleeding"), [((-4, 6), 2, 0), ((-4,), 1, 0), ((6,), 1, 1)])
def test_cut_tells_how_many_ends_are_clipped(clips_at, clipped_ends, bleeding):
    tissue = artery(clips_at)
    event = cut(tissue, [1, 0, 0], [1, 0, 0], 8)
    assert event.severed and event.clipped_ends == clipped_ends
    assert len(bleeds(tissue)) == bleeding


def test_cut_liver_oozes_until_it_is_coagulated():
    mesh = ball(8, 2.5)
    tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < -4)], settings=WEIGHTLESS)
    cut(tissue, [0, 0, 8], [1, 0, 0], 10)
    (bleed,) = bleeds(tissue)
    assert bleed.class_id == LIVER and 0.01 < bleed.amount < 1
    events = []
    for _ in range(90):
        if not tissue.bleeding:
            break
        point = tissue.positions[tissue.bleeding[0].vertex]
        state = tool(point, heating_w=30.0, heat_point=np.array([0, 0, 8.0]))
        events += tissue.advance(FRAME_S, {"right": state})
    else:
        pytest.fail("it still bleeds")
    assert "seal" in {event.kind for event in [*events, *tissue.advance(FRAME_S, {})]}


def test_vaporising_anything_leaves_a_clean_surface():
    mesh = ball(10, 3)
    tissue = Tissue([body(mesh)], settings=WEIGHTLESS)
    rng = np.random.default_rng(3)
    for _ in range(6):
        centre = tissue.positions[rng.integers(len(tissue.positions))]
        near = np.linalg.norm(tissue.rest[tissue.tets].mean(1) - centre, axis=1) < rng.uniform(2, 5)
        tissue.apply(tissue.topology.remove(np.flatnonzero(near)))
        check(tissue, mesh.volumes()[tissue.active].sum())
    assert 0 < tissue.active.sum() < len(mesh.tets)
    tissue.advance(FRAME_S, {})
    assert np.isfinite(tissue.positions).all()


def test_colouring_parts_neighbours_and_is_checked():
    mesh = ball(6, 2.5)
    colours = colour(mesh.tets, len(mesh.vertices))
    assert is_valid(mesh.tets, colours) and colours.max() < 40
    colours[np.isin(mesh.tets, mesh.tets[0]).any(1)] = 0
    assert not is_valid(mesh.tets, colours)


def test_pieces_are_counted_by_faces():
    topology = Topology(np.array([[0, 1, 2, 3], [1, 2, 3, 4], [4, 5, 6, 7]]), 8)
    labels = topology.pieces(np.array([True, True, True]))
    assert labels[0] == labels[1] != labels[2]
    assert (topology.pieces(np.array([True, False, True])) == [0, -1, 1]).all()
