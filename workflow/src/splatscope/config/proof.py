"""Settings of the stage proof: detectors and segmenters trained on real and on synthetic frames."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from splatscope.config.section import Section

Dataset = Literal[
    "sampled",
    "sampled_restyled",
    "simulated",
    "simulated_restyled",
    "mixed_captured",
    "mixed_captured_restyled",
    "mixed_simulated",
    "mixed_simulated_restyled",
]


class DetectionConfig(Section):
    """How a detector is trained, the same for every arm."""

    detector: Literal["yolox_nano", "yolox_tiny", "ultralytics"] = "yolox_nano"
    """Which detector. yolox_nano and yolox_tiny (Apache-2.0, from the MIT-licensed libreyolo) train from random weights
    in our own seeded loop. ultralytics is the paper's trainer; it is AGPL-3.0 and must be installed beforehand:
    `uv pip install ultralytics`."""
    ultralytics_model: str = "yolov5n.yaml"
    """For ultralytics: an architecture (.yaml), which begins at random weights. Its files of weights (.pt) are pickles,
    which may run any program, and are not read."""
    epochs: int = Field(default=60, ge=1)
    """Passes over a training set of `proof.images` images. Smaller and larger sets get as many steps, not passes."""
    batch: int = Field(default=4, ge=2)
    """Images in a training step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Learning rate of AdamW at its highest; it rises over the first tenth of the steps and falls as a cosine."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay of AdamW."""
    min_confidence: float = Field(default=0.001, ge=0, lt=1)
    """Detections of a lower confidence are dropped."""
    nms_iou: float = Field(default=0.6, gt=0, le=1)
    """Of two detections of a class that overlap by more (IoU), the less confident one is dropped."""


class SegmentationConfig(Section):
    """How a segmenter is trained, the same for every arm."""

    enabled: bool = True
    """Whether segmenters are trained; they need recordings with true masks or annotations with segmentations."""
    architecture: Literal["unet", "dilated", "fcn_resnet50"] = "unet"
    """Network, from random weights: U-Net (0.5 M weights), a dilated one (0.1 M), or torchvision's fcn_resnet50."""
    steps: int = Field(default=200, ge=1)
    """Training steps."""
    batch: int = Field(default=8, ge=2)
    """Images in a training step."""
    learning_rate: float = Field(default=4e-3, gt=0)
    """Learning rate of AdamW at the start; it falls to 0."""


class ProofStageConfig(Section):
    """Whether the data is worth training on: the same network on real, on synthetic and on both, tested on real."""

    synthetic: Dataset = "sampled"
    """The dataset whose frames are the synthetic ones."""
    annotations: dict[str, str] = {}
    """For each `scene` and `test` recording a COCO file with its boxes (see workflow/README.md); the phantom's are
    known."""
    images: int = Field(default=64, ge=1)
    """Training images of each arm: real, synthetic, mixed. No more than the scene recordings have frames."""
    mixed_real_percent: int = Field(default=50, gt=0, lt=100)
    """Share of real frames in the mixed arm, in percent of `images`."""
    folds: int = Field(default=3, ge=1)
    """Repetitions, each with another draw of training images and another training seed."""
    efficiency_percents: tuple[int, ...] = (10, 25, 50)
    """Shares of `images` real frames, in percent, from which detectors also learn, alone and beside `images` synthetic
    frames. 100 is always among them. Empty: no data-efficiency curves."""
    pose_arms: bool = True
    """Whether detectors also learn from synthetic frames posed about recorded ones alone, and from freely posed ones
    alone, where the synthetic dataset has both (see compose.recipe.recorded_share)."""
    width: int = Field(default=160, ge=64)
    """Width in pixels at which the networks see images; a multiple of 32."""
    height: int = Field(default=128, ge=64)
    """Height; images are scaled to fit and padded. A multiple of 32."""
    bootstrap_samples: int = Field(default=1000, ge=100)
    """Resamples behind each bootstrap interval (count)."""
    detection: DetectionConfig = DetectionConfig()
    """Training of detectors."""
    segmentation: SegmentationConfig = SegmentationConfig()
    """Training of segmenters."""

    @field_validator("width", "height")
    @classmethod
    def _whole_cells(cls, side: int) -> int:
        if side % 32:
            raise ValueError(f"expected a multiple of 32, got {side}")
        return side

    @field_validator("efficiency_percents")
    @classmethod
    def _shares(cls, percents: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 < percent <= 100 for percent in percents) or list(percents) != sorted(set(percents)):
            raise ValueError(f"expected rising percents above 0 to 100, got {list(percents)}")
        return percents
