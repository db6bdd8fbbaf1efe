"""How far a set of images is from the style set, and how varied it is.

Over the features of Inception of 2015 the distances are FID (Heusel et al. 2017) and KID (Binkowski et al. 2018); over
any other network they are named after it and comparable only with themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from splatscope.config.restyle_proof import ProofConfig
from splatscope.restyle.style_features import (
    FeatureNetwork,
    StyleFeatures,
    load_feature_network,
    load_style_features,
)


@dataclass(frozen=True)
class StyleSet:
    """What restyled frames should come close to, and how the distance is measured."""

    style: StyleFeatures
    network: FeatureNetwork
    subset_size: int
    subsets: int

    def distance(self, images: Iterable[np.ndarray], seed: int = 0) -> dict:
        """Distances of two or more images, uint8 [H, W, 3] sRGB, from the style set; smaller is closer.

        style_distance, style_distance_std, style_distance_name: the kernel distance, its deviation over the subsets,
        its name. frechet_distance, frechet_distance_name. feature_diversity: see `feature_diversity`. style_images,
        subset_size. style_remark: what the numbers of images mean for the figures.
        """
        features = self.network(images)
        others = self.style.features
        subset_size = min(self.subset_size, len(features), len(others))
        kernel, deviation = kernel_distance(features, others, subset_size=subset_size, subsets=self.subsets, seed=seed)
        frechet_name, kernel_name = distance_names(self.network)
        return {
            "style_distance": kernel,
            "style_distance_std": deviation,
            "style_distance_name": kernel_name,
            "frechet_distance": frechet_distance(features, others),
            "frechet_distance_name": frechet_name,
            "feature_diversity": feature_diversity(features),
            "style_images": len(others),
            "subset_size": subset_size,
            "style_remark": _remark(len(features), len(others), features.shape[1]),
        }


def load_style_set(config: ProofConfig, device: torch.device | str = "cpu") -> StyleSet:
    """The configured style set, measured with Inception where its weights are named and EfficientNet-Lite0 otherwise.

    Raises InputError for frames, features or weights that cannot be used.
    """
    network = load_feature_network(config.inception_weights, device)
    style = load_style_features(config.style_frames, network)
    return StyleSet(style, network, config.kernel_subset_size, config.kernel_subsets)


def distance_names(network: FeatureNetwork) -> tuple[str, str]:
    """What the two distances are called over a network's features."""
    if network.is_inception:
        return "FID", "KID"
    return f"Fréchet distance ({network.name})", f"kernel distance ({network.name})"


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared 2-Wasserstein distance between Gaussians fitted to features [N, D] and [M, D]; N, M >= 2.

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)), sample covariances. With C = A^T A the last trace is the sum
    of the singular values of A1 A2^T: exact, also where covariances have no full rank, and no larger than it need be.
    """
    _check(first, second)
    factors = [_covariance_factor(features) for features in (first, second)]
    means = [features.astype(np.float64).mean(0) for features in (first, second)]
    shared = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    spread = sum((factor**2).sum() for factor in factors)
    return float(((means[0] - means[1]) ** 2).sum() + spread - 2 * shared)


def kernel_distance(
    first: np.ndarray, second: np.ndarray, *, subset_size: int = 100, subsets: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Squared maximum mean discrepancy of features [N, D] and [M, D], unbiased, kernel (x.y / D + 1)^3.

    Mean and standard deviation over random subsets of `subset_size`, by torch-fidelity.
    """
    _check(first, second)
    result = kid_features_to_metric(
        torch.from_numpy(np.ascontiguousarray(first)),
        torch.from_numpy(np.ascontiguousarray(second)),
        kid_subset_size=subset_size,
        kid_subsets=subsets,
        rng_seed=seed,
        verbose=False,
    )
    return result[KEY_METRIC_KID_MEAN], result[KEY_METRIC_KID_STD]


def diversity(
    images: Sequence[np.ndarray],
    distance: Callable[[np.ndarray, np.ndarray], float],
    *,
    pairs: int = 100,
    seed: int = 0,
) -> float:
    """Mean distance over random pairs of different images, float32 [H, W, 3] in 0..1; NaN for fewer than two.

    With `evaluate.similarity.Lpips` it is the usual LPIPS diversity, larger for sets that vary more. SimuScope takes
    consecutive images, which in a clip says how fast the camera moves.
    """
    if len(images) < 2:
        return float("nan")
    rng = np.random.default_rng(seed)
    chosen = (rng.choice(len(images), 2, replace=False) for _ in range(pairs))
    return float(np.mean([distance(images[first], images[second]) for first, second in chosen]))


def feature_diversity(features: np.ndarray) -> float:
    """Mean cosine distance over all pairs of features [N, D]: where there are no LPIPS weights. NaN for N < 2."""
    count = len(features)
    if count < 2:
        return float("nan")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = (np.square(unit.sum(0, dtype=np.float64)).sum() - count) / (count * (count - 1))
    return float(1 - similarity)


def _covariance_factor(features: np.ndarray) -> np.ndarray:
    """A with A^T A = the sample covariance; at most [D, D]."""
    centred = (features - features.mean(0, dtype=np.float64)) / np.sqrt(len(features) - 1)
    return np.linalg.qr(centred, mode="r") if len(centred) > centred.shape[1] else centred


def _check(first: np.ndarray, second: np.ndarray) -> None:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise ValueError(f"expected features [N >= 2, D] and [M >= 2, D], got {first.shape} and {second.shape}")


def _remark(images: int, style_images: int, dimensions: int) -> str:
    fewest = min(images, style_images)
    if fewest > 2 * dimensions:
        return f"{images} and {style_images} images."
    state = "rank deficient" if fewest <= dimensions else "poorly determined"
    return (
        f"{images} and {style_images} images for {dimensions} dimensions: covariances are {state}, so the Fréchet "
        "distance is biased upwards and comparable only between sets of equal size; the kernel distance is not."
    )
