"""Settings of the evaluate stage."""

from __future__ import annotations

from pydantic import Field

from splatscope.config.section import Section


class EvaluateConfig(Section):
    """Replayed frames against the real ones, and the phantom's results against its truth."""

    lpips_backbone_weights: str | None = None
    """File with torchvision's ImageNet weights of AlexNet (alexnet-owt-7be5be79.pth) or VGG16 (vgg16-397923af.pth) for
    LPIPS. Null: torchvision's own cache is looked at; nothing is downloaded, LPIPS is then "not available"."""
    tool_fit_max_distance_mm: float = Field(default=3.0, gt=0)
    """Gaussians farther than this from the true surface are left out of the fit, in mm."""
