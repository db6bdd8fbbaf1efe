"""The mesh renderer against formulas; the made-up organs and instrument."""

import cv2
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from ray_cast import nearest_hits
from splatscope.geometry import Camera, look_at, make_transform
from splatscope.meshes import distance_fields as sdf
from splatscope.meshes import textures
from splatscope.meshes.anatomy import LIVER, Anatomy
from splatscope.meshes.instruments import NEEDLE_DRIVER, NeedleDriver
from splatscope.meshes.materials import Material, MaterialLibrary
from splatscope.meshes.mesh import Mesh, write_ply
from splatscope.meshes.noise import VolumeNoise, band_noise, vessel_map
from splatscope.meshes.renderer import Light, Renderer
from splatscope.meshes.scene import Look, Part, Scene, Surface

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


LENS = Camera(96, 80, 70.0, 72.0, 50.0, 38.5, (-0.25, 0.06, 0.002, -0.001))


def test_distorted_camera_sees_points_where_opencv_puts_them(paper):
    centres = np.array([[0.0, 0, 60], [20, -12, 60], [-25, 20, 60], [28, 22, 60], [-27, -21, 60]])
    scene = Scene({"balls": [ball(c, 0.9, instance=i + 1) for i, c in enumerate(centres)]}, paper)
    picture = Renderer(scene, LENS.scaled(960, 800)).render(AHEAD, colour=False)
    fine = LENS.scaled(960, 800)
    expected = cv2.projectPoints(centres, np.zeros(3), np.zeros(3), fine.opencv_matrix, np.array(LENS.distortion))[0]
    for index, pixel in enumerate(expected[:, 0]):
        rows, columns = np.nonzero(picture.instance_map == index + 1)
        assert np.hypot(columns.mean() - pixel[0], rows.mean() - pixel[1]) < 0.5  # of 960 pixels; a ball is 20 wide


def test_large_triangles_fill_the_whole_distorted_picture(paper):
    wall = Mesh([[-4000.0, -3000, 70], [4000, -3000, 70], [0, 5000, 70]], [[0, 2, 1]])
    picture = Renderer(Scene({"wall": [Part(wall, "paper", 1)]}, paper), LENS).render(AHEAD)
    assert (picture.class_map == 1).all() and np.allclose(picture.depth_mm, 70, rtol=1e-4)


def test_nothing_is_missing_where_the_lens_sees_more_than_its_focal_length_says(paper):
    corners = LENS.unproject(np.array([[4, 4], [92, 4], [4, 76], [92, 76]]))
    parts = [ball((*(60 * corner), 60), 1.5, instance=i) for i, corner in enumerate(corners, start=1)]
    picture = Renderer(Scene({"balls": parts}, paper), LENS).render(AHEAD, colour=False)
    assert [picture.instance_map[y, x] for y, x in ((4, 4), (4, 92), (76, 4), (76, 92))] == [1, 2, 3, 4]


@pytest.mark.parametrize("camera", [CAMERA, LENS], ids=["pinhole", "lens"])
def test_labels_equal_an_independent_ray_cast(paper, camera):
    rng = np.random.default_rng(4)
    parts = [
        ball(rng.uniform([-25, -20, 40], [25, 20, 90]), rng.uniform(4, 14), class_id=i, instance=i)
        for i in range(1, 13)
    ]
    picture = Renderer(Scene({"balls": parts}, paper), camera).render(AHEAD, colour=False)
    everything = trimesh.util.concatenate([part.mesh.to_trimesh() for part in parts])
    owner = np.repeat([part.class_id for part in parts], [len(part.mesh.faces) for part in parts])
    rays = camera.pixel_rays().reshape(-1, 2)
    directions = np.column_stack([rays, np.ones(len(rays))])
    faces, depth = nearest_hits(everything.vertices, everything.faces, directions)
    expected = np.where(faces >= 0, owner[faces], 0).reshape(camera.height, camera.width)
    assert np.mean(picture.class_map == expected) >= 0.999
    both = (picture.class_map == expected) & (expected > 0)
    error = np.abs(picture.depth_mm - depth.reshape(expected.shape))[both]
    assert np.median(error) < 1e-4 and error.max() < 0.01


@pytest.mark.parametrize("camera", [CAMERA, LENS], ids=["pinhole", "lens"])
def test_flow_finds_the_same_surface_points_again(paper, camera):
    near, far = ball((3, 0, 40), 6), ball((0, 0, 80), 30)
    scene = Scene({"near": [near], "far": [far]}, paper)
    renderer = Renderer(scene, camera)
    first = renderer.render(AHEAD, points=True)
    before = renderer.view()
    scene.set_pose("near", make_transform(Rotation.from_rotvec([0, 0, 0.3]).as_matrix(), np.array([4.0, -2, 3])))
    moved = look_at(np.array([3.0, 1, 2]), np.array([0.0, 0, 80]), np.array([0, -1.0, 0]))
    second = renderer.render(moved, points=True)
    after = renderer.view()
    for source, other, views in ((first, second, (before, after)), (second, first, (after, before))):
        flow = renderer.flow(*views)
        found = flow[..., 2]
        assert ((found > 0) == (source.points[..., 0] > 0)).all() and (found == 1).mean() > 0.1
        assert_points_agree(source, other, flow, found)
    hidden = renderer.flow(before, after)[..., 2] == 2
    assert 0 < hidden.mean() < 0.3


def assert_points_agree(source, other, flow, found):
    """The point that the flow leads to is the point that is seen there, but for the rounding to a pixel."""
    rows, columns = np.nonzero(found == 1)
    x = (columns + 0.5 + flow[rows, columns, 0]).astype(int)
    y = (rows + 0.5 + flow[rows, columns, 1]).astype(int)
    same = source.points[rows, columns, 0] == other.points[y, x, 0]
    assert same.mean() > 0.98
    apart = np.linalg.norm((source.points[rows, columns] - other.points[y, x])[..., 1:], axis=-1)[same]
    pixel_mm = source.depth_mm[rows, columns][same] / 70
    assert np.median(apart / pixel_mm) < 0.6


def test_samples_smooth_edges_as_a_finer_picture_does(paper):
    scene = Scene({"balls": [ball((3, 0, 40), 6), ball((-4, 2, 60), 16)]}, paper)
    fine = Renderer(scene, CAMERA.scaled(288, 240)).render(AHEAD).radiance.reshape(80, 3, 96, 3, 3).mean((1, 3))
    plain, smooth = (Renderer(scene, CAMERA, samples=samples).render(AHEAD).radiance for samples in (1, 3))
    before, after = (np.abs(picture - fine).max(-1) for picture in (plain, smooth))
    edge = before > 0.05 * fine.max()
    assert edge.sum() > 20
    # a pixel of which a diagonal neighbour's surface covers a corner is not looked into
    assert np.mean(after[edge] < 1e-3) > 0.8 and after.sum() < 0.3 * before.sum()


def test_patterns_finer_than_a_pixel_fade_to_their_mean():
    checks = np.where(np.indices((64, 64)).sum(0)[..., None] % 2, 0.2, 0.8) * np.ones(3)
    materials = {
        name: Material(textures.Tile(albedo.astype(np.float32), np.zeros((64, 64), np.float32)))
        for name, albedo in {"checked": checks, "plain": np.full((64, 64, 3), 0.5)}.items()
    }
    wall = Mesh([[-4000.0, -3000, 300], [4000, -3000, 300], [0, 5000, 300]], [[0, 2, 1]])  # 2.4 texels a pixel

    def radiance(material):
        scene = Scene({"wall": [Part(wall, material)]}, MaterialLibrary(materials))
        return Renderer(scene, CAMERA).render(AHEAD).radiance

    ratio = radiance("checked") / radiance("plain")
    assert np.abs(ratio.mean() - 1) < 0.01 and ratio.std() < 0.12  # 0.6 where single texels are seen


def test_pixels_outside_the_round_view_have_no_labels(paper):
    labelled = np.zeros((CAMERA.height, CAMERA.width), bool)
    labelled[:, 48:] = True
    scene = Scene({"ball": [ball((0, 0, 40), 12, class_id=2, instance=1)]}, paper)
    whole = Renderer(scene, CAMERA).render(AHEAD, normals=True, points=True)
    half = Renderer(scene, CAMERA, labelled=labelled).render(AHEAD, normals=True, points=True)
    for name, values in vars(whole).items():
        inside = labelled if values.ndim == 2 else labelled[..., None]
        expected = values if name == "radiance" else values * inside
        assert np.array_equal(getattr(half, name), expected), name
    assert whole.instance_map[~labelled].any()


def square(offset: float) -> np.ndarray:
    return np.array([[-10.0 + offset, -10, 50], [10 + offset, -10, 50], [10 + offset, 10, 50], [-10 + offset, 10, 50]])


def test_flow_follows_both_sides_of_a_cut(paper):
    """Two triangles share an edge, then come apart: each goes with its own copies of the vertices."""
    faces = np.array([[0, 2, 1], [0, 3, 2]])
    whole = Surface(Mesh(square(0), faces), [Look("paper", 2)], np.zeros(2, int))
    scene = Scene({"sheet": whole}, paper)
    renderer = Renderer(scene, CAMERA)
    renderer.render(AHEAD)
    before = renderer.view()
    apart = np.vstack([square(4), square(-4)[[0, 2]]])
    cut_faces = np.array([[0, 2, 1], [4, 3, 5]])
    apart[3] = square(-4)[3]
    scene.replace("sheet", Surface(Mesh(apart, cut_faces), [Look("paper", 2)], np.zeros(2, int)))
    renderer.render(AHEAD)
    flow = renderer.flow(before, renderer.view(), cut_faces)
    found = flow[..., 2]
    pixels = 4 / 50 * CAMERA.fx
    assert np.allclose(flow[found > 0][:, 1], 0, atol=1e-3)
    assert np.allclose(np.abs(flow[found > 0][:, 0]), pixels, atol=1e-2)
    assert {-1, 1} == set(np.sign(flow[found > 0][:, 0]))


def test_blood_takes_the_class_and_burns_darken(paper):
    mesh = Mesh(square(0), [[0, 2, 1], [0, 3, 2]])
    condition = np.array([[0, 1.0], [0, 0], [0, 0], [0, 1.0]], np.float32)  # blood on the left half
    looks = [Look("paper", 2)]
    scene = Scene({"sheet": Surface(mesh, looks, np.zeros(2, int), condition)}, paper)
    picture = Renderer(scene, CAMERA, blood_class=7).render(AHEAD)
    column = np.flatnonzero(picture.class_map[38])
    assert set(picture.class_map[38, column[:17]]) == {7} and set(picture.class_map[38, column[-17:]]) == {2}
    bled, raw = picture.radiance[25, column[5]], picture.radiance[25, column[-5]]
    assert bled[0] > 2 * bled[1] and raw[0] < 1.2 * raw[1]
    scene.set_vertices("sheet", mesh.vertices, condition=np.full((4, 2), [1.5, 0], np.float32))
    burnt = Renderer(scene, CAMERA, blood_class=7).render(AHEAD)
    assert set(np.unique(burnt.class_map)) == {0, 2}
    assert burnt.radiance[38, 50].max() < 0.3 * picture.radiance[38, column[-5]].max()


def test_wrong_instances_are_refused():
    with pytest.raises(ValueError, match="expected instances"):
        Look("paper", 1, 17)


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
