"""Settings of the splat stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from splatscope.config.section import Section

Rate = Annotated[float, Field(gt=0)]


class SplatConfig(Section):
    """From frames with poses to a Gaussian model."""

    max_width: Annotated[int, Field(ge=32)] = 320
    """Width in pixels to which wider training images are reduced."""

    iterations: Annotated[int, Field(ge=1)] = 3000
    """Optimisation steps; each looks at one image."""

    max_gaussians: Annotated[int, Field(ge=100)] = 24000
    """Budget of Gaussians; the model grows to it while it is refined."""

    initial_gaussians: Annotated[int, Field(ge=10)] = 16000
    """Gaussians to start from: a sample of the point cloud, or random ones where there is no cloud."""

    sh_degree: Annotated[int, Field(ge=0, le=3)] = 3
    """Highest band of the view-dependent colour."""

    sh_interval: Annotated[int, Field(ge=1)] = 600
    """Iterations after which the next band of colour is switched on."""

    ssim_weight: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of structural dissimilarity in the loss; the rest is the mean absolute difference."""

    opacity_regulariser: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean opacity in the loss; fades haze, and surfaces with it."""

    scale_regulariser: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean size (in units of the scene's extent) in the loss; keeps Gaussians small."""

    light: bool = True
    """Learn how colours fade with the distance from the camera and towards the border of its image, as they do when the
    light sits on the endoscope. A splat without it keeps the brightness of the path that it was recorded from."""

    light_falloff: float = 0.9
    """Exponent of the fading with distance to start from; inverse squares are 2 / 2.2 in sRGB values."""

    light_cone: float = 0.7
    """Exponent of the cosine of the angle to the optical axis to start from."""

    light_rate: Rate = 3e-3
    """Learning rate of the two exponents of that fading, at the start; it falls to a tenth."""

    depth_regulariser: Annotated[float, Field(ge=0)] = 0.1
    """Weight in the loss of the variance of depth along the rays (in units of the scene's extent). Without it surfaces
    become clouds, which do not hide a tool where they should."""

    random_background: bool = True
    """Train over a new random colour at each step instead of black: forbids holes, and surfaces that shine through."""

    refine_start: Annotated[float, Field(ge=0, le=1)] = 0.08
    """Share of the iterations before the first refinement."""

    refine_end: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Share of the iterations after which the number of Gaussians stays as it is."""

    refine_every: Annotated[int, Field(ge=1)] = 100
    """Iterations between refinements (faint Gaussians go, blurred places get new ones)."""

    min_opacity: Annotated[float, Field(gt=0, lt=1)] = 0.005
    """Gaussians fainter than this are replaced at the next refinement."""

    free_space: Annotated[float, Field(ge=0, lt=1)] = 0.7
    """Before each training camera, this share of the distance to the nearest points (their 5 % quantile) holds nothing:
    Gaussians there, and where no camera looks, are taken away. 0 leaves all."""

    heldout_every: Annotated[int, Field(ge=2)] = 8
    """Each n-th view is held out of training and measures the model."""

    evaluate_every: Annotated[int, Field(ge=1)] = 500
    """Iterations between measurements on the held-out views."""

    checkpoint_every: Annotated[int, Field(ge=1)] = 1000
    """Iterations between checkpoints, from which an interrupted training goes on."""

    mean_rate: Rate = 1.6e-3
    """Learning rate of the means, in units of the scene's extent, at the start."""

    mean_rate_end: Rate = 3.2e-5
    """The same at the end; in between it falls exponentially."""

    scale_rate: Rate = 1e-2
    """Learning rate of the log scales."""

    quaternion_rate: Rate = 2e-3
    """Learning rate of the quaternions."""

    opacity_rate: Rate = 2.5e-2
    """Learning rate of the opacity logits."""

    color_rate: Rate = 2.5e-3
    """Learning rate of band 0 of the colour."""

    sh_rate: Rate = 2.5e-4
    """Learning rate of the higher bands of the colour."""

    sh_decay: Annotated[float, Field(ge=0)] = 10.0
    """Decay of the higher bands: each step shrinks them by this times their learning rate. Without it they learn
    highlights by heart that are wrong beside the recorded path."""
