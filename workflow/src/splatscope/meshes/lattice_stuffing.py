"""Isosurface stuffing on raw arrays: a body-centred cubic lattice cut at the zero level of a distance field.

Labelle & Shewchuk, "Isosurface Stuffing: Fast Tetrahedral Meshes with Good Dihedral Angles", SIGGRAPH 2007. The lattice
has the corners and the centres of cubes as its vertices; two centres of neighbouring cubes and an edge of the face
between them span a tetrahedron. Edges are long (one cube edge, between vertices of one kind) or short (corner to
centre). Vertices too near the surface are moved onto it, tetrahedra that the surface still crosses are cut.
"""

from __future__ import annotations

import numpy as np

from splatscope.meshes.distance_fields import Field, sample_where_near

SNAP_LONG, SNAP_SHORT = 0.24999, 0.41189  # of an edge: how near a vertex a cut must be to pull it in (table 1)

TET_EDGES = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])


def stuff_lattice(field: Field, low, high, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices float64 [V, 3] and tetrahedra int64 [T, 4] of where the field is negative; either orientation.

    The field may change by at most distance_fields.MAX_SLOPE mm per mm. Raises ValueError when the solid reaches the
    border of the box or when there is none.
    """
    low = np.asarray(low, np.float64)
    counts = np.ceil((np.asarray(high, np.float64) - low) / spacing).astype(int) + 1
    corners = sample_where_near(field, low, counts, spacing)
    centres = sample_where_near(field, low + spacing / 2, counts - 1, spacing)
    for axis in range(3):
        for end in (0, -1):
            if min(values.swapaxes(0, axis)[end].min() for values in (corners, centres)) < 0:
                raise ValueError(
                    f"the solid reaches the border of the box {low.tolist()} to {np.asarray(high).tolist()}"
                )
    tets = _lattice_tets(corners, centres)
    if not len(tets):
        raise ValueError(f"the field is nowhere negative on a lattice of {spacing} mm in the box")
    used, tets = np.unique(tets, return_inverse=True)
    tets = tets.reshape(-1, 4)
    is_centre = used >= corners.size
    points = np.empty((len(used), 3))
    points[~is_centre] = low + spacing * np.stack(np.unravel_index(used[~is_centre], corners.shape), -1)
    points[is_centre] = low + spacing * (
        0.5 + np.stack(np.unravel_index(used[is_centre] - corners.size, centres.shape), -1)
    )
    values = np.concatenate([corners.ravel(), centres.ravel()])[used]
    edges = unique_edges(tets)
    _snap(points, values, edges, is_centre)
    return _cut(points, values, tets, edges, is_centre)


def unique_edges(tets: np.ndarray) -> np.ndarray:
    """Edges [E, 2] of tetrahedra, lower vertex first, ascending."""
    pairs = np.sort(tets[:, TET_EDGES].reshape(-1, 2), axis=1).astype(np.int64)
    base = np.int64(tets.max() + 1)
    keys = np.unique(pairs[:, 0] * base + pairs[:, 1])
    return np.stack([keys // base, keys % base], -1)


def _lattice_tets(corners: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Lattice tetrahedra [T, 4] with a vertex inside; corners are numbered before centres."""
    corner_ids = np.arange(corners.size).reshape(corners.shape)
    centre_ids = corners.size + np.arange(centres.size).reshape(centres.shape)
    values = np.concatenate([corners.ravel(), centres.ravel()])
    found = []
    for axis in range(3):
        inner = np.moveaxis(corner_ids, axis, 0)[1:-1]
        below, above = np.moveaxis(centre_ids, axis, 0)[:-1], np.moveaxis(centre_ids, axis, 0)[1:]
        ring = [inner[:, :-1, :-1], inner[:, 1:, :-1], inner[:, 1:, 1:], inner[:, :-1, 1:]]
        around = np.stack([below, above, *ring], -1)
        around = around[(values[around] < 0).any(-1)]
        for start in range(4):
            found.append(around[:, [0, 1, 2 + start, 2 + (start + 1) % 4]])
    tets = np.vstack(found)
    return tets[(values[tets] < 0).any(1)]


def _snap(points: np.ndarray, values: np.ndarray, edges: np.ndarray, is_centre: np.ndarray) -> None:
    """Move vertices onto cut points that are too near, the nearest first; changes points and values in place."""
    reach = np.where(is_centre[edges[:, 0]] == is_centre[edges[:, 1]], SNAP_LONG, SNAP_SHORT)
    while True:
        first, second = values[edges].T
        crossed = first * second < 0
        ends, share = edges[crossed], first[crossed] / (first[crossed] - second[crossed])
        vertex = np.concatenate([ends[:, 0], ends[:, 1]])
        closeness = np.concatenate([share, 1 - share]) / np.tile(reach[crossed], 2)
        near = np.flatnonzero(closeness < 1)
        if not len(near):
            return
        near = near[np.lexsort((closeness[near], vertex[near]))]
        near = near[np.unique(vertex[near], return_index=True)[1]]  # of each vertex the nearest cut
        rank = np.full(len(points), -1)
        rank[vertex[near[np.argsort(closeness[near], kind="stable")]]] = np.arange(len(near))
        both = edges[(rank[edges] >= 0).all(1)]
        later = both[np.arange(len(both)), rank[both].argmax(1)]
        rank[later] = -1  # a nearer neighbour moves first; then this vertex may be near no cut any more
        near = near[rank[vertex[near]] >= 0]
        at, along = near % len(ends), share[near % len(ends)][:, None]
        target = (1 - along) * points[ends[at, 0]] + along * points[ends[at, 1]]
        points[vertex[near]], values[vertex[near]] = target, 0.0


def _cut(points, values, tets, edges, is_centre) -> tuple[np.ndarray, np.ndarray]:
    """Keep what is inside of each tetrahedron: whole, or one of the stencils of figure 3."""
    first, second = values[edges].T
    crossed = edges[first * second < 0]
    share = (values[crossed[:, 0]] / (values[crossed[:, 0]] - values[crossed[:, 1]]))[:, None]
    cuts = (1 - share) * points[crossed[:, 0]] + share * points[crossed[:, 1]]
    keys = crossed[:, 0] * len(points) + crossed[:, 1]

    def cut(a, b):
        return len(points) + np.searchsorted(keys, np.minimum(a, b) * len(points) + np.maximum(a, b))

    sign = np.sign(values).astype(int)
    order = np.argsort(sign[tets], axis=1, kind="stable")  # inside, on the surface, outside
    tets = np.take_along_axis(tets, order, 1)
    inside, outside = (sign[tets] < 0).sum(1), (sign[tets] > 0).sum(1)
    pieces = [tets[(outside == 0) & (inside > 0)]]

    tips = tets[(inside == 1) & (outside > 0)]
    for corner in (1, 2, 3):
        beyond = sign[tips[:, corner]] > 0
        tips[beyond, corner] = cut(tips[beyond, 0], tips[beyond, corner])
    pieces.append(tips)

    a, b, apex, p = tets[(inside == 2) & (outside == 1)].T
    start = _diagonal_start(a, b, p, is_centre)
    ap, bp = cut(a, p), cut(b, p)
    # the diagonal joins a with bp, or b with ap
    pieces.append(np.where(start[:, None], np.stack([a, b, bp, apex], -1), np.stack([b, ap, a, apex], -1)))
    pieces.append(np.where(start[:, None], np.stack([a, bp, ap, apex], -1), np.stack([b, bp, ap, apex], -1)))

    a, b, p, q = tets[(inside == 2) & (outside == 2)].T
    swap = is_centre[a] != is_centre[p]  # the long edges are ab and pq, or, p and q exchanged if need be, ap and bq
    swap &= is_centre[a] != is_centre[b]
    p, q = np.where(swap, q, p), np.where(swap, p, q)
    prism = np.stack([a, cut(a, p), cut(a, q), b, cut(b, p), cut(b, q)], -1)
    lengthwise = is_centre[a] == is_centre[b]
    lower = np.where(a < b, 0, 3)
    priority = np.where(lengthwise[:, None], np.full(6, 2), np.array([2, 0, 2, 2, 2, 0]))
    priority[np.flatnonzero(lengthwise), lower[lengthwise]] = 0
    pieces += _split_prisms(prism, priority)

    a, b, c, p = tets[(inside == 3) & (outside == 1)].T
    base = np.stack([a, b, c], -1)
    long_at = (is_centre[base] == is_centre[p][:, None]).argmax(1)  # exactly one edge at p is long
    base = np.take_along_axis(base, (long_at[:, None] + np.arange(3)) % 3, 1)
    prism = np.concatenate([base, cut(base, p[:, None])], 1)
    priority = np.tile([2, 2, 2, 0, 2, 2], (len(prism), 1))
    priority[np.arange(len(prism)), np.where(base[:, 1] < base[:, 2], 1, 2)] = 1
    pieces += _split_prisms(prism, priority)
    return np.vstack([points, cuts]), np.vstack(pieces)


def _diagonal_start(a, b, p, is_centre) -> np.ndarray:
    """Whether the quadrilateral a, b, bp, ap of a lattice face is divided from a rather than from b.

    The diagonal ends at the cut of the long edge; where that edge is ab, it starts at the lower of the two. Both
    tetrahedra at the face decide alike.
    """
    tie = is_centre[a] == is_centre[b]
    return np.where(tie, a < b, is_centre[b] == is_centre[p])


def _split_prisms(prisms: np.ndarray, priority: np.ndarray) -> list[np.ndarray]:
    """Three tetrahedra of each prism with triangles 0, 1, 2 and 3, 4, 5; a side's diagonal starts at its vertex of
    lowest priority [N, 6] (Dompierre et al., "How to subdivide pyramids, prisms and hexahedra into tetrahedra", 1999).
    """
    rotations = np.array(
        [
            [0, 1, 2, 3, 4, 5],
            [1, 2, 0, 4, 5, 3],
            [2, 0, 1, 5, 3, 4],
            [3, 5, 4, 0, 2, 1],
            [4, 3, 5, 1, 0, 2],
            [5, 4, 3, 2, 1, 0],
        ]
    )
    turn = rotations[priority.argmin(1)]
    prisms, priority = np.take_along_axis(prisms, turn, 1), np.take_along_axis(priority, turn, 1)
    rising = np.minimum(priority[:, 1], priority[:, 5]) < np.minimum(priority[:, 2], priority[:, 4])
    x, y = prisms[rising], prisms[~rising]
    return [
        x[:, [0, 1, 2, 5]],
        x[:, [0, 1, 5, 4]],
        x[:, [0, 4, 5, 3]],
        y[:, [0, 1, 2, 4]],
        y[:, [0, 4, 2, 5]],
        y[:, [0, 4, 5, 3]],
    ]
