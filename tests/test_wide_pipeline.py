"""The CPU's stages, a group of pixels at a time, against the plain ones that CUDA runs."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from splatscope.geometry import Camera, make_transform
from splatscope.meshes import renderer as rendering
from splatscope.meshes import textures
from splatscope.meshes.materials import COORDINATES, Material, MaterialLibrary
from splatscope.meshes.mesh import Mesh
from splatscope.meshes.pipeline import Pipeline
from splatscope.meshes.renderer import Light, Renderer
from splatscope.meshes.scene import Look, Part, Scene, Surface

CAMERAS = {
    "pinhole": Camera(96, 80, 90.0, 92.0, 50.0, 38.5),
    "lens": Camera(90, 70, 70.0, 72.0, 46.0, 34.5, (-0.25, 0.06, 0.002, -0.001)),  # rows are no whole groups
}
AHEAD = np.eye(4)


def tile(seed: int, px: int = 128) -> textures.Tile:
    rng = np.random.default_rng(seed)
    albedo, gloss, height = rng.uniform(0.01, 0.9, (px, px, 3)), rng.uniform(0.1, 1.6, (px, px)), rng.random((px, px))
    return textures.Tile(albedo.astype(np.float32), gloss.astype(np.float32), height.astype(np.float32) * 0.3)


@pytest.fixture(scope="module")
def materials() -> MaterialLibrary:
    optics = {"film_reflectance": 0.03, "scatter": 0.25}
    return MaterialLibrary(
        {
            "wet": Material(tile(0), **optics),
            "coarse": Material(tile(1), tile_mm=(120.0, 120.0), reflectance=0.2, bump=0.5),
            "sleeve": Material(tile(2), COORDINATES, (25.0, 90.0), roughness=0.2),
        }
    )


def ball(centre, radius: float, material: str, **labels) -> Part:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    sphere.apply_transform(trimesh.transformations.random_rotation_matrix(np.array([0.1, 0.7, 0.3])))
    return Part(Mesh(sphere.vertices + centre, sphere.faces), material, **labels)


def sheet() -> Surface:
    """Behind everything, close enough to the camera to cross the near plane, burnt here and bled on there."""
    corners = np.array([[-90.0, 30, -40], [90, 30, -40], [0, 30, 150], [-120, -60, 95], [120, -60, 95]])
    faces = np.array([[0, 2, 1], [2, 3, 4]])
    mesh = Mesh(corners, faces)
    if mesh.normals[0, 1] > 0:
        mesh = mesh.flipped()
    condition = np.array([[0.0, 1.0], [1.4, 0], [0.4, 0.9], [0, 0], [0.9, 0]], np.float32)
    looks = [Look("wet", 2), Look("coarse", 3)]
    return Surface(mesh, looks, np.array([0, 1]), condition)


@pytest.fixture(scope="module")
def scene(materials) -> Scene:
    rng = np.random.default_rng(4)
    names = ["wet", "coarse", "sleeve"]
    balls = [
        ball(rng.uniform([-25, -20, 40], [25, 20, 90]), rng.uniform(4, 14), names[i % 3], class_id=i + 5, instance=i)
        for i in range(1, 13)
    ]
    turned = make_transform(Rotation.from_rotvec([0.2, -0.4, 0.3]).as_matrix(), np.array([2.0, 3, -4]))
    scene = Scene({"still": balls[:7], "turned": balls[7:], "sheet": sheet()}, materials)
    scene.set_pose("turned", turned)
    return scene


def renderers(scene: Scene, monkeypatch, camera: Camera, **options) -> list[Renderer]:
    """The wide one, the plain one."""
    wide = Renderer(scene, camera, Light(), 7, **options)
    monkeypatch.setattr(rendering, "WidePipeline", Pipeline)
    plain = Renderer(scene, camera, Light(), 7, **options)
    assert type(wide._pipeline) is not Pipeline and type(plain._pipeline) is Pipeline
    return [wide, plain]


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_wide_stages_show_what_the_plain_ones_show(scene, monkeypatch, name, samples):
    camera = CAMERAS[name]
    labelled = np.ones((camera.height, camera.width), bool)
    labelled[:, :9] = False
    wide, plain = (
        one.render(AHEAD, normals=True, points=True)
        for one in renderers(scene, monkeypatch, camera, samples=samples, labelled=labelled)
    )
    assert len(np.unique(plain.class_map)) > 10 and (plain.class_map == 7).any() and (plain.class_map == 0).any()
    for labels in ("class_map", "instance_map", "amodal_bits"):
        assert np.array_equal(getattr(wide, labels), getattr(plain, labels)), labels
    assert np.allclose(wide.depth_mm, plain.depth_mm, atol=1e-4)
    assert np.allclose(wide.normals, plain.normals, atol=1e-4)
    assert np.array_equal(wide.points[..., 0], plain.points[..., 0])
    assert np.allclose(wide.points, plain.points, atol=1e-3)
    apart = np.abs(wide.radiance - plain.radiance).max(-1)
    assert plain.radiance.std() > 0.1 and (plain.radiance[:, :9] > 0).any()
    assert np.percentile(apart, 99) < 1e-3 * plain.radiance.mean() and apart.max() < 0.05


@pytest.mark.parametrize("name", CAMERAS)
def test_wide_flow_is_the_plain_flow(scene, monkeypatch, name):
    flows = []
    for renderer in renderers(scene, monkeypatch, CAMERAS[name]):
        renderer.render(AHEAD)
        before = renderer.view()
        scene.set_pose("still", make_transform(np.eye(3), np.array([3.0, -2, 1])))
        renderer.render(make_transform(Rotation.from_rotvec([0.0, 0.05, 0.1]).as_matrix(), np.array([1.0, 2, 3])))
        flows.append(renderer.flow(before, renderer.view()))
        scene.set_pose("still", AHEAD)
    wide, plain = flows
    assert set(np.unique(plain[..., 2])) == {0, 1, 2}
    assert np.mean(wide[..., 2] != plain[..., 2]) < 1e-3  # where two depths are as good as equal
    assert np.allclose(wide[..., :2], plain[..., :2], atol=1e-2)


def test_wide_stages_repeat_themselves(scene):
    renderer = Renderer(scene, CAMERAS["lens"], samples=2)
    first, second = (renderer.render(AHEAD, normals=True, points=True) for _ in range(2))
    for name, values in vars(first).items():
        assert np.array_equal(values, getattr(second, name)), name


def test_a_scene_without_anything_in_sight_is_dark(materials):
    behind = Scene({"ball": [ball((0, 0, -50), 5, "wet", class_id=2, instance=1)]}, materials)
    picture = Renderer(behind, CAMERAS["lens"], samples=2).render(AHEAD, normals=True, points=True)
    for name, values in vars(picture).items():
        assert not values.any(), name
