"""Reads users' mesh files: surfaces by trimesh, volume meshes by meshio, Gmsh's format 1, which neither reads, here."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import meshio
import numpy as np
import trimesh

from splatscope.errors import InputError
from splatscope.memory import memory_limit
from splatscope.ply_header import ply_header_problem

# Of meshio's formats those that people keep organs in, and whose files name no other files to be read. Named, because
# meshio tries the others of a suffix too. Its readers of ANSYS's .msh and Nastran's .bdf never end on a file that does.
_VOLUME_FORMATS = {
    ".msh": "gmsh",
    ".vtk": "vtk",
    ".vtu": "vtu",
    ".mesh": "medit",
    ".inp": "abaqus",
    ".su2": "su2",
}
_SURFACE_FORMATS = ("obj", "off", "ply", "stl", "glb", "gltf")
MEMORY_PER_BYTE = 200  # that a reader may take for each byte of the file
SPARE_MEMORY = 2**28
_GMSH1_TRIANGLE, _GMSH1_TETRAHEDRON = 2, 4


def read_mesh_file(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices float64 [V, 3] in the file's unit, triangles int64 [F, 3], tetrahedra int64 [T, 4]; cells may be none.

    Raises InputError when the file is missing, of a format that is not read, or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            path, found="no such file", expected="a surface or tetrahedral mesh", remedy="correct the path"
        )
    try:
        with memory_limit(MEMORY_PER_BYTE * path.stat().st_size + SPARE_MEMORY):
            if path.suffix.lower() in _VOLUME_FORMATS:
                vertices, triangles, tets = _read_volume(path)
            else:
                vertices, triangles, tets = _read_surface(path)
        vertices = np.asarray(vertices, np.float64)
        cells = [np.asarray(cells, np.int64).reshape(-1, width) for cells, width in ((triangles, 3), (tets, 4))]
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise ValueError(f"points as numbers {list(vertices.shape)}")
    except InputError:
        raise
    except Exception as error:  # readers of dozens of formats raise whatever they like on broken files
        raise InputError(
            path,
            found=f"{type(error).__name__}: {error}",
            expected=f"a mesh in the format of its suffix, {path.suffix or 'which it lacks'}",
            remedy=f"export it anew, as {', '.join(_SURFACE_FORMATS)} (surface) or vtk, vtu, Gmsh's msh (tetrahedra)",
        ) from error
    if not np.isfinite(vertices).all():
        raise InputError(
            path,
            found=f"{int((~np.isfinite(vertices)).any(1).sum())} vertices that are not numbers",
            expected="finite coordinates",
            remedy="export the mesh anew",
        )
    for kind in cells:
        if kind.size and (kind.min() < 0 or kind.max() >= len(vertices)):
            raise InputError(
                path,
                found=f"cells of vertices {kind.min()}..{kind.max()} (counted from 0)",
                expected=f"0..{len(vertices) - 1}",
                remedy="export the mesh anew: it is cut off or numbered wrongly",
            )
    return vertices, *cells


def _read_surface(path: Path):
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in _SURFACE_FORMATS:
        raise ValueError("a format that is not read")
    problem = ply_header_problem(path, lists_allowed=True) if suffix == "ply" else ""
    if problem:
        raise ValueError(problem)
    # materials are not needed, and would be looked for in other files
    surface = trimesh.load(path, force="mesh", **({"skip_materials": True} if suffix in ("obj", "ply") else {}))
    if not len(getattr(surface, "faces", ())):
        raise InputError(
            path, found="no triangles", expected="a surface mesh", remedy="export the surface, not only its points"
        )
    return surface.vertices, surface.faces, np.zeros((0, 4))


def _read_volume(path: Path):
    if path.suffix.lower() == ".msh" and path.read_bytes()[:4] == b"$NOD":
        return _read_gmsh1(path.read_text().split("\n"))
    if path.suffix.lower() == ".inp" and b"*include" in path.read_bytes().lower():
        raise ValueError("*INCLUDE, which other files are needed for")
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            mesh = meshio.read(path, file_format=_VOLUME_FORMATS[path.suffix.lower()])
    except SystemExit as error:  # what meshio does with a file that it cannot read
        raise ValueError(" ".join(said.getvalue().split()) or "not readable") from error
    if mesh.points.shape[1] != 3:
        raise ValueError(f"points of {mesh.points.shape[1]} coordinates")
    # the corners come first in cells of higher order
    triangles = [block.data[:, :3] for block in mesh.cells if block.type.startswith("triangle")]
    tets = [block.data[:, :4] for block in mesh.cells if block.type.startswith("tetra")]
    return mesh.points, np.vstack([np.zeros((0, 3)), *triangles]), np.vstack([np.zeros((0, 4)), *tets])


def _read_gmsh1(lines: list[str]):
    """Gmsh format 1: `$NOD`, count, `number x y z`...; `$ELM`, count, `number type region region count vertices...`."""
    first, count = lines.index("$NOD") + 2, int(lines[lines.index("$NOD") + 1])
    nodes = np.array([line.split() for line in lines[first : first + count]], np.float64)
    number_of = {int(number): index for index, number in enumerate(nodes[:, 0])}
    first, count = lines.index("$ELM") + 2, int(lines[lines.index("$ELM") + 1])
    elements = [[int(cell) for cell in line.split()] for line in lines[first : first + count]]
    triangles = [[number_of[node] for node in row[5:]] for row in elements if row[1] == _GMSH1_TRIANGLE]
    tets = [[number_of[node] for node in row[5:]] for row in elements if row[1] == _GMSH1_TETRAHEDRON]
    return nodes[:, 1:], np.array(triangles).reshape(-1, 3), np.array(tets).reshape(-1, 4)
