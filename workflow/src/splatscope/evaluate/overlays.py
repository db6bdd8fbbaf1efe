"""The picture of a pair: real, synthetic, their difference, and the outlines of their masks (the paper's Fig. 4)."""

from __future__ import annotations

import matplotlib
import numpy as np

from splatscope.images import draw_outline, to_uint8

PANELS, GAP = 4, 4  # pictures side by side, pixels between them
DIFFERENCE_FULL_SCALE = 0.5  # mean absolute difference of the channels (0..1) shown in the brightest colour
SYNTHETIC_COLOUR, REAL_COLOUR = (0, 200, 255), (255, 170, 0)


def difference_heatmap(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: mean absolute difference over the channels, in the colour map magma, 0 to 0.5."""
    difference = np.abs(real - synthetic).mean(-1) / DIFFERENCE_FULL_SCALE
    return to_uint8(matplotlib.colormaps["magma"](np.clip(difference, 0, 1))[..., :3])


def pair_picture(
    real: np.ndarray, synthetic: np.ndarray, synthetic_mask: np.ndarray, true_mask: np.ndarray | None = None
) -> np.ndarray:
    """uint8 [H, W', 3]: real, synthetic, difference, and the real image with mask outlines, side by side.

    Images are float32 [H, W, 3]; masks bool [H, W]: the synthetic one in blue, the true one, if known, in orange.
    """
    outlined = to_uint8(real)
    for mask, colour in ((true_mask, REAL_COLOUR), (synthetic_mask, SYNTHETIC_COLOUR)):
        if mask is not None:
            draw_outline(outlined, mask, colour)
    panels = [to_uint8(real), to_uint8(synthetic), difference_heatmap(real, synthetic), outlined]
    gap = np.full((real.shape[0], GAP, 3), 255, np.uint8)
    return np.hstack([panel for number, picture in enumerate(panels) for panel in ((gap, picture)[number == 0 :])])
