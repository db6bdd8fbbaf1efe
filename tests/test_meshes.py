"""The mesh renderer against formulas; the made-up organs and instrument."""

import numpy as np
import pytest
import trimesh

from splatscope.geometry import Camera, look_at, make_transform
from splatscope.meshes import distance_fields as sdf
from splatscope.meshes import textures
from splatscope.meshes.anatomy import LIVER, Anatomy
from splatscope.meshes.instruments import NEEDLE_DRIVER, NeedleDriver
from splatscope.meshes.materials import Material, MaterialLibrary
from splatscope.meshes.mesh import Mesh, write_ply
from splatscope.meshes.noise import VolumeNoise, band_noise, vessel_map
from splatscope.meshes.renderer import Light, Part, Renderer, Scene

CAMERA = Camera(96, 80, 90.0, 92.0, 50.0, 38.5)
AHEAD = np.eye(4)  # camera at the origin, looking along z


@pytest.fixture(scope="module")
def paper() -> MaterialLibrary:
    tile = textures.Tile(np.full((64, 64, 3), 0.5, np.float32), np.zeros((64, 64), np.float32))
    return MaterialLibrary({"paper": Material(tile)})


def ball(centre, radius: float, **labels) -> Part:
    sphere = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    return Part(Mesh(sphere.vertices + centre, sphere.faces), "paper", **labels)


def ray_sphere(camera: Camera, centre, radius: float) -> np.ndarray:
    """Depth [H, W] of a sphere by the quadratic formula; inf where the ray misses."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], -1)
    a, b = (rays**2).sum(-1), rays @ np.asarray(centre, float)
    discriminant = b**2 - a * (np.dot(centre, centre) - radius**2)
    with np.errstate(invalid="ignore"):
        return np.where(discriminant >= 0, (b - np.sqrt(discriminant)) / a, np.inf)


def test_sphere_agrees_with_ray_formula(paper):
    centre, radius = np.array([4.0, -3.0, 60.0]), 14.0
    picture = Renderer(Scene({"ball": [ball(centre, radius, class_id=2, instance=1)]}, paper), CAMERA).render(
        AHEAD, normals=True
    )
    truth = ray_sphere(CAMERA, centre, radius)
    seen = np.isfinite(truth)
    assert np.mean((picture.instance_map == 1) != seen) < 0.003  # only pixels on the silhouette
    both = seen & (picture.depth_mm > 0)
    error = np.abs(picture.depth_mm - truth)[both]
    assert np.median(error) < 0.01 and np.percentile(error, 98) < 0.1
    x, y = np.meshgrid(np.arange(CAMERA.width) + 0.5, np.arange(CAMERA.height) + 0.5)
    rays = np.stack([(x - CAMERA.cx) / CAMERA.fx, (y - CAMERA.cy) / CAMERA.fy, np.ones_like(x)], -1)
    expected = (rays[both] * truth[both][:, None] - centre) / radius
    assert ((picture.normals[both] * expected).sum(-1) > 0.995).all()
    assert (picture.radiance[~seen & (picture.depth_mm == 0)] == 0).all()
    assert set(np.unique(picture.class_map)) == {0, 2}


def test_nearer_object_hides_farther_and_amodal_keeps_both(paper):
    near, far = ball((3, 0, 40), 6, instance=1, class_id=14), ball((0, 0, 70), 16, instance=2, class_id=2)
    scene = Scene({"near": [near], "far": [far]}, paper)
    picture = Renderer(scene, CAMERA).render(AHEAD, colour=False)
    for instance, (centre, radius) in {1: ((3, 0, 40), 6), 2: ((0, 0, 70), 16)}.items():
        amodal = (picture.amodal_bits >> (instance - 1)) & 1 == 1
        visible = picture.instance_map == instance
        assert not (visible & ~amodal).any()
        assert np.mean(amodal != np.isfinite(ray_sphere(CAMERA, centre, radius))) < 0.004
    assert picture.instance_map[39, 53] == 1 and picture.amodal_bits[39, 53] == 0b11
    assert (picture.amodal_bits[picture.instance_map == 1] & 1).all()


def test_object_poses_and_camera_pose_are_honoured(paper):
    scene = Scene({"ball": [ball((0, 0, 0), 10, instance=1)]}, paper)
    scene.set_pose("ball", make_transform(np.eye(3), np.array([100.0, 20, -30])))
    world_from_camera = look_at(np.array([100.0, 70, -30]), np.array([100.0, 20, -30]), np.array([0, 0, 1.0]))
    picture = Renderer(scene, CAMERA).render(world_from_camera, colour=False)
    assert picture.depth_mm[38, 50] == pytest.approx(40, abs=0.02)


def test_triangle_through_the_near_plane_is_drawn_where_it_is_in_front(paper):
    floor = np.array([[-900.0, 10, -500], [900, 10, -500], [0, 10, 2000]])
    mesh = Mesh(floor, [[0, 1, 2]])
    if mesh.normals[0, 1] > 0:
        mesh = mesh.flipped()
    picture = Renderer(Scene({"floor": [Part(mesh, "paper", 1)]}, paper), CAMERA).render(AHEAD)
    rows = np.arange(CAMERA.height) + 0.5
    with np.errstate(divide="ignore"):
        expected = 10 / ((rows - CAMERA.cy) / CAMERA.fy)  # depth of the plane y = 10
    middle = picture.depth_mm[:, 50]
    below = (rows > CAMERA.cy + 1) & (expected < 1900)
    assert np.allclose(middle[below], expected[below], rtol=1e-3)
    assert (middle[rows < CAMERA.cy] == 0).all()


def test_shared_edges_leave_no_cracks(paper):
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(-60, 60, 40), np.linspace(-60, 60, 40), indexing="ij"), -1).reshape(-1, 2)
    vertices = np.column_stack([grid + rng.normal(0, 0.4, grid.shape), 50 + rng.normal(0, 0.3, len(grid))])
    index = np.arange(1600).reshape(40, 40)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.vstack([np.stack([a, c, b], -1), np.stack([a, d, c], -1)])
    picture = Renderer(Scene({"sheet": [Part(Mesh(vertices, faces), "paper", 1)]}, paper), CAMERA).render(AHEAD)
    assert (picture.class_map == 1).all()


def test_deforming_moves_the_surface_and_its_bounds(paper):
    part = ball((0, 0, 60), 10, instance=1)
    scene = Scene({"ball": [part]}, paper)
    renderer = Renderer(scene, CAMERA)
    renderer.render(AHEAD)
    scene.set_vertices("ball", part.mesh.vertices + np.float32([18, 0, -10]))
    picture = renderer.render(AHEAD, colour=False)
    truth = np.isfinite(ray_sphere(CAMERA, (18, 0, 50), 10))
    assert np.mean((picture.instance_map == 1) != truth) < 0.003
    with pytest.raises(ValueError, match="expected 10242 vertices"):
        scene.set_vertices("ball", part.mesh.vertices[:5])


def test_light_falls_with_the_squared_distance(paper):
    def brightness(distance):
        ball_ahead = Scene({"ball": [ball((0, 0, distance + 200), 200)]}, paper)
        return Renderer(ball_ahead, CAMERA, Light(ambient=0)).render(AHEAD).radiance[38, 50, 0]

    assert brightness(50) / brightness(100) == pytest.approx(4, rel=0.03)


def test_renderer_refuses_a_distorted_camera(paper):
    camera = Camera(96, 80, 90.0, 92.0, 50.0, 38.5, (-0.1, 0, 0, 0))
    with pytest.raises(ValueError, match="without distortion"):
        Renderer(Scene({"ball": [ball((0, 0, 60), 10)]}, paper), camera)
    with pytest.raises(ValueError, match="expected instances"):
        Scene({"ball": [ball((0, 0, 60), 10, instance=17)]}, paper)


def test_sampled_surface_is_closed_and_of_the_right_size():
    field = sdf.SampledField.sample(lambda p: sdf.ellipsoid(p, (1, 2, 3), (8, 8, 8)), (-9, -8, -7), (11, 12, 13), 0.7)
    surface = field.surface().to_trimesh()
    assert surface.is_watertight and surface.volume == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.02)
    assert field(np.array([[1.0, 2, 3 + 6]]))[0] == pytest.approx(-2, abs=0.1)


def test_noise_repeats_without_a_seam():
    rng = np.random.default_rng(0)
    tile = band_noise(rng, (64, 64), 16)
    assert tile.std() == pytest.approx(1, rel=1e-3)
    assert np.abs(tile[0] - tile[-1]).mean() < 0.5 * np.abs(tile[0] - tile[32]).mean()
    noise = VolumeNoise(0)
    points = rng.uniform(0, 100, (50, 3))
    assert np.allclose(noise(points, 10), noise(points + np.array([80, 0, -80]), 10), atol=1e-4)
    vessels = vessel_map(rng, 256, 1, 2.0)
    assert 0.01 < vessels.mean() < 0.8 and vessels.max() <= 1


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return Anatomy(3)


def test_organs_are_closed_and_of_plausible_size(anatomy):
    extents = {}
    for part in anatomy.parts:
        mesh = part.mesh.to_trimesh()
        assert mesh.is_watertight, part.material
        assert (mesh.volume > 0) == (part.material != "peritoneum"), part.material  # the cavity is seen from inside
        assert np.isfinite(part.mesh.tint).all() and np.allclose(
            np.linalg.norm(part.mesh.normals, axis=1), 1, atol=1e-3
        )
        extents[part.material] = mesh.extents
    assert 50 < max(extents["gallbladder"]) < 90 and 200 < max(extents["liver"]) < 300
    assert anatomy.distance(np.array([[0.0, 0, 90]]))[0] > 5 > 0 > anatomy.distance(np.array([[40.0, 66, -20]]))[0]


def test_nothing_but_tissue_is_seen_from_the_usual_places(anatomy, paper):
    parts = [Part(part.mesh, "paper", part.class_id) for part in anatomy.parts]
    renderer = Renderer(Scene({"site": parts}, paper), CAMERA)
    for eye in ((0, 0, 82), (46, 46, 50), (-46, -46, 50), (46, -46, 50), (-46, 46, 50)):
        picture = renderer.render(look_at(np.array(eye, float), np.zeros(3), np.array([0, 1.0, 0])), colour=False)
        assert (picture.depth_mm > 0).all() and (picture.class_map > 0).all()
        assert (picture.class_map == LIVER).any()


def test_instrument_has_the_real_ones_dimensions(tmp_path):
    tool = NeedleDriver()
    for part in tool.parts():
        merged = part.mesh.to_trimesh()
        merged.merge_vertices()
        assert merged.is_watertight, part.material
        assert merged.volume > 0 and part.class_id == NEEDLE_DRIVER and part.instance == 1
    mesh = tool.mesh()
    shaft = mesh.vertices[mesh.vertices[:, 2] < -20]
    assert np.linalg.norm(shaft[:, :2], axis=1).max() == pytest.approx(4.0, abs=1e-3)  # 8 mm
    assert mesh.vertices[:, 2].min() == pytest.approx(-135) and mesh.vertices[:, 2].max() == pytest.approx(
        20.5, abs=0.6
    )
    assert np.abs(mesh.vertices[:, :2]).max() < 4.8
    write_ply(tmp_path / "tool.ply", mesh)
    assert trimesh.load(tmp_path / "tool.ply").extents[2] == pytest.approx(155.5, abs=0.7)


def test_articulation_turns_the_jaws():
    tool, bent = NeedleDriver(), {"pitch": 40.0, "yaw": -30.0, "opening": 50.0}
    assert np.allclose(tool.tip, [0, 0, 20.5])
    tip = tool.keypoints(bent)["tip"]
    assert tip[1] < -8 and tip[0] < -4
    assert np.linalg.norm(tool.mesh(bent).vertices - tip, axis=1).min() < 6
