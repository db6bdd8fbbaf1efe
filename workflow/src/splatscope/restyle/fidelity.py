"""How much of a frame's labels its restyled image keeps: a score for each instance and each class of tissue.

A region's score is the geometric mean of up to three parts in 0..1, each against the raw frame, so that what the raw
frame does not show is not asked of the restyled one:

- edges: along the visible contour, where the raw frame has a clear edge on it, how far the image's strongest edge
  across the contour lies from it (px of a frame 320 wide, mean; the raw frame's own mean is taken off). 1 at 0 px, 0
  at 4 px, which is what an image without any edge there gives by chance.
- agreement: IoU of a segmenter's class map with the exact mask within the region's dilated box, divided by the same
  for the raw frame. Only for classes of the protocol that the segmenter finds in the raw frame (IoU >= 0.3).
- occlusion: where the region hides what lies behind it, the share of the contour that keeps at least half of the
  colour difference between its sides. It stands for depth order: which of two surfaces is in front can only be told
  where they can be told apart.

A part that cannot be judged is None and left out; a region without any is not scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from splatscope.classes import IGNORE_ID
from splatscope.errors import InputError
from splatscope.evaluate.overlap import mask_box, mask_iou
from splatscope.restyle.contours import REACH_PX, Region, edge_offsets, profiles, regions_of, side_contrast
from splatscope.restyle.segmenter import Segmenter
from splatscope.shards import Frame

CHANCE_PX = REACH_PX / 2  # mean distance of an edge that could be anywhere within reach
CLEAR_EDGE_PX = 1.5  # a raw edge this near the contour is the contour's
CLEAR_EDGE_CONTRAST = 6.0  # CIELAB units over 2 px
CLEAR_SIDES_CONTRAST = 8.0  # CIELAB units between the two sides
KEPT_CONTRAST = 0.5  # share of it that must be left
LEAST_POINTS = 12  # contour points below which a part is not judged
LEAST_RAW_IOU = 0.3
BOX_MARGIN = 0.25  # of a box's sides, by which it is dilated


@dataclass(frozen=True)
class RegionScore:
    """Fidelity of one region; parts are None where they cannot be judged."""

    name: str
    class_id: int
    instance: int
    score: float
    edge_drift_px: float | None  # beyond the raw frame's, px of a frame 320 wide
    agreement: float | None
    occlusion: float | None

    def as_dict(self) -> dict:
        """For a frame's metadata, three digits."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class _RawRegion:
    """What the raw frame shows of a region."""

    region: Region
    clear: np.ndarray  # bool [P]: the contour is an edge of the raw image
    drift_px: float  # mean distance there
    contrast: np.ndarray  # float32 [P] between the sides
    apart: np.ndarray  # bool [P]: occluding, and the sides differ clearly
    group: int  # the protocol's class, or IGNORE_ID
    box: tuple[slice, slice]
    others: np.ndarray  # bool [h, w] of the box: other regions of that class, which are not counted
    raw_iou: float  # of the segmenter with the exact mask within the box; NaN when not judged


@dataclass(frozen=True)
class Reference:
    """A raw frame, looked at once: all restyled versions of it are compared with this."""

    frame: Frame
    regions: tuple[_RawRegion, ...]
    predicted: np.ndarray  # uint8 [H, W]: the segmenter's on the raw image


class FidelityJudge:
    """Scores restyled images against the labels of their frames, with a segmenter trained on other frames."""

    def __init__(self, segmenter: Segmenter, group_of: np.ndarray, class_table: Mapping[str, int] | None = None):
        self.segmenter, self.group_of = segmenter, group_of
        self.class_names = {class_id: name for name, class_id in (class_table or {}).items()}

    def reference(self, frame: Frame) -> Reference:
        """What the raw frame shows of its labels. Raises InputError when it has no class map."""
        if frame.class_map is None:
            raise InputError(
                f"frame {frame.key}",
                found="no class map",
                expected="a frame with classes",
                remedy="restyle shards of the stages render, mix or simulate, or switch the fidelity gate off",
            )
        groups = self.group_of[frame.class_map]
        predicted = self.segmenter.predict(frame.rgb[None])[0]
        regions = regions_of(frame, self.class_names)
        raw = tuple(self._raw_region(frame, region, groups, predicted) for region in regions)
        return Reference(frame, raw, predicted)

    def scores(self, reference: Reference, image: np.ndarray) -> list[RegionScore]:
        """Scores of an image, uint8 [H, W, 3] of the frame's size."""
        if image.shape != reference.frame.rgb.shape or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 {list(reference.frame.rgb.shape)}, got {image.dtype} {list(image.shape)}")
        predicted = self.segmenter.predict(image[None])[0]
        scored = (_score(raw, image, predicted) for raw in reference.regions)
        return [score for score in scored if score is not None]

    def _raw_region(self, frame: Frame, region: Region, groups: np.ndarray, predicted: np.ndarray) -> _RawRegion:
        across = profiles(frame.rgb, region)
        offsets, change = edge_offsets(across)
        clear = (np.abs(offsets) <= CLEAR_EDGE_PX) & (change >= CLEAR_EDGE_CONTRAST)
        contrast = side_contrast(across)
        group, box = int(self.group_of[region.class_id]), _dilated_box(region.mask)
        others = (groups[box] == group) & ~region.mask[box]
        raw_iou = float("nan") if group == IGNORE_ID else _iou(box, region, predicted, group, others)
        return _RawRegion(
            region=region,
            clear=clear,
            drift_px=float(np.abs(offsets[clear]).mean()) if clear.any() else 0.0,
            contrast=contrast,
            apart=region.occludes & (contrast >= CLEAR_SIDES_CONTRAST),
            group=group,
            box=box,
            others=others,
            raw_iou=raw_iou,
        )


def _score(raw: _RawRegion, image: np.ndarray, predicted: np.ndarray) -> RegionScore | None:
    drift = agreement = occlusion = None
    if max(raw.clear.sum(), raw.apart.sum()) >= LEAST_POINTS:
        across = profiles(image, raw.region)
        if raw.clear.sum() >= LEAST_POINTS:
            offsets, _ = edge_offsets(across)
            drift = max(0.0, float(np.abs(offsets[raw.clear]).mean()) - raw.drift_px)
        if raw.apart.sum() >= LEAST_POINTS:
            kept = side_contrast(across) >= KEPT_CONTRAST * raw.contrast
            occlusion = float(kept[raw.apart].mean())
    if raw.raw_iou >= LEAST_RAW_IOU:
        agreement = min(1.0, _iou(raw.box, raw.region, predicted, raw.group, raw.others) / raw.raw_iou)
    edges = None if drift is None else max(0.0, 1 - drift / CHANCE_PX)
    parts = [part for part in (edges, agreement, occlusion) if part is not None]
    if not parts:
        return None
    score = float(np.prod(parts) ** (1 / len(parts)))
    return RegionScore(raw.region.name, raw.region.class_id, raw.region.instance, score, drift, agreement, occlusion)


def _iou(box: tuple[slice, slice], region: Region, predicted: np.ndarray, group: int, others: np.ndarray) -> float:
    return mask_iou(region.mask[box], (predicted[box] == group) & ~others)


def _dilated_box(mask: np.ndarray) -> tuple[slice, slice]:
    x, y, width, height = mask_box(mask)
    side_x, side_y = round(BOX_MARGIN * width), round(BOX_MARGIN * height)
    return (
        slice(max(0, y - side_y), min(mask.shape[0], y + height + side_y)),
        slice(max(0, x - side_x), min(mask.shape[1], x + width + side_x)),
    )
