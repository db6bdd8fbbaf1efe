"""How well the frames of a restyled clip agree with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np

from splatscope.errors import InputError
from splatscope.images import to_float
from splatscope.restyle.warping import flow_positions
from splatscope.shards import Frame

Distance = Callable[[np.ndarray, np.ndarray], float]  # of two images float32 [H, W, 3]


def warp_errors(first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> tuple[float, float]:
    """Mean absolute and mean squared error of two frames [H, W, 3], the second warped to the first by its forward flow
    [H, W, 3] (bilinear), over the pixels that are seen in both; NaN when there are none.

    The second is the warping error of Lai et al. (ECCV 2018): squared differences summed over the channels, mean over
    the pixels; their flow and occlusion are estimated, ours are exact.
    """
    positions = flow_positions(flow) - np.float32(0.5)  # OpenCV's pixel centres
    seen = np.isfinite(positions).all(-1)
    if not seen.any():
        return float("nan"), float("nan")
    warped = cv2.remap(second, np.nan_to_num(positions), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = (warped - first)[seen].astype(np.float64)
    return float(np.abs(difference).mean()), float((difference**2).sum(-1).mean())


def consistency_figures(
    frames: Iterable[Frame], restyled: Iterable[np.ndarray], distance: Distance | None = None, distance_name: str = ""
) -> dict:
    """Figures of a clip: the unstyled frames, which carry the flow, and what they have become (float32 [H, W, 3]).

    `warp_error` is the mean absolute difference between a frame and the next one warped to it by the exact flow, over
    the pixels seen in both and over the pairs of frames; `warp_error_lai2018` the same squared, see `warp_errors`. The
    names that end in `_raw` are the same of the unstyled clip: its moving light and image noise, which no restyling
    has to undo. With a perceptual distance there is tLP (Chu et al., "TecoGAN", 2020: the mean difference between the
    distances of consecutive frames in the restyled and in the unstyled clip; theirs is with LPIPS), and
    `tlp_distance` names the distance.

    Raises InputError when a frame but the last has no forward flow, or there are not two frames.
    """
    pairs: list[tuple[float, ...]] = []
    tlp: list[float] = []
    before: tuple[Frame, np.ndarray] | None = None
    for frame, image in zip(frames, restyled, strict=True):
        if before is not None:
            earlier, earlier_image = before
            if earlier.flow_forward is None:
                raise InputError(
                    f"frame {earlier.key}",
                    found="no flow to the next frame",
                    expected="frames of a clip with flow_forward",
                    remedy='put "flow" among the maps in the setting simulate.maps',
                )
            now, then = to_float(frame.rgb), to_float(earlier.rgb)
            pairs.append(
                (
                    *warp_errors(earlier_image, image, earlier.flow_forward),
                    *warp_errors(then, now, earlier.flow_forward),
                )
            )
            if distance is not None:
                tlp.append(abs(distance(earlier_image, image) - distance(then, now)))
        before = frame, image
    if not pairs:
        raise InputError("clip", found="less than two frames", expected="at least two", remedy="restyle a longer clip")
    names = ("warp_error", "warp_error_lai2018", "warp_error_raw", "warp_error_lai2018_raw")
    figures: dict = dict(zip(names, np.nanmean(pairs, 0).tolist())) | {"frame_pairs": len(pairs)}
    if distance is not None:
        figures |= {"tlp": float(np.mean(tlp)), "tlp_distance": distance_name}
    return figures
