"""Settings of the splat stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

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

    initial_opacity: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """Opacity of the Gaussians that training starts from."""

    sh_degree: Annotated[int, Field(ge=0, le=3)] = 3
    """Highest band of the view-dependent colour."""

    sh_interval: Annotated[int, Field(ge=1)] = 600
    """Iterations after which the next band of colour is switched on."""

    ssim_weight: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of structural dissimilarity in the loss; the rest is the mean absolute difference."""

    opacity_regulariser: Annotated[float, Field(ge=0)] | None = None
    """Weight of the mean opacity in the loss; fades haze, and surfaces with it. Null: 0.01 with "mcmc", else 0."""

    scale_regulariser: Annotated[float, Field(ge=0)] | None = None
    """Weight of the mean size (in units of the scene's extent) in the loss; keeps Gaussians small. Null: 0.01 with
    "mcmc", else 0. Both together cost "mcmc" 0.2 to 0.55 dB in 1,500 steps."""

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

    exposure: bool = False
    """Learn an affine map of colours for each training image, for recordings whose exposure or white balance changes.
    The mean of the maps stays the identity. Held-out views are drawn without a map, and so show their own exposure as
    an error: on a phone's photographs their PSNR fell by 3.0 dB, but rose by 0.45 dB once each one's colours were
    fitted."""

    exposure_rate: Rate = 1e-3
    """Learning rate of these maps, at the start; it falls to a hundredth."""

    pose_refinement: bool = False
    """Learn a small rigid motion of each training camera, for poses that are not exact. What all motions have in common
    is taken out; held-out views keep the poses given. For poses that are wrong by pixels: where they are right it
    gains nothing, and held-out PSNR fell by 0.1 to 0.8 dB (at rates of 1e-4 and 3e-4)."""

    pose_rate: Rate = 1e-3
    """Learning rate of these motions (radians, and units of the scene's extent), at the start; it falls to a tenth."""

    pose_start: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the iterations before cameras begin to move."""

    coarse_to_fine: Annotated[int, Field(ge=0, le=4)] = 2
    """Resolutions to train at, each half the next; all but the full one share the first quarter of the iterations.
    0 and 1: full resolution throughout."""

    strategy: Literal["budget", "default", "mcmc"] = "budget"
    """How Gaussians are added and taken away. "budget": those that the images pull hardest are split, evenly up to
    max_gaussians. "default": adaptive density control of 3DGS (Kerbl et al. 2023), wherever the pull exceeds
    pull_threshold. "mcmc": 3DGS-MCMC (Kheradmand et al. 2024); it grows by 5 % at each refinement, so short training
    needs a smaller refine_every to reach the budget. None exceeds max_gaussians."""

    absolute_gradients: bool = True
    """Measure the pull by the sum of absolute gradients over the pixels (AbsGS, Ye et al. 2024): pulls to different
    sides within a large, blurred Gaussian no longer cancel. It gained 0.4 to 0.5 dB on the phantom and 0.1 dB on
    photographs, at a tenth more time. "mcmc" measures no pulls."""

    pull_threshold: Rate = 6e-4
    """For "default": mean gradient of the loss by the screen position (in half images) above which a Gaussian is
    doubled or split. Gradients that are not absolute are smaller; 2e-4 suits them."""

    opacity_reset_every: Annotated[int, Field(ge=0)] = 0
    """For "default": iterations between lowerings of all opacities to twice min_opacity; a multiple of refine_every.
    0: never."""

    noise: Annotated[float, Field(ge=0)] = 5e4
    """For "mcmc": noise on the means of faint Gaussians, in units of their learning rate and (over the scene's extent)
    of their covariance. The paper's is 5e5, at a tenth of the learning rate."""

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

    patience: Annotated[int, Field(ge=0)] = 0
    """Training ends after so many such measurements in a row without a gain of min_gain. Learning rates have not fallen
    to their ends then, which costs some quality: fewer iterations give more at equal time. 0: it never ends early."""

    min_gain: Annotated[float, Field(ge=0)] = 0.05
    """Gain in dB, mean over the held-out views, over the best so far that counts for patience."""

    checkpoint_every: Annotated[int, Field(ge=1)] = 1000
    """Iterations between checkpoints, from which an interrupted training goes on."""

    sparse_adam: bool = False
    """Step only the Gaussians that the image shows; the others keep their momentum for when they are seen again."""

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

    @model_validator(mode="after")
    def _fits_together(self) -> SplatConfig:
        if self.strategy == "default" and self.opacity_reset_every % self.refine_every:
            raise ValueError(
                f"opacity_reset_every must be a multiple of refine_every, got {self.opacity_reset_every} "
                f"and {self.refine_every}"
            )
        return self
