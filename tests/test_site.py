"""The operation site: sound organs, apart but bonded as an operation needs it, and found by name."""

import dataclasses

import numpy as np
import pytest

from splatscope.geometry import Camera, look_at
from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.materials import Material, MaterialLibrary
from splatscope.meshes.mesh import Mesh
from splatscope.meshes.noise import VolumeNoise
from splatscope.meshes.organ_fields import (
    ABDOMINAL_WALL,
    ARTERY,
    CONNECTIVE,
    DUCT,
    FAT,
    GALLBLADDER,
    GUT,
    LIVER,
    Lobules,
)
from splatscope.meshes.renderer import Renderer
from splatscope.meshes.scene import Part, Scene
from splatscope.meshes.surface_distance import SurfaceDistance
from splatscope.meshes.tetrahedra import MIN_DIHEDRAL
from splatscope.meshes.textures import Tile
from splatscope.simulate.site import OperationSite, Variation
from splatscope.simulate.site.bodies import ARTERY_BODY, CALOT_BODY, GALLBLADDER_BODY, LIVER_BODY, RESOLUTIONS
from splatscope.simulate.site.organs import Organs
from splatscope.simulate.site.patient import GALLBLADDERS, Patient

GRAVITY_N_PER_G = 9.81e-3
CLASSES = [{LIVER}, {GALLBLADDER, DUCT}, {ARTERY}, {FAT, CONNECTIVE}]


@pytest.fixture(scope="module")
def site() -> OperationSite:
    return OperationSite(2, resolution="demo")


def moved(site: OperationSite) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions after a rigid motion, its rotation [3, 3] and translation [3]."""
    angle = 0.4
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    translation = np.array([3.0, -7, 11])
    return site.rest @ rotation.T + translation, rotation, translation


def assert_sound(site: OperationSite, most_tets: int) -> None:
    """Well-shaped bodies of the right classes and size, partly held, none inside another or the backdrop."""
    assert [body.name for body in site.bodies] == ["liver", "gallbladder", "cystic artery", "calot fat"]
    assert sum(len(body.mesh.tets) for body in site.bodies) < most_tets
    fields = []
    for body, classes in zip(site.bodies, CLASSES):
        quality = body.mesh.quality()
        assert quality.min_dihedral_deg >= MIN_DIHEDRAL and quality.manifold and quality.components == 1
        assert set(np.unique(body.classes)) <= classes
        assert 0.2 < 1 - body.fixed.mean() < 1 or body.name == "calot fat"
        fields.append(SurfaceDistance(body.mesh.vertices, body.mesh.boundary()[0]))
    assert set(np.unique(site.bodies[GALLBLADDER_BODY].classes)) == {GALLBLADDER, DUCT}
    assert 8e5 < site.bodies[LIVER_BODY].mesh.volumes().sum() < 3e6
    assert 9e3 < site.bodies[GALLBLADDER_BODY].mesh.volumes().sum() < 5e4
    for index, body in enumerate(site.bodies):
        faces = body.mesh.boundary()[0]
        surface = np.vstack([body.mesh.vertices[np.unique(faces)], body.mesh.vertices[faces].mean(1)])
        for other in range(4):
            assert other == index or fields[other](surface).min() > 0
        assert site.obstacle(body.mesh.vertices[~body.fixed]).min() > -0.6  # contact mends as much in a moment


def test_organs_are_sound_and_apart(site):
    assert_sound(site, 10_000)
    assert not np.isnan(site.rest).any() and len(site.rest) == sum(len(body.fixed) for body in site.bodies)


@pytest.mark.slow
@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("seed", range(12))
def test_organs_of_many_patients_are_sound_and_apart(seed, resolution):
    assert_sound(OperationSite(seed, resolution=resolution), {"standard": 25_000, "demo": 10_000}[resolution])


def test_duct_and_artery_end_held_in_the_ligament(site):
    for index, name in ((GALLBLADDER_BODY, "duct"), (ARTERY_BODY, "artery")):
        body = site.bodies[index]
        away = site.landmark_axis(f"{name}_clip_1", site.rest)
        along = (body.mesh.vertices - site.landmark(f"{name}_clip_1", site.rest)) @ away
        assert along[body.fixed].min() > 0  # beyond the clips, never on the gallbladder's side
        assert body.fixed.any()


def test_bonds_hold_the_gallbladder_and_can_be_peeled(site):
    bonds, starts = site.bonds, np.cumsum([0, *(len(body.fixed) for body in site.bodies)])
    first = site.rest[starts[bonds.first_body] + bonds.first_vertex]
    second = site.rest[starts[bonds.second_body] + bonds.second_vertex]
    assert np.allclose(np.linalg.norm(first - second, axis=1), bonds.rest_mm, atol=1e-4)
    pairs = set(zip(bonds.first_body.tolist(), bonds.second_body.tolist()))
    assert {
        (GALLBLADDER_BODY, LIVER_BODY),
        (GALLBLADDER_BODY, ARTERY_BODY),
        (CALOT_BODY, GALLBLADDER_BODY),
        (CALOT_BODY, ARTERY_BODY),
    } <= pairs
    bed = (bonds.first_body == GALLBLADDER_BODY) & (bonds.second_body == LIVER_BODY)
    body = site.bodies[GALLBLADDER_BODY]
    weight_n = body.mesh.volumes().sum() * body.material.density * GRAVITY_N_PER_G
    stiffness, strength = bonds.stiffness_n_per_mm[bed].sum(), (bonds.stiffness_n_per_mm * bonds.break_mm)[bed].sum()
    assert weight_n / stiffness < 0.1  # mm that it sags
    assert 10 * weight_n < strength < 60  # N: holds its weight, but hands can part it, all the more bit by bit
    duct = np.unique(body.mesh.tets[body.classes == DUCT])
    sac = np.unique(body.mesh.tets[body.classes == GALLBLADDER])
    assert not np.isin(bonds.first_vertex[bed], np.setdiff1d(duct, sac)).any()


@pytest.mark.slow
def test_bed_is_as_strong_at_either_resolution():
    strengths = []
    for resolution in RESOLUTIONS:
        bonds = OperationSite(5, resolution=resolution).bonds
        bed = (bonds.first_body == GALLBLADDER_BODY) & (bonds.second_body == LIVER_BODY)
        strengths.append(bonds.stiffness_n_per_mm[bed].sum())
    assert strengths[0] == pytest.approx(strengths[1], rel=0.35)


def test_landmarks_are_where_their_names_say(site):
    rest = site.rest
    expected = {f"{tube}_{part}" for tube in ("duct", "artery") for part in ("clip_1", "clip_2", "clip_3", "cut")}
    assert expected | {"fundus", "infundibulum", "calot_1", "calot_6", "bed_1", "bed_8"} <= set(site.landmarks)
    surfaces = [SurfaceDistance(body.mesh.vertices, body.mesh.boundary()[0]) for body in site.bodies]
    for name in site.landmarks:
        index = {"artery": ARTERY_BODY, "calot": CALOT_BODY}.get(name.split("_")[0], GALLBLADDER_BODY)
        depth = surfaces[index](site.landmark(name, rest)[None])[0]
        if name.startswith(("duct", "artery")):
            assert depth < -0.3 * (1.3 if index == ARTERY_BODY else 2.0)  # within the tube
        else:
            assert abs(depth) < 1e-3  # on the surface
    fundus, neck = site.landmark("fundus", rest), site.landmark("infundibulum", rest)
    assert np.linalg.norm(fundus - neck) > 25 and fundus[1] < neck[1]
    for tube in ("duct", "artery"):
        away = site.landmark_axis(f"{tube}_cut", rest)
        order = [site.landmark(f"{tube}_{part}", rest) @ away for part in ("clip_3", "cut", "clip_2", "clip_1")]
        assert np.all(np.diff(order) > 1.5)  # mm: room for a clip and for the blades
    bed = np.array([site.landmark(f"bed_{number}", rest) for number in range(1, 9)])
    liver = surfaces[LIVER_BODY](bed)
    assert liver.max() < 9
    towards_fundus = (bed - neck) @ (fundus - neck)
    assert np.corrcoef(towards_fundus, np.arange(len(bed)))[0, 1] > 0.9


def test_landmarks_follow_the_tissue_and_ignore_vertices_made_by_cuts(site):
    positions, rotation, translation = moved(site)
    grown = np.vstack([positions, np.full((40, 3), 1e3)]).astype(np.float32)
    for name in site.landmarks:
        there = rotation @ site.landmark(name, site.rest) + translation
        assert np.allclose(site.landmark(name, grown), there, atol=1e-3)
        axis = site.landmark_axis(name, site.rest)
        assert np.linalg.norm(axis) == pytest.approx(1)
        assert np.allclose(site.landmark_axis(name, grown), rotation @ axis, atol=1e-3)
    with pytest.raises(KeyError, match="expected a landmark among fundus"):
        site.landmark("spleen", positions)


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_patients(site):
    again = OperationSite(2, resolution="demo")
    assert again.rest.tobytes() == site.rest.tobytes()
    for field in dataclasses.fields(site.bonds):
        assert getattr(again.bonds, field.name).tobytes() == getattr(site.bonds, field.name).tobytes()
    assert again.obstacle.values.tobytes() == site.obstacle.values.tobytes()
    patients = [Patient.draw(np.random.default_rng([seed, 301]), Variation()) for seed in range(40)]
    assert {patient.gallbladder for patient in patients} == set(GALLBLADDERS)
    assert {patient.artery_is_anterior for patient in patients} == {True, False}
    assert {len(patient.branch_angles) for patient in patients} == {1, 2}
    liver = [patient.materials["liver"].young_kpa for patient in patients]
    assert 3 <= min(liver) < 4 and 7 < max(liver) <= 8


def test_fixing_one_difference_leaves_the_others():
    free, fixed = (
        Patient.draw(np.random.default_rng(7), variation)
        for variation in (Variation(), Variation(fat_cover=1.0, artery="posterior", branches=2))
    )
    assert fixed.fat_cover == 1.0 and not fixed.artery_is_anterior and len(fixed.branch_angles) == 2
    assert np.array_equal(fixed.sac, free.sac) and np.array_equal(fixed.duct, free.duct)
    assert fixed.liver == free.liver and fixed.materials == free.materials
    plain = [Patient.draw(np.random.default_rng(seed), Variation(amount=0)) for seed in (1, 2)]
    assert np.array_equal(plain[0].sac, plain[1].sac) and plain[0].fat_cover == plain[1].fat_cover


def test_fat_covers_what_it_is_told_to():
    volumes = []
    for cover in (0.0, 1.0):
        rng = np.random.default_rng(4)
        patient = Patient.draw(rng, Variation(fat_cover=cover))
        organs = Organs(patient, VolumeNoise(4), Lobules(rng), 0.0)
        low, high = organs.calot_corners.min(0) - 12, organs.calot_corners.max(0) + 12
        volumes.append((SampledField.sample_where_near(organs.calot, low, high, 1.0).values < 0).sum())
    assert volumes[1] > 2 * volumes[0] > 100


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="expected gallbladder among"):
        Variation(gallbladder="huge")
    with pytest.raises(ValueError, match="expected branches among"):
        Variation(branches=3)
    with pytest.raises(ValueError, match="expected artery 'anterior' or 'posterior', got 'left'"):
        Variation(artery="left")
    with pytest.raises(ValueError, match=r"fat_cover in 0\.\.1"):
        Variation(fat_cover=2.0)
    with pytest.raises(ValueError, match="expected a resolution among"):
        OperationSite(0, resolution="fine")


def test_the_camera_sees_tissue_only_and_all_that_is_operated_on(site):
    paper = Material(Tile(np.full((64, 64, 3), 0.5, np.float32), np.zeros((64, 64), np.float32)))
    library = MaterialLibrary({name: paper for name in ("fat", "gut", "peritoneum", "organ")})
    parts = site.backdrop_parts()
    assert [part.class_id for part in parts] == [FAT, GUT, ABDOMINAL_WALL]
    for body in site.bodies:
        faces, owner = body.mesh.boundary()
        for class_id in np.unique(body.classes[owner]):
            mesh = Mesh(body.mesh.vertices, faces[body.classes[owner] == class_id])
            parts.append(Part(mesh, "organ", int(class_id)))
    target = site.landmark("infundibulum", site.rest)
    direction = np.array([0.15, -0.8, 0.58]) / np.linalg.norm([0.15, -0.8, 0.58])
    world_from_camera = look_at(target + 75 * direction, target, np.array([0, 0.7, 0.7]))
    camera = Camera(160, 128, 140.0, 140.0, 80.0, 64.0)
    picture = Renderer(Scene({"site": parts}, library), camera).render(world_from_camera, colour=False)
    assert (picture.class_map != 0).all()
    count = np.bincount(picture.class_map.ravel(), minlength=14) / picture.class_map.size
    assert count[GALLBLADDER] > 0.05 and count[LIVER] > 0.1 and count[FAT] > 0.05
    assert count[DUCT] + count[FAT] + count[CONNECTIVE] > 0 and count[DUCT] > 0.0005
    assert count[ARTERY] > 0.0005


def test_tints_are_factors_and_shares(site):
    body = site.bodies[GALLBLADDER_BODY]
    faces, owner = body.mesh.boundary()
    points = body.mesh.vertices[faces].mean(1)
    tint = site.tint(points, body.classes[owner])
    assert tint.shape == (len(points), 4) and tint.dtype == np.float32
    assert tint[:, :3].min() >= 0.4 and tint[:, :3].max() <= 1.6
    assert tint[:, 3].min() >= 0 and tint[:, 3].max() <= 1 and tint[:, 3].std() > 0.05
    front = points[:, 2] > np.percentile(points[:, 2], 90)
    hidden = SurfaceDistance(site.bodies[LIVER_BODY].mesh.vertices, site.bodies[LIVER_BODY].mesh.boundary()[0])(points)
    assert tint[front, 3].mean() > tint[hidden < 2.5, 3].mean() + 0.2  # darker in the bed
