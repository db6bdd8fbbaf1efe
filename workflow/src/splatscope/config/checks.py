"""Settings of the check stage."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from splatscope.config.proof import Dataset
from splatscope.config.section import Section


class CheckLimits(Section):
    """What must hold of a dataset. A check that is null or empty is off."""

    min_visibility: float | None = Field(default=0.01, ge=0, le=1)
    """Of every annotated instance at least this fraction is seen (visible over amodal area)."""
    class_floors: dict[str, Annotated[float, Field(gt=0, le=1)]] = {}
    """Least fraction of the frames that show a class, by its name in resources/classes.tsv. A frame shows a class from
    annotate.min_area_px pixels on."""
    max_depth_disagreement: float | None = Field(default=0.2, ge=0, le=1)
    """Of no annotated instance's visible pixels does a larger fraction contradict the depth map: nothing is there, or
    it lies depth_slack_mm off the plane through the instance, or another instance lies as far before it."""
    depth_slack_mm: float = Field(default=15.0, gt=0)
    """How far, in mm, depth may be off before a pixel contradicts; about as far as an instrument reaches to each side
    of the plane through it."""
    min_difference: float | None = Field(default=0.5, gt=0)
    """Two frames that differ by less are near-duplicates: root mean square difference of thumbnails of 16x16 pixels, in
    levels of 0 to 255."""
    real_frames: str | None = None
    """Folder of real frames (PNG or JPEG, not below it) that no made frame may come too close to."""
    min_real_distance: float = Field(default=0.05, gt=0, le=2)
    """Least distance of a made frame to its nearest one in real_frames: cosine distance of EfficientNet-Lite0
    features, 0 equal, 2 opposite. The same picture scaled or brightened is about 0.005 away, heavily compressed 0.07,
    the next frame of a video 0.02 to 0.05."""

    @property
    def any_on(self) -> bool:
        """Whether there is anything to check."""
        switches = (self.min_visibility, self.max_depth_disagreement, self.min_difference, self.real_frames)
        return bool(self.class_floors) or any(switch is not None for switch in switches)


class ChecksConfig(CheckLimits):
    """What must hold of every dataset that is made, or the run fails and shows the offenders."""

    datasets: dict[Dataset, dict[str, Any]] = {}
    """Settings of this section that differ for a dataset, such as {simulated: {class_floors: {gallbladder: 0.5}}}."""

    def of(self, dataset: str) -> CheckLimits:
        """The limits of a dataset."""
        return CheckLimits.model_validate(self.model_dump(exclude={"datasets"}) | self.datasets.get(dataset, {}))

    @model_validator(mode="after")
    def _differences_hold(self) -> ChecksConfig:
        for dataset in self.datasets:
            self.of(dataset)
        return self
