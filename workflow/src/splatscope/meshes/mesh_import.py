"""Users' own organs as tetrahedra: volume meshes are checked and used as they are, surfaces are filled.

imported = import_mesh(Path("liver.stl"), unit_mm=1000.0)  # the file is in metres
body = imported.mesh
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from splatscope.errors import InputError
from splatscope.meshes.mesh_files import read_mesh_file
from splatscope.meshes.surface_distance import SurfaceDistance
from splatscope.meshes.tet_quality import OUTWARD, boundary_faces, min_dihedrals, tet_volumes
from splatscope.meshes.tetrahedra import TetMesh, stuff

PLAUSIBLE_SIZE_MM = (1.0, 2000.0)  # of the longest side of what is in an abdomen
USABLE_DIHEDRAL = 5.0  # degrees; flatter tetrahedra make a simulation stiff or unstable
DEFAULT_TETS = 5000


@dataclass(frozen=True)
class ImportedMesh:
    """A user's mesh and what there is to say about it."""

    mesh: TetMesh
    notes: list[str]  # what was changed, and what may surprise


def import_mesh(
    path: Path, *, unit_mm: float = 1.0, spacing_mm: float | None = None, refill: bool = False
) -> ImportedMesh:
    """A mesh file in units of `unit_mm` as tetrahedra in mm.

    Tetrahedra in the file are used as they are unless `refill`; a surface (or with `refill` the surface of the
    tetrahedra) is filled with tetrahedra of `spacing_mm`, by default so that about DEFAULT_TETS come out.
    Raises InputError for whatever cannot be used.
    """
    vertices, triangles, tets = read_mesh_file(path)
    vertices = vertices * unit_mm
    if not len(triangles) and not len(tets):
        raise InputError(
            path,
            found="neither triangles nor tetrahedra",
            expected="a surface or tetrahedral mesh",
            remedy="export the mesh with its cells, triangulated",
        )
    _check_size(path, vertices[np.unique(tets if len(tets) else triangles)], unit_mm)
    if not len(tets):
        return _fill(path, vertices, triangles, spacing_mm, [])
    tets, notes = _oriented(path, vertices, tets)
    if refill:
        return _fill(path, vertices, boundary_faces(tets)[0], spacing_mm, notes)
    used, renumbered = np.unique(tets, return_inverse=True)
    if len(used) < len(vertices):
        notes.append(f"{len(vertices) - len(used)} vertices that no tetrahedron uses were dropped")
    mesh = TetMesh(vertices[used], renumbered.reshape(-1, 4))
    return ImportedMesh(mesh, notes + _shape_notes(mesh))


def _check_size(path: Path, vertices: np.ndarray, unit_mm: float) -> None:
    size = float(np.ptp(vertices, axis=0).max())
    low, high = PLAUSIBLE_SIZE_MM
    if not low <= size <= high:
        raise InputError(
            path,
            found=f"a mesh {size:.4g} mm long, taking one unit of the file as {unit_mm:g} mm",
            expected=f"{low:g} to {high:g} mm",
            remedy="set unit_mm to what one unit of the file is: 1000 for metres, 10 for centimetres",
        )


def _oriented(path: Path, vertices: np.ndarray, tets: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Tetrahedra of positive volume; those that were numbered the other way round are turned and told of."""
    notes = []
    volumes = tet_volumes(vertices, tets)
    scale = np.abs(volumes).mean()
    flat = np.abs(volumes) <= 1e-7 * scale
    if flat.any():
        raise InputError(
            path,
            f"tetrahedron {np.flatnonzero(flat)[0]} (counted from 0)",
            found=f"{flat.sum()} of {len(tets)} tetrahedra without volume",
            expected="tetrahedra of positive volume",
            remedy="set refill to make new tetrahedra from the surface, or mesh it again",
        )
    turned = volumes < 0
    if turned.any():
        tets = tets.copy()
        tets[turned] = tets[turned][:, [1, 0, 2, 3]]
        notes.append(f"{turned.sum()} of {len(tets)} tetrahedra were numbered the other way round and were turned")
    faces = tets[:, OUTWARD].reshape(-1, 3)
    lowest = faces.argmin(1)
    cyclic = np.take_along_axis(faces, (lowest[:, None] + np.arange(3)) % 3, 1)
    _, repeats = np.unique(cyclic, axis=0, return_counts=True)
    if (repeats > 1).any():  # a face seen from the same side by two tetrahedra
        raise InputError(
            path,
            found=f"{(repeats > 1).sum()} faces with overlapping tetrahedra on one side",
            expected="tetrahedra that fill space once",
            remedy="set refill to make new tetrahedra from the surface, or mesh it again",
        )
    return tets, notes


def _shape_notes(mesh: TetMesh) -> list[str]:
    notes = []
    angles = min_dihedrals(mesh.vertices, mesh.tets)
    poor = int((angles < USABLE_DIHEDRAL).sum())
    if poor:
        notes.append(
            f"{poor} of {len(angles)} tetrahedra have a dihedral angle below {USABLE_DIHEDRAL:g} degrees (least "
            f"{angles.min():.2g}): set refill for well-shaped ones"
        )
    quality = mesh.quality()
    if quality.components > 1:
        notes.append(f"{quality.components} pieces that do not hang together by faces")
    if not quality.manifold:
        notes.append("the surface touches itself in points or edges")
    return notes


def _fill(
    path: Path, vertices: np.ndarray, faces: np.ndarray, spacing_mm: float | None, notes: list[str]
) -> ImportedMesh:
    surface = trimesh.Trimesh(vertices, faces)  # merges coinciding vertices, as STL has them
    closed = surface.is_watertight and surface.is_winding_consistent
    if not closed:
        sides = np.unique(surface.edges_sorted, axis=0, return_counts=True)[1]
        notes.append(
            f"the surface is not closed ({(sides == 1).sum()} open edges, {(sides > 2).sum()} of more than two faces): "
            "inside is where the winding number exceeds one half"
        )
    if surface.volume < 0:
        surface.invert()
        notes.append("the surface faced inwards and was turned inside out")
    if surface.volume < 1e-6 * surface.extents.max() ** 3:
        raise InputError(
            path,
            found="a surface that encloses next to nothing",
            expected="a closed surface, all faces outwards",
            remedy="close the surface, make its faces consistent, or give a tetrahedral mesh",
        )
    spacing = spacing_mm or float(np.cbrt(12 * surface.volume / DEFAULT_TETS))
    field = SurfaceDistance(surface.vertices, surface.faces)
    margin = 1.5 * spacing
    try:
        mesh = stuff(field, surface.bounds[0] - margin, surface.bounds[1] + margin, spacing)
    except ValueError as error:
        raise InputError(
            path,
            found=str(error),
            expected=f"a solid thicker than the spacing of {spacing:.3g} mm",
            remedy="set a smaller spacing_mm, or repair the surface where it is open or crosses itself",
        ) from error
    share = mesh.volumes().sum() / surface.volume
    if closed and share < 0.95:
        notes.append(f"{share:.0%} of the surface's volume is filled: the rest is finer than the spacing, or apart")
    return ImportedMesh(mesh, notes)
