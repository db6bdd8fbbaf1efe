"""Real spherical harmonics in the sign and order convention of 3D Gaussian splatting, bands 0 to 3.

A coefficient vector [(degree + 1)^2] holds band after band, within band l the orders m = -l .. l.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

MAX_DEGREE = 3
BAND_0 = 0.28209479177387814  # the constant function of band 0: colour = BAND_0 * coefficient + 0.5


def basis(degree: int, directions: torch.Tensor) -> torch.Tensor:
    """Basis functions [..., (degree + 1)^2] at unit directions [..., 3]; any float type, differentiable."""
    x, y, z = directions.unbind(-1)
    values = [torch.full_like(x, BAND_0)]
    if degree >= 1:
        values += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree >= 2:
        values += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3 * z * z - 1),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ]
    if degree >= 3:
        values += [
            -0.5900435899266435 * y * (3 * x * x - y * y),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * z * z - 1),
            0.3731763325901154 * z * (5 * z * z - 3),
            -0.4570457994644658 * x * (5 * z * z - 1),
            1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]
    return torch.stack(values, -1)


def degree_of(coefficients: int) -> int:
    """Degree of a coefficient vector of this length; ValueError unless 1, 4, 9 or 16."""
    for degree in range(MAX_DEGREE + 1):
        if (degree + 1) ** 2 == coefficients:
            return degree
    raise ValueError(f"expected 1, 4, 9 or 16 spherical-harmonic coefficients, got {coefficients}")


def rotation_matrix(degree: int, rotation: np.ndarray) -> np.ndarray:
    """Matrix [(degree + 1)^2, (degree + 1)^2], float64: coefficients of f turned into those of d -> f(R^T d).

    Block-diagonal, one Wigner matrix per band. Each block is solved from the basis functions themselves, evaluated at
    fixed directions and at the rotated ones, so it cannot disagree with `basis` in signs or order. Exact to rounding,
    because a rotated band is again a combination of the same band.
    """
    directions, inverses = _fixed_directions()
    turned = basis(degree, torch.from_numpy(directions @ rotation)).numpy()  # rows are (R^T d)^T
    matrix = np.zeros(((degree + 1) ** 2, (degree + 1) ** 2))
    for band in range(degree + 1):
        block = slice(band**2, (band + 1) ** 2)
        matrix[block, block] = inverses[band] @ turned[:, block]
    return matrix


@lru_cache(maxsize=1)
def _fixed_directions() -> tuple[np.ndarray, list[np.ndarray]]:
    """Directions [64, 3] spread over the sphere (Fibonacci), and for each band the pseudo-inverse of its basis."""
    count = 64
    index = np.arange(count) + 0.5
    height, angle = 1 - 2 * index / count, np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - height**2)
    directions = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1)
    values = basis(MAX_DEGREE, torch.from_numpy(directions)).numpy()
    return directions, [np.linalg.pinv(values[:, band**2 : (band + 1) ** 2]) for band in range(MAX_DEGREE + 1)]
