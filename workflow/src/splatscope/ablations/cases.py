"""The cases: the replay as it is, and with one thing changed at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from splatscope.config.ablation import AblationConfig

BASELINE = "default"


@dataclass(frozen=True)
class Parts:
    """Which way each part of the method is done; the defaults are ours, the others those of Zeng et al. (2024)."""

    extraction: Literal["filters", "radius"] = "filters"
    means_rotated: bool = True
    sh_rotated: bool = True
    labels: Literal["blended", "silhouette", "contrast"] = "blended"


@dataclass(frozen=True)
class TrackerError:
    """How far a tracker's readings are off: RMS length in mm and RMS angle in degrees."""

    kind: Literal["jitter", "distortion"] = "jitter"
    mm: float = 0.0
    deg: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.mm:g}mm_{self.deg:g}deg"


@dataclass(frozen=True)
class Setup:
    """What a case is drawn with; nothing else about it changes its frames."""

    name: str = BASELINE
    parts: Parts = field(default_factory=Parts)
    error: TrackerError = field(default_factory=TrackerError)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    setup: Setup
    study: str  # "baseline", "parts", "views", "jitter" or "distortion"
    label: str
    changed: str  # against the baseline
    views_percent: int = 100  # of the frames that its splats were trained from

    @property
    def name(self) -> str:
        return self.setup.name


def list_cases(config: AblationConfig) -> list[Case]:
    """All cases of the configuration, baseline first; names are unique and stay the same when lists grow."""
    jitter = [TrackerError("jitter", mm, deg) for mm in config.jitter_mm for deg in config.jitter_deg if mm or deg]
    distortion = [TrackerError("distortion", mm, deg) for mm, deg in config.distortion if mm or deg]
    return [
        Case(Setup(), "baseline", "as configured", "nothing"),
        *_PARTS,
        *(
            Case(
                Setup(f"views_{percent}"),
                "views",
                f"{percent} % of the views",
                f"splats learnt from {percent} % of the frames; poses and points still come from all",
                percent,
            )
            for percent in config.views_percent
        ),
        *(
            Case(Setup(error.name, error=error), error.kind, f"{error.mm:g} mm, {error.deg:g}°", _ERRORS[error.kind])
            for error in [*jitter, *distortion]
        ),
    ]


_ERRORS = {
    "jitter": "an independent error of every sensor reading, added to the poses",
    "distortion": "a smooth error over the tracker's volume, added to the poses",
}

_PARTS = [
    Case(
        Setup("extraction_radius", Parts(extraction="radius")),
        "parts",
        "extraction by radius",
        "tool: every Gaussian within a radius of the centre (Zeng et al.) instead of our filters",
    ),
    Case(
        Setup("sh_not_rotated", Parts(sh_rotated=False)),
        "parts",
        "SH not rotated",
        "the tool's spherical harmonics keep the direction of its recording (Zeng et al., Eq. 2)",
    ),
    Case(
        Setup("means_not_rotated", Parts(means_rotated=False)),
        "parts",
        "means not rotated",
        "the tool's means are translated only (Zeng et al., Eq. 2 to the letter)",
    ),
    Case(
        Setup("labels_silhouette", Parts(labels="silhouette")),
        "parts",
        "labels: silhouette",
        "masks from the opacity of the tool drawn alone, so that tissue hides nothing",
    ),
    Case(
        Setup("labels_contrast", Parts(labels="contrast")),
        "parts",
        "labels: contrast",
        "masks by a contrast threshold on the tagged tool drawn alone (Zeng et al., section 2.4)",
    ),
    Case(
        Setup("paper_mode", Parts("radius", False, False, "contrast")),
        "parts",
        "all four as in the paper",
        "radius, means and SH not rotated, contrast threshold",
    ),
]
