"""The smooth distortion of an electromagnetic tracker's field, as a Gaussian process over position.

A reading at position p is off by a translation and a small rotation that change smoothly with p. Each component is
drawn from a Gaussian process with squared-exponential covariance a^2 exp(-|p - q|^2 / (2 l^2)), plus independent noise
(Rasmussen and Williams 2006, chapter 2). Far from the samples the prediction fades to zero: nothing is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

LENGTHS_MM = (40.0, 55.0, 75.0, 100.0, 140.0)  # a field that bends more slowly is all but an alignment
NOISE_RATIOS = (0.03, 0.06, 0.1, 0.2, 0.4, 0.8, 1.6, 5.0)
AMPLITUDE_FACTOR = 1.7


@dataclass(frozen=True)
class Covariance:
    """Of one kind of residual (translation in mm, or rotation in radians); the three axes are independent and alike."""

    length_mm: float
    amplitude: float
    noise: float

    def between(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """[N, M] covariance of the field at positions [N, 3] and [M, 3]."""
        return self.amplitude**2 * _correlation(first, second, self.length_mm)

    def of_readings(self, positions: np.ndarray) -> np.ndarray:
        """[N, N] covariance of readings at positions [N, 3], noise included."""
        return self.between(positions, positions) + self.noise**2 * np.eye(len(positions))

    def predict(self, positions: np.ndarray, residuals: np.ndarray, query: np.ndarray) -> np.ndarray:
        """Posterior mean [M, 3] of the field at `query` [M, 3], from residuals [N, 3] seen at `positions` [N, 3]."""
        weights = cho_solve(cho_factor(self.of_readings(positions), lower=True), residuals)
        return self.between(query, positions) @ weights


def fit_covariance(
    positions: np.ndarray, residuals: np.ndarray, jacobian: np.ndarray, typical_amplitude: float
) -> Covariance:
    """The covariance that is most probable given the residuals, among a grid of length scales and noise ratios.

    Restricted likelihood (Patterson and Thompson 1971): `residuals` [N, 3] are what a least-squares fit left over, and
    `jacobian` [N, 3, P] their derivatives by its parameters, which have already taken up part of the field. What they
    took up the residuals cannot tell, so a wide prior holds the amplitude near `typical_amplitude`: within a factor of
    AMPLITUDE_FACTOR at one standard deviation.
    """
    count = residuals.size
    basis = _column_basis(jacobian.reshape(count, -1))
    best, best_likelihood = None, -np.inf
    for length in LENGTHS_MM:
        eigenvalues, axes = np.linalg.eigh(_correlation(positions, positions, length))
        rotated_basis = (axes.T @ basis.reshape(len(positions), -1)).reshape(basis.shape)
        rotated = (axes.T @ residuals).reshape(count)
        for ratio in NOISE_RATIOS:
            variances = np.repeat(eigenvalues.clip(0) + ratio**2, 3)
            white_basis, white = rotated_basis / np.sqrt(variances)[:, None], rotated / np.sqrt(variances)
            normal = white_basis.T @ white_basis
            white = white - white_basis @ np.linalg.solve(normal, white_basis.T @ white)
            freedom = count - basis.shape[1]
            variance = white @ white / freedom
            log_determinants = np.log(variances).sum() + np.linalg.slogdet(normal)[1]
            amplitude = float(np.sqrt(variance))
            surprise = np.log(amplitude / typical_amplitude) / np.log(AMPLITUDE_FACTOR)
            likelihood = -0.5 * (freedom * np.log(variance) + log_determinants + surprise**2)
            if likelihood > best_likelihood:
                best_likelihood = likelihood
                best = Covariance(length, amplitude, ratio * amplitude)
    return best


def _correlation(first: np.ndarray, second: np.ndarray, length: float) -> np.ndarray:
    squared = ((first[:, None] - second[None]) ** 2).sum(-1)
    # below 1e-20 zero: products of ever smaller numbers would become denormal, which processors handle slowly
    return np.where(squared < 92 * length**2, np.exp(-0.5 * squared / length**2), 0.0)


def _column_basis(matrix: np.ndarray) -> np.ndarray:
    u, singular, _ = np.linalg.svd(matrix, full_matrices=False)
    return u[:, singular > 1e-9 * singular[0]] if singular.size and singular[0] > 0 else u[:, :0]
