"""Which tetrahedra hang together, and how they are parted without losing volume or the surface its closedness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from splatscope.meshes.tet_quality import OUTWARD
from splatscope.meshes.tetrahedra import pinched_vertices

REPAIRS = 6  # rounds that try to keep a cut complete before parts of it are given up


@dataclass
class Surface:
    """The boundary of all tetrahedra that are left."""

    faces: np.ndarray  # int32 [F, 3] vertices, counter-clockwise from outside
    tet: np.ndarray  # int32 [F] tetrahedron that the face belongs to
    corner: np.ndarray  # int8 [F, 3] which corners of that tetrahedron
    inner: np.ndarray  # bool [F] made by a cut, a tear or vaporisation: shows the inside of the organ


@dataclass
class Parting:
    """What a change of topology did."""

    parents: np.ndarray  # int32 [N] vertex that each new vertex is a copy of
    opened: np.ndarray  # int32 [M, 2, 2] (tetrahedron, face) on either side of each face that opened


class Topology:
    """Tetrahedra, of which some may be gone. Cuts duplicate vertices: the numbering of tetrahedra never changes."""

    def __init__(self, tets: np.ndarray, vertex_count: int):
        self.tets = np.array(tets, np.int32)  # [T, 4]
        self.vertex_count = vertex_count
        self.active = np.ones(len(tets), bool)
        self.neighbours = _neighbours(self.tets)  # int32 [T, 4] 4 * tetrahedron + its face, beyond each face; or -1
        self._outer = self.neighbours < 0
        self.version = 0
        self._surface: Surface | None = None

    def surface(self) -> Surface:
        if self._surface is None:
            beyond = self.neighbours // 4
            tet, face = np.nonzero(self.active[:, None] & ((self.neighbours < 0) | ~self.active[beyond]))
            corner = OUTWARD[face]
            faces = np.take_along_axis(self.tets[tet], corner, axis=1)
            self._surface = Surface(faces, tet.astype(np.int32), corner.astype(np.int8), ~self._outer[tet, face])
        return self._surface

    def pieces(self, kept: np.ndarray) -> np.ndarray:
        """Labels int32 [T] of the pieces that the tetrahedra in `kept` bool [T] form by faces; -1 elsewhere."""
        kept = kept & self.active
        tet, face = np.nonzero(kept[:, None] & (self.neighbours >= 0) & kept[self.neighbours // 4])
        beyond = self.neighbours[tet, face] // 4
        labels = np.full(len(self.tets), -1, np.int32)
        labels[kept] = np.unique(_components(tet, beyond, len(self.tets))[kept], return_inverse=True)[1]
        return labels

    def separate(self, side: np.ndarray, core: np.ndarray) -> Parting:
        """Part tetrahedra of different `side` bool [T] at the faces that hold a vertex of `core` (indices).

        Every vertex becomes one copy for each group of tetrahedra around it that still hang together by faces. Where
        the surface would touch itself in a vertex or an edge, tetrahedra change sides or the cut grows by a vertex;
        where neither helps, the cut ends before that vertex.
        """
        side = side.copy()
        in_core, spared = np.zeros((2, self.vertex_count), bool)
        in_core[core] = True
        for attempt in range(1000):
            tet, face = self._faces_between(side, in_core & ~spared)
            corners = np.take_along_axis(self.tets[tet], OUTWARD[face], axis=1)
            whole = ~spared[corners].any(1)
            tet, face, corners = tet[whole], face[whole], corners[whole]
            parted = np.zeros(self.tets.shape, bool)
            parted[tet, face] = True
            split = self._split(np.unique(corners), parted, self.active)
            pinched = split.pinched[~spared[split.pinched]]
            if not len(pinched):
                return self._apply(split, parted)
            if attempt < REPAIRS:
                grown = pinched[~in_core[pinched]]
                in_core[grown] = True
                for vertex in pinched if not len(grown) else []:
                    group = split.smallest_group(vertex)
                    side[group] = ~side[group]
            else:
                spared[pinched] = True
        raise RuntimeError("expected the cut to become a clean surface")

    def remove(self, tets: np.ndarray) -> Parting:
        """Take tetrahedra (indices) away, but for those without which the surface would touch itself."""
        gone = np.zeros(len(self.tets), bool)
        gone[tets] = True
        nothing = np.zeros(self.tets.shape, bool)
        while True:
            left = self.active & ~gone
            split = self._split(np.unique(self.tets[gone]), nothing, left)
            rescued = gone & np.isin(self.tets, split.pinched).any(1)
            if not rescued.any():
                break
            gone &= ~rescued
        removed = np.flatnonzero(gone & self.active)
        self.active = left
        return self._apply(split, nothing, removed)

    def _faces_between(self, side: np.ndarray, core: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(tetrahedron, face) of all faces, from both sides, between sides and with a vertex of the core."""
        near = np.flatnonzero(self.active & core[self.tets].any(1))
        beyond = self.neighbours[near] // 4
        between = (self.neighbours[near] >= 0) & self.active[beyond] & (side[near][:, None] != side[beyond])
        between &= core[self.tets[near][:, OUTWARD]].any(2)
        row, face = np.nonzero(between)
        return near[row], face

    def _split(self, vertices: np.ndarray, parted: np.ndarray, active: np.ndarray) -> _Split:
        """How `vertices` multiply when the faces in `parted` bool [T, 4] open."""
        touched = np.zeros(self.vertex_count, bool)
        touched[vertices] = True
        star = np.flatnonzero(active & touched[self.tets].any(1))
        row_of = np.full(len(self.tets), -1)
        row_of[star] = np.arange(len(star))
        beyond = np.where(self.neighbours[star] >= 0, row_of[self.neighbours[star] // 4], -1)
        row, face = np.nonzero((beyond > np.arange(len(star))[:, None]) & ~parted[star])
        other = beyond[row, face]
        corners = OUTWARD[face]
        shared = self.tets[star[row][:, None], corners]
        matching = (self.tets[star[other]][:, None, :] == shared[:, :, None]).argmax(2)
        linked = touched[shared]
        labels = _components(
            (row[:, None] * 4 + corners)[linked], (other[:, None] * 4 + matching)[linked], 4 * len(star)
        ).reshape(-1, 4)
        return _Split(self.tets, self.vertex_count, star, touched, labels)

    def _apply(self, split: _Split, parted: np.ndarray, removed: np.ndarray | tuple = ()) -> Parting:
        tet, face = np.nonzero(parted)
        beyond = self.neighbours[tet, face]
        self.tets[split.star] = split.tets
        self.vertex_count += len(split.parents)
        here = np.sort(self.tets[tet[:, None], OUTWARD[face]], axis=1)
        there = np.sort(self.tets[(beyond // 4)[:, None], OUTWARD[beyond % 4]], axis=1)
        opened = (here != there).any(1)
        self.neighbours[tet[opened], face[opened]] = -1
        if opened.any() or len(removed) or len(split.parents):
            self.version += 1
            self._surface = None
        once = opened & (4 * tet + face < beyond)
        sides = np.stack([np.stack([tet, face], -1), np.stack([beyond // 4, beyond % 4], -1)], 1)
        return Parting(split.parents, sides[once].astype(np.int32))


class _Split:
    """The tetrahedra about the touched vertices with their vertices multiplied."""

    def __init__(self, tets, vertex_count, star, touched, labels):
        self.star, self.touched = star, touched
        before = tets[star]
        corner = touched[before]
        vertex, label = before[corner], labels[corner]
        groups, first, inverse, size = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
        owner = vertex[first]
        order = np.lexsort((groups, -size, owner))  # the largest group of a vertex keeps its number
        extra = order[np.flatnonzero(owner[order][1:] == owner[order][:-1]) + 1]
        number = owner.copy()
        number[extra] = vertex_count + np.arange(len(extra))
        self.parents = owner[extra].astype(np.int32)
        self.tets = before.copy()
        self.tets[corner] = number[inverse]
        self._group = np.full(before.shape, -1)
        self._group[corner] = inverse
        self._owner, self._size = owner, size
        found = pinched_vertices(self.tets) if len(star) else np.zeros(0, int)
        parent = np.concatenate([np.arange(vertex_count), self.parents])
        found = parent[found]
        self.pinched = np.unique(found[touched[found]])

    def smallest_group(self, vertex: int) -> np.ndarray:
        """Tetrahedra of the smallest group about a vertex."""
        groups = np.flatnonzero(self._owner == vertex)
        smallest = groups[self._size[groups].argmin()]
        return self.star[(self._group == smallest).any(1)]


def _components(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    graph = coo_matrix((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _neighbours(tets: np.ndarray) -> np.ndarray:
    faces = np.sort(tets[:, OUTWARD].reshape(-1, 3), axis=1).astype(np.int64)
    base = np.int64(tets.max() + 1)
    keys = (faces[:, 0] * base + faces[:, 1]) * base + faces[:, 2]
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    neighbours = np.full(tets.size, -1, np.int32)
    neighbours[order[same]], neighbours[order[same + 1]] = order[same + 1], order[same]
    return neighbours.reshape(-1, 4)
