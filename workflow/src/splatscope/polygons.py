"""Masks as one polygon each, for formats that know nothing else."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree


def mask_polygon(mask: np.ndarray) -> np.ndarray:
    """int32 [N, 2]: x, y of the pixels on one closed polygon that holds the whole bool mask [H, W]; N >= 3.

    Filled by OpenCV (`cv2.fillPoly`, border included) it gives exactly the mask, holes too, when the mask is of one
    piece (8-connected). Further pieces are joined by the shortest straight lines, which then belong to it as well.
    Raises ValueError for an empty mask.
    """
    contours, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        raise ValueError("expected a mask with pixels, got an empty one")
    rings = [contour[:, 0] for contour in contours]
    parents = hierarchy[0, :, 3]
    pieces = [
        _cut_holes_open(ring, [rings[hole] for hole in np.flatnonzero(parents == number)], mask)
        for number, ring in enumerate(rings)
        if parents[number] < 0
    ]
    polygon = _without_straight_steps(_join(pieces))
    return np.resize(polygon, (max(3, len(polygon)), 2)).astype(np.int32)


def _cut_holes_open(ring: np.ndarray, holes: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
    """The border of a piece with the borders of its holes let in, each by a cut to the left through the mask."""
    starts = [int(np.argmin(hole[:, 0])) for hole in holes]
    # what lies to the left of the leftmost hole is the outer border, of the next that or the first hole, and so on
    for hole, start in sorted(zip(holes, starts), key=lambda pair: pair[0][pair[1], 0]):
        x, y = hole[start]
        outside = np.flatnonzero(~mask[y, :x])
        reached = (outside[-1] + 1 if len(outside) else 0, y)
        ring = _let_in(ring, int(np.flatnonzero((ring == reached).all(1))[0]), hole, start)
    return ring


def _join(pieces: list[np.ndarray]) -> np.ndarray:
    """One polygon of several, beginning with the longest and going on with the one that is nearest."""
    joined, *waiting = sorted(pieces, key=len, reverse=True)
    while waiting:
        tree = cKDTree(joined)
        links = [tree.query(piece) for piece in waiting]
        nearest = int(np.argmin([distances.min() for distances, _ in links]))
        distances, places = links[nearest]
        start = int(np.argmin(distances))
        joined = _let_in(joined, int(places[start]), waiting.pop(nearest), start)
    return joined


def _let_in(ring: np.ndarray, place: int, other: np.ndarray, start: int) -> np.ndarray:
    """`ring` with a way from its point `place` to the point `start` of `other`, round that, and back."""
    around = np.roll(other, -start, axis=0)
    return np.concatenate([ring[: place + 1], around, around[:1], ring[place:]])


def _without_straight_steps(ring: np.ndarray) -> np.ndarray:
    """Without points between two steps to neighbouring pixels in one direction."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    straight = (before == after).all(1) & (np.abs(after).max(1) == 1)
    return ring[~straight]
