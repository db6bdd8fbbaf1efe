"""The Gaussian model: rigid motion is exact, the .ply is the standard one."""

from dataclasses import replace

import numpy as np
import plyfile
import pytest
import torch
from numpy.lib.recfunctions import repack_fields
from scipy.spatial.transform import Rotation

from splatscope.errors import InputError
from splatscope.geometry import make_transform
from splatscope.splats import spherical_harmonics
from splatscope.splats.gaussians import Gaussians, concatenate, read_ply, write_ply


def make_gaussians(
    count: int, degree: int = 3, seed: int = 0, dtype=torch.float32, labelled: bool = False
) -> Gaussians:
    rng = np.random.default_rng(seed)
    gaussians = Gaussians(
        *(
            torch.from_numpy(rng.normal(size=shape)).to(dtype)
            for shape in ((count, 3), (count, 4), (count, 3), (count,), (count, (degree + 1) ** 2, 3))
        )
    )
    if labelled:
        gaussians.labels[::2] = 7
    return gaussians


def covariances(gaussians: Gaussians) -> np.ndarray:
    rotations = Rotation.from_quat(gaussians.quaternions.numpy(), scalar_first=True).as_matrix()
    root = rotations * np.exp(gaussians.log_scales.numpy())[:, None]
    return root @ root.transpose(0, 2, 1)


@pytest.mark.parametrize("seed", range(5))
def test_rotating_coefficients_rotates_the_function(seed):
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(rng=rng).as_matrix()
    matrix = spherical_harmonics.rotation_matrix(3, rotation)
    directions = rng.normal(size=(100, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    coefficients = rng.normal(size=16)
    values = spherical_harmonics.basis(3, torch.from_numpy(directions)).numpy() @ coefficients
    turned = spherical_harmonics.basis(3, torch.from_numpy(directions @ rotation.T)).numpy() @ (matrix @ coefficients)
    np.testing.assert_allclose(turned, values, atol=1e-13)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(16), atol=1e-13)


def test_basis_is_orthonormal():
    # Gauss-Legendre in height times the trapezoid in angle integrates degree 6 exactly
    heights, weights = np.polynomial.legendre.leggauss(8)
    angles = np.arange(16) * np.pi / 8
    height, angle = np.meshgrid(heights, angles, indexing="ij")
    radius = np.sqrt(1 - height**2)
    directions = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1).reshape(-1, 3)
    values = spherical_harmonics.basis(3, torch.from_numpy(directions)).numpy()
    area = np.repeat(weights, 16) * np.pi / 8
    np.testing.assert_allclose(values.T @ (values * area[:, None]), np.eye(16), atol=1e-12)


def test_basis_agrees_with_gsplat():
    gsplat = pytest.importorskip("gsplat.cuda._torch_impl")
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.manual_seed(0)), dim=-1)
    coefficients = torch.randn(50, 16, 3)
    expected = gsplat._spherical_harmonics(3, directions, coefficients)
    values = torch.einsum("nk,nkc->nc", spherical_harmonics.basis(3, directions), coefficients)
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-5)


def test_transformed_moves_means_and_covariances():
    gaussians = make_gaussians(20, dtype=torch.float64)
    transform = make_transform(Rotation.random(rng=np.random.default_rng(1)).as_matrix(), [3, -40, 100])
    moved = gaussians.transformed(transform)
    rotation = transform[:3, :3]
    np.testing.assert_allclose(moved.means, gaussians.means.numpy() @ rotation.T + transform[:3, 3], atol=1e-12)
    np.testing.assert_allclose(covariances(moved), rotation @ covariances(gaussians) @ rotation.T, atol=1e-10)
    assert torch.equal(moved.log_scales, gaussians.log_scales)


def test_transforming_there_and_back_changes_nothing():
    gaussians = make_gaussians(20, dtype=torch.float64)
    transform = make_transform(Rotation.random(rng=np.random.default_rng(2)).as_matrix(), [1, 2, 3])
    back = gaussians.transformed(transform).transformed(np.linalg.inv(transform))
    for name in ("means", "quaternions", "sh"):
        torch.testing.assert_close(getattr(back, name), getattr(gaussians, name), atol=1e-12, rtol=0)


def test_paper_mode_leaves_means_unturned_and_sh_alone():
    gaussians = make_gaussians(5, dtype=torch.float64)
    transform = make_transform(Rotation.from_euler("z", 90, degrees=True).as_matrix(), [10, 0, 0])
    moved = gaussians.paper_transformed(transform)
    torch.testing.assert_close(moved.means, gaussians.means + torch.tensor([10.0, 0, 0], dtype=torch.float64))
    torch.testing.assert_close(moved.quaternions, gaussians.transformed(transform).quaternions)
    assert torch.equal(moved.sh, gaussians.sh)


@pytest.mark.parametrize("matrix", [np.diag([2.0, 2, 2, 1]), np.diag([-1.0, 1, 1, 1]), np.full((4, 4), np.nan)])
def test_only_rigid_transforms_are_accepted(matrix):
    with pytest.raises(ValueError, match="transform"):
        make_gaussians(2).transformed(matrix)


def test_shapes_are_checked_on_construction():
    good = make_gaussians(4)
    with pytest.raises(ValueError, match=r"expected log_scales \[4, 3\], got \[4, 2\]"):
        Gaussians(good.means, good.quaternions, good.log_scales[:, :2], good.opacity_logits, good.sh)
    with pytest.raises(ValueError, match="1, 4, 9 or 16"):
        Gaussians(good.means, good.quaternions, good.log_scales, good.opacity_logits, good.sh[:, :5])


def test_select_and_concatenate():
    first, second = make_gaussians(4, degree=3, labelled=True), make_gaussians(3, degree=1, seed=1)
    both = concatenate([first, second])
    assert len(both) == 7 and both.sh_degree == 3
    assert both.labels.tolist() == [7, 0, 7, 0, 0, 0, 0]
    assert torch.equal(both.sh[4:, :4], second.sh) and not both.sh[4:, 4:].any()
    again = both.select(np.arange(7) < 4)
    assert all(torch.equal(getattr(again, name), getattr(first, name)) for name in ("means", "sh", "labels"))


@pytest.mark.parametrize("degree", range(4))
@pytest.mark.parametrize("labelled", [False, True])
def test_ply_round_trip(tmp_path, degree, labelled):
    gaussians = make_gaussians(11, degree, labelled=labelled)
    write_ply(tmp_path / "a.ply", gaussians)
    again = read_ply(tmp_path / "a.ply")
    for name in ("means", "quaternions", "log_scales", "opacity_logits", "sh", "labels"):
        assert torch.equal(getattr(again, name), getattr(gaussians, name)), name
    write_ply(tmp_path / "b.ply", again)
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()


def test_ply_has_the_standard_layout(tmp_path):
    gaussians = make_gaussians(2)
    write_ply(tmp_path / "a.ply", gaussians)
    vertices = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"]
    names = [item.name for item in vertices.properties]
    assert names[:9] == ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    assert names[9:54] == [f"f_rest_{index}" for index in range(45)]
    assert names[54:] == ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert vertices["f_rest_15"][1] == gaussians.sh[1, 1, 1]  # green starts after the 15 of red


def test_light_travels_with_the_model(tmp_path):
    plain, lit = make_gaussians(3), replace(make_gaussians(2, seed=1), light=torch.tensor([[50.0, 1, 2]] * 2))
    both = concatenate([plain, lit])
    assert both.light.tolist() == [[1, 0, 0]] * 3 + [[50, 1, 2]] * 2
    write_ply(tmp_path / "a.ply", both)
    assert torch.equal(read_ply(tmp_path / "a.ply").light, both.light)
    assert torch.equal(both.select([4, 0]).light, both.light[[4, 0]])
    assert torch.equal(both.transformed(np.eye(4)).light, both.light)
    assert concatenate([plain, plain]).light is None
    rewrite(tmp_path / "a.ply", setting("light_0", -1))
    with pytest.raises(InputError, match="light_0 is not positive"):
        read_ply(tmp_path / "a.ply")


def test_an_empty_model_survives_the_file(tmp_path):
    write_ply(tmp_path / "a.ply", make_gaussians(0))
    assert len(read_ply(tmp_path / "a.ply")) == 0


def rewrite(path, change):
    vertices = plyfile.PlyData.read(str(path), mmap=False)["vertex"].data
    plyfile.PlyData([plyfile.PlyElement.describe(change(vertices.copy()), "vertex")]).write(str(path))


def without(name):
    return lambda vertices: repack_fields(vertices[[other for other in vertices.dtype.names if other != name]])


def setting(names, value):
    def change(vertices):
        for name in np.atleast_1d(names):
            vertices[name][1] = value
        return vertices

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("opacity"), "no property opacity"),
        (without("rot_3"), "no property rot_3"),
        (without("f_rest_44"), "44 f_rest properties"),
        (without("f_rest_3"), "no property f_rest_3"),
        (setting("scale_1", np.nan), "scale_1 is nan"),
        (setting("x", np.inf), "x is inf"),
        (setting(["rot_0", "rot_1", "rot_2", "rot_3"], 0), "rot_0 .. rot_3 are all 0"),
    ],
)
def test_what_is_no_splat_is_refused(tmp_path, change, message):
    write_ply(tmp_path / "a.ply", make_gaussians(3))
    rewrite(tmp_path / "a.ply", change)
    with pytest.raises(InputError, match=message):
        read_ply(tmp_path / "a.ply")


@pytest.mark.parametrize("keep", [0, 3, 100, 1500, -1])
def test_a_truncated_ply_is_refused(tmp_path, keep):
    write_ply(tmp_path / "a.ply", make_gaussians(3))
    (tmp_path / "a.ply").write_bytes((tmp_path / "a.ply").read_bytes()[:keep])
    with pytest.raises(InputError):
        read_ply(tmp_path / "a.ply")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError):
        read_ply(tmp_path / "absent.ply")
    (tmp_path / "a.ply").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(InputError):
        read_ply(tmp_path / "a.ply")
    mesh = np.zeros(3, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    plyfile.PlyData([plyfile.PlyElement.describe(mesh, "vertex")]).write(str(tmp_path / "mesh.ply"))
    with pytest.raises(InputError, match="no property opacity"):
        read_ply(tmp_path / "mesh.ply")
