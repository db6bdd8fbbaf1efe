"""Triangle meshes as the renderer takes them: millimetres, closed, counter-clockwise seen from outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh

from splatscope.files import write_bytes


@dataclass
class Mesh:
    """A triangle mesh with what shading needs at each vertex."""

    vertices: np.ndarray  # float32 [V, 3] mm
    faces: np.ndarray  # int32 [F, 3]
    normals: np.ndarray | None = None  # float32 [V, 3], unit; computed from the faces when absent
    tint: np.ndarray | None = None  # float32 [V, 4]: colour factor, then ambient occlusion (1 open); 1 when absent
    texture: np.ndarray | None = None  # float32 [V, 3] texture coordinates in mm; the vertices when absent

    def __post_init__(self):
        self.vertices = np.ascontiguousarray(self.vertices, np.float32)
        self.faces = np.ascontiguousarray(self.faces, np.int32)
        count = len(self.vertices)
        if self.normals is None:
            self.normals = vertex_normals(self.vertices, self.faces)
        if self.tint is None:
            self.tint = np.ones((count, 4))
        if self.texture is None:
            self.texture = self.vertices
        for name, width in (("vertices", 3), ("normals", 3), ("tint", 4), ("texture", 3)):
            value = np.ascontiguousarray(getattr(self, name), np.float32)
            if value.shape != (count, width):
                raise ValueError(f"expected {name} [{count}, {width}], got {list(value.shape)}")
            setattr(self, name, value)
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or (self.faces.size and self.faces.max() >= count):
            raise ValueError(f"expected faces [F, 3] of indices below {count}, got {list(self.faces.shape)}")

    def transformed(self, target_from_source: np.ndarray) -> Mesh:
        """The mesh moved rigidly; texture coordinates stay with the surface."""
        rotation, translation = target_from_source[:3, :3], target_from_source[:3, 3]
        return Mesh(
            self.vertices @ rotation.T + translation, self.faces, self.normals @ rotation.T, self.tint, self.texture
        )

    def flipped(self) -> Mesh:
        """Inside out: the surface of the hollow."""
        return Mesh(self.vertices, self.faces[:, ::-1], -self.normals, self.tint, self.texture)

    def to_trimesh(self) -> trimesh.Trimesh:
        return trimesh.Trimesh(self.vertices, self.faces, process=False)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3]: face normals averaged with their areas."""
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    face_normals = np.cross(second - first, third - first)
    shares = np.repeat(face_normals, 3, axis=0)
    normals = np.stack([np.bincount(faces.ravel(), shares[:, axis], len(vertices)) for axis in range(3)], -1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def concatenate(meshes: list[Mesh]) -> Mesh:
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    return Mesh(
        np.vstack([mesh.vertices for mesh in meshes]),
        np.vstack([mesh.faces + offset for mesh, offset in zip(meshes, offsets)]),
        np.vstack([mesh.normals for mesh in meshes]),
        np.vstack([mesh.tint for mesh in meshes]),
        np.vstack([mesh.texture for mesh in meshes]),
    )


def surface_of_revolution(profile: np.ndarray, segments: int) -> Mesh:
    """Closed mesh of a profile [N, 2] of (radius, z) with z ascending, turned about z; flat caps close the ends.

    Texture coordinates are (arc length at the profile's largest radius, z, 0). Points of the profile that repeat give
    sharp edges.
    """
    profile = np.asarray(profile, np.float64)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)  # first and last coincide: the texture has a seam there
    radius, z = profile[:, 0], profile[:, 1]
    vertices = np.concatenate(
        [radius[:, None, None] * circle, np.broadcast_to(z[:, None, None], (len(z), segments + 1, 1))], -1
    )
    slope = np.zeros((len(profile), 2))
    step = np.diff(profile, axis=0)
    length = np.linalg.norm(step, axis=1, keepdims=True)
    edge = np.where(length > 0, np.stack([step[:, 1], -step[:, 0]], -1) / np.maximum(length, 1e-12), 0)
    slope[:-1] += edge
    slope[1:] += edge
    slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)
    normals = np.concatenate(
        [slope[:, :1, None] * circle, np.broadcast_to(slope[:, 1, None, None], (len(z), segments + 1, 1))], -1
    )
    texture = np.zeros_like(vertices)
    texture[..., 0] = angle * radius.max()
    texture[..., 1] = z[:, None]
    row = np.arange(segments)
    quads = []
    for ring in np.flatnonzero(length[:, 0] > 0):
        low, high = ring * (segments + 1), (ring + 1) * (segments + 1)
        quads += [np.stack([low + row, low + row + 1, high + row + 1], -1)]
        quads += [np.stack([low + row, high + row + 1, high + row], -1)]
    parts = [Mesh(vertices.reshape(-1, 3), np.vstack(quads), normals.reshape(-1, 3), None, texture.reshape(-1, 3))]
    for ring, sign in ((0, -1), (-1, 1)):
        rim = vertices[ring]
        centre = np.array([[0, 0, z[ring]]])
        faces = np.stack([np.full(segments, segments + 1), row, row + 1], -1)[:, :: (1 if sign > 0 else -1)]
        cap_normals = np.tile([0.0, 0, sign], (segments + 2, 1))
        parts.append(Mesh(np.vstack([rim, centre]), faces, cap_normals, None, np.vstack([texture[ring], centre])))
    return concatenate(parts)


def write_ply(path, mesh: Mesh) -> None:
    """Binary PLY of vertices (mm) and faces; coinciding vertices are merged."""
    merged = mesh.to_trimesh()
    merged.merge_vertices()
    write_bytes(path, merged.export(file_type="ply"))
