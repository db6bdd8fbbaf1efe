"""Settings of the stage baselines."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from splatscope.config.section import Section

Rate = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class HashGridConfig(Section):
    """A multiresolution hash grid (Müller et al. 2022); each level holds four features."""

    levels: Annotated[int, Field(ge=1, le=32)] = 8
    """Resolutions."""

    log2_table_size: Annotated[int, Field(ge=4, le=24)] = 15
    """Rows of a level's table, as a power of two; coarse levels that need fewer have fewer. Larger ones cost time for
    the optimiser and the cache."""

    base_resolution: Annotated[int, Field(ge=2, le=1024)] = 16
    """Cells along an axis of the coarsest level."""

    finest_resolution: Annotated[int, Field(ge=2, le=1500)] = 1024
    """Cells along an axis of the finest level; in between they grow geometrically."""

    @model_validator(mode="after")
    def _grows(self) -> HashGridConfig:
        if self.finest_resolution < self.base_resolution:
            raise ValueError("finest_resolution must not be below base_resolution")
        return self


class FieldConfig(Section):
    """What both kinds of radiance field share."""

    iterations: Count
    """Optimisation steps."""

    grid: HashGridConfig = HashGridConfig()
    """Where density and colour are kept."""

    hidden_width: Annotated[int, Field(ge=4)] = 64
    """Neurons of each hidden layer: one for density, two for colour."""

    rate: Rate = 1e-2
    """Learning rate of Adam for the networks, at the start."""

    grid_rate: Rate = 1e-1
    """The same for the hash grids."""

    rate_decay: Annotated[float, Field(gt=0, le=1)] = 0.2
    """What both have become at the end, as a share; in between they fall exponentially."""

    near_share: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """Rays begin at this share of the distance to the nearest points (5 % quantile) of the training cameras."""


class NgpConfig(FieldConfig):
    """Instant-NGP (Müller et al. 2022): a hash grid in a box, and an occupancy grid that says where to look."""

    iterations: Count = 1400
    """Optimisation steps."""

    samples_per_step: Count = 8192
    """Samples with a gradient in a step; the number of rays follows from it, as in the paper."""

    max_rays: Count = 4096
    """Rays of a step, at most."""

    step_share: Annotated[float, Field(gt=0, le=0.2)] = 0.03
    """Length of a step along a ray over the distance from the camera. Shorter steps mean fewer rays in the same time:
    with 0.008 the phantom's site was 2.5 dB worse after three times as many iterations."""

    occupancy_resolution: Annotated[int, Field(ge=4, le=256)] = 64
    """Cells of the occupancy grid along each axis of the box."""

    occupancy_every: Count = 16
    """Iterations between updates of the occupancy grid; each looks at an eighth of its cells."""

    occupancy_decay: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """What a cell's remembered density is multiplied by when it is looked at again."""

    occupied: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Opacity of one step from which a cell is looked at."""

    box_quantile: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """The box holds what lies between this quantile of the points along each axis and its opposite,"""

    box_margin: Annotated[float, Field(ge=0)] = 0.15
    """and this share of its longest side beyond."""


class ProposalConfig(HashGridConfig):
    """The density field that says where along a ray to look."""

    levels: Annotated[int, Field(ge=1, le=32)] = 4
    """Resolutions."""

    log2_table_size: Annotated[int, Field(ge=4, le=24)] = 14
    """Rows of a level's table, as a power of two."""

    finest_resolution: Annotated[int, Field(ge=2, le=1500)] = 128
    """Cells along an axis of the finest level."""


class NerfactoConfig(FieldConfig):
    """Nerfacto (Tancik et al. 2023): proposal sampling in a contracted space, and appearance embeddings."""

    iterations: Count = 1500
    """Optimisation steps."""

    rays_per_step: Count = 512
    """Rays of a step."""

    proposals: tuple[ProposalConfig, ...] = (ProposalConfig(), ProposalConfig(finest_resolution=256))
    """Density fields that are asked one after the other."""

    proposal_samples: tuple[Count, ...] = (40, 20)
    """Samples along a ray for each of them."""

    proposal_width: Annotated[int, Field(ge=4)] = 16
    """Neurons of a proposal's hidden layer."""

    proposal_update_every: Count = 4
    """After the first tenth of the training the proposals learn at each n-th step only."""

    samples: Count = 12
    """Samples of the radiance field along a ray."""

    anneal_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the iterations during which the proposals' say grows from none."""

    distortion_weight: Annotated[float, Field(ge=0)] = 0.002
    """Weight of the distortion loss (Mip-NeRF 360, eq. 15)."""

    appearance_width: Annotated[int, Field(ge=0)] = 8
    """Numbers that each training image has of its own, for its light; new images get their mean. 0: none."""

    far_extents: Annotated[float, Field(gt=1)] = 20.0
    """Rays end at this many times the scene's extent."""

    @model_validator(mode="after")
    def _fits_together(self) -> NerfactoConfig:
        if len(self.proposals) != len(self.proposal_samples) or not self.proposals:
            raise ValueError("proposals and proposal_samples must have the same length, at least 1")
        return self


class BaselinesConfig(Section):
    """The radiance fields that stand beside our splats in Table 1. Iterations are set to the training time that a splat
    takes on one core (bench/baselines.py measures); the results state the seconds of both."""

    light: bool = False
    """Give the fields the light at the camera that our splats have (splat.light). The published methods have none."""

    ngp: NgpConfig = NgpConfig()
    """Instant-NGP."""

    nerfacto: NerfactoConfig = NerfactoConfig()
    """Nerfacto."""
