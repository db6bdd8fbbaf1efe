"""The light at the camera, as our splats have it (splats/gaussians.py): brightness falls with distance and angle."""

from __future__ import annotations

import torch

FALLOFF, CONE = 0.9, 0.7  # exponents to start from, as splat.light_falloff and splat.light_cone


class CameraLight(torch.nn.Module):
    """Two exponents; the factor on colours is 1 one extent before the camera on its axis."""

    def __init__(self, extent: float):
        super().__init__()
        self.extent = extent
        self.exponents = torch.nn.Parameter(torch.tensor([FALLOFF, CONE]))

    def forward(self, distance: torch.Tensor, ahead: torch.Tensor) -> torch.Tensor:
        """Factor at distances (mm) along rays with a cosine `ahead` to the optical axis."""
        falloff, cone = self.exponents
        return (self.extent / distance) ** falloff * ahead**cone
