"""The Gaussian model: its parameters, rigid motion, and the standard 3DGS .ply file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import plyfile
import torch

from splatscope.errors import InputError
from splatscope.files import atomic_path
from splatscope.geometry import matrix_to_quaternion
from splatscope.ply_header import ply_header_problem
from splatscope.splats.spherical_harmonics import degree_of, rotation_matrix

LIGHT_PROPERTIES = ["light_0", "light_1", "light_2"]


@dataclass(frozen=True)
class Gaussians:
    """N anisotropic 3D Gaussians, as torch tensors of one float type on one device."""

    means: torch.Tensor  # [N, 3] mm
    quaternions: torch.Tensor  # [N, 4] w, x, y, z of any norm but zero: target (world) from the Gaussian's own axes
    log_scales: torch.Tensor  # [N, 3] log of the standard deviation in mm along the own axes
    opacity_logits: torch.Tensor  # [N]
    sh: torch.Tensor  # [N, (degree + 1)^2, 3]; colour = SH + 0.5, clamped at 0
    labels: torch.Tensor | None = None  # [N] uint8; 0 where nothing is labelled (and where None is given)
    # [N, 3] how a light that sits at the camera acts: reference distance in mm, fall-off p, cone q. At distance r and
    # angle a to the optical axis the colour is multiplied by (reference / r)^p cos(a)^q. None: colours do not change
    light: torch.Tensor | None = None

    def __post_init__(self):
        if self.labels is None:
            object.__setattr__(self, "labels", torch.zeros(len(self.means), dtype=torch.uint8, device=self.device))
        count = len(self.means)
        coefficients = self.sh.shape[1] if self.sh.ndim == 3 else -1
        expected = {
            "means": (count, 3),
            "quaternions": (count, 4),
            "log_scales": (count, 3),
            "opacity_logits": (count,),
            "sh": (count, coefficients, 3),
            "labels": (count,),
            "light": (count, 3),
        }
        if self.light is None:
            del expected["light"]
        for name, shape in expected.items():
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(f"expected {name} {list(shape)}, got {list(getattr(self, name).shape)}")
        if self.labels.dtype != torch.uint8:
            raise ValueError(f"expected labels uint8, got {self.labels.dtype}")
        degree_of(coefficients)

    def __len__(self) -> int:
        return len(self.means)

    @property
    def sh_degree(self) -> int:
        return degree_of(self.sh.shape[1])

    @property
    def device(self) -> torch.device:
        return self.means.device

    def select(self, mask: torch.Tensor | np.ndarray) -> Gaussians:
        """The Gaussians of a bool mask [N], or of indices in their order."""
        mask = torch.as_tensor(mask, device=self.device)
        return self._each(lambda value: value[mask])

    def to(self, target: torch.device | str | torch.dtype) -> Gaussians:
        """On another device, or of another float type (labels stay uint8)."""
        moved = self._each(lambda value: value if value is self.labels else value.to(target))
        return replace(moved, labels=self.labels.to(moved.device))

    def detach(self) -> Gaussians:
        return self._each(lambda value: value.detach())

    def transformed(self, target_from_source: np.ndarray) -> Gaussians:
        """Moved rigidly by a transform [4, 4]: mu' = R mu + t, Sigma' = R Sigma R^T, SH bands turned by R.

        Computed in float64. ValueError when the transform is not rigid.
        """
        rotation, translation = _rigid_parts(target_from_source)
        means = self.means.double() @ self._constant(rotation).T + self._constant(translation)
        turn = self._constant(rotation_matrix(self.sh_degree, rotation))
        sh = torch.einsum("ij,njc->nic", turn, self.sh.double())
        return replace(
            self,
            means=means.to(self.means.dtype),
            quaternions=self._rotated_quaternions(rotation),
            sh=sh.to(self.sh.dtype),
        )

    def paper_transformed(self, target_from_source: np.ndarray) -> Gaussians:
        """Moved as Zeng et al. (MICCAI 2024) Eq. 2 writes it: mu' = mu + t, Sigma' = R Sigma R^T, SH left alone.

        Wrong for any rotation (means do not turn about the origin, highlights stay behind); kept for comparison.
        """
        rotation, translation = _rigid_parts(target_from_source)
        means = self.means.double() + self._constant(translation)
        return replace(self, means=means.to(self.means.dtype), quaternions=self._rotated_quaternions(rotation))

    def _constant(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float64, device=self.device)

    def _rotated_quaternions(self, rotation: np.ndarray) -> torch.Tensor:
        turn = self._constant(matrix_to_quaternion(rotation))
        return _multiply_quaternions(turn, self.quaternions.double()).to(self.quaternions.dtype)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Gaussians:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return Gaussians(**{name: None if value is None else change(value) for name, value in values.items()})


def concatenate(parts: Sequence[Gaussians]) -> Gaussians:
    """One model of several; lower SH degrees are padded with zeros to the highest. Each keeps its own light."""
    coefficients = max(part.sh.shape[1] for part in parts)
    lit = any(part.light is not None for part in parts)
    unlit = torch.tensor([1.0, 0, 0])
    padded = [
        replace(
            part,
            sh=torch.nn.functional.pad(part.sh, (0, 0, 0, coefficients - part.sh.shape[1])),
            light=unlit.to(part.means).repeat(len(part), 1) if lit and part.light is None else part.light,
        )
        for part in parts
    ]
    names = [item.name for item in fields(Gaussians) if lit or item.name != "light"]
    return Gaussians(**{name: torch.cat([getattr(part, name) for part in padded]) for name in names})


def write_ply(path: str | Path, gaussians: Gaussians) -> None:
    """Write the standard 3DGS layout (binary, float32), which any 3DGS viewer opens.

    A `label` property (uchar) follows only when a label is not 0, and `light_0 .. light_2` where there is light.
    """
    columns = {name: gaussians.means[:, axis] for axis, name in enumerate("xyz")}
    columns |= {name: torch.zeros(len(gaussians)) for name in ("nx", "ny", "nz")}
    columns |= {f"f_dc_{channel}": gaussians.sh[:, 0, channel] for channel in range(3)}
    rest = gaussians.sh[:, 1:].transpose(1, 2).flatten(1)  # channel-major: all of red, then green, then blue
    columns |= {f"f_rest_{index}": rest[:, index] for index in range(rest.shape[1])}
    columns["opacity"] = gaussians.opacity_logits
    columns |= {f"scale_{axis}": gaussians.log_scales[:, axis] for axis in range(3)}
    columns |= {f"rot_{index}": gaussians.quaternions[:, index] for index in range(4)}
    if gaussians.light is not None:
        columns |= {name: gaussians.light[:, index] for index, name in enumerate(LIGHT_PROPERTIES)}
    layout = [(name, "<f4") for name in columns]
    if gaussians.labels.any():
        columns["label"] = gaussians.labels
        layout.append(("label", "u1"))
    vertices = np.empty(len(gaussians), layout)
    for name, values in columns.items():
        vertices[name] = values.detach().cpu().numpy()
    with atomic_path(path) as temporary:
        plyfile.PlyData([plyfile.PlyElement.describe(vertices, "vertex")], byte_order="<").write(str(temporary))


def read_ply(path: str | Path) -> Gaussians:
    """Read a 3DGS .ply (float32). Raises InputError for anything else, for NaN, and for zero quaternions."""
    vertices = _read_vertices(path)

    def matrix(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.asarray(vertices[name], np.float32) for name in names], -1))

    rest_count = sum(name.startswith("f_rest_") for name in vertices.dtype.names)
    rest_names = [f"f_rest_{index}" for index in range(rest_count)]
    names = (
        ["x", "y", "z", "opacity"]
        + [f"{stem}_{index}" for stem, count in (("f_dc", 3), ("scale", 3), ("rot", 4)) for index in range(count)]
        + rest_names
    )
    lit = any(name in vertices.dtype.names for name in LIGHT_PROPERTIES)
    names += LIGHT_PROPERTIES if lit else []
    missing = [name for name in names if name not in vertices.dtype.names]
    if missing or rest_count not in (0, 9, 24, 45):
        raise _not_a_splat(path, f"no property {missing[0]}" if missing else f"{rest_count} f_rest properties")
    for name in names:
        wrong = ~np.isfinite(np.asarray(vertices[name], np.float64).astype(np.float32))
        if wrong.any():
            raise _not_a_splat(
                path, f"{name} is {vertices[name][wrong][0]}", f"vertex {int(wrong.argmax())}", "finite numbers"
            )
    quaternions = matrix("rot_0", "rot_1", "rot_2", "rot_3")
    zero = (quaternions == 0).all(1)
    if zero.any():
        raise _not_a_splat(path, "rot_0 .. rot_3 are all 0", f"vertex {int(zero.int().argmax())}", "a rotation")
    if lit and (np.asarray(vertices["light_0"]) <= 0).any():
        raise _not_a_splat(path, "light_0 is not positive", expected="a distance in mm")
    sh = matrix("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    if rest_names:
        sh = torch.cat([sh, matrix(*rest_names).unflatten(1, (3, -1)).transpose(1, 2)], 1)
    labels = None
    if "label" in vertices.dtype.names:
        labels = torch.from_numpy(np.asarray(vertices["label"]).astype(np.uint8))
    return Gaussians(
        means=matrix("x", "y", "z"),
        quaternions=quaternions,
        log_scales=matrix("scale_0", "scale_1", "scale_2"),
        opacity_logits=matrix("opacity")[:, 0],
        sh=sh.contiguous(),
        labels=labels,
        light=matrix(*LIGHT_PROPERTIES) if lit else None,
    )


def _read_vertices(path: str | Path) -> np.ndarray:
    problem = ply_header_problem(path, lists_allowed=False)
    if problem:
        raise _not_a_splat(path, problem)
    try:
        content = plyfile.PlyData.read(str(path))
    except (plyfile.PlyParseError, OSError, ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise _not_a_splat(path, str(error) or type(error).__name__) from error
    if "vertex" not in content:
        raise _not_a_splat(path, f"elements {[element.name for element in content.elements]}")
    vertices = content["vertex"].data
    return vertices


def _not_a_splat(path, found: str, where: str = "", expected: str = "") -> InputError:
    return InputError(
        path,
        where,
        found=found,
        expected=expected or "a 3DGS .ply: x y z, f_dc_0..2, f_rest_0..{0, 9, 24, 45}, opacity, scale_0..2, rot_0..3",
        remedy="export the model again as a standard 3D Gaussian splatting .ply",
    )


def _rigid_parts(transform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    transform = np.asarray(transform, np.float64)
    if transform.shape != (4, 4) or not np.isfinite(transform).all():
        raise ValueError(f"expected a finite transform [4, 4], got {list(transform.shape)}")
    rotation = transform[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-5 or np.linalg.det(rotation) < 0:
        raise ValueError("expected a rigid transform: its upper left 3 x 3 block is no rotation")
    return rotation, transform[:3, 3]


def _multiply_quaternions(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    w1, x1, y1, z1 = first.unbind(-1)
    w2, x2, y2, z2 = second.unbind(-1)
    return torch.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        -1,
    )
