"""Coloured points as a PLY file that any viewer opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from splatscope.files import write_bytes


def write_points(path: str | Path, points: np.ndarray, colors: np.ndarray) -> None:
    """Write points [N, 3] with colours uint8 [N, 3] as binary little-endian PLY."""
    fields = [(name, "<f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.zeros(len(points), dtype=fields)
    for axis, name in enumerate("xyz"):
        vertices[name] = points[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = colors[:, channel]
    properties = "".join(f"property {'float' if code == '<f4' else 'uchar'} {name}\n" for name, code in fields)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{properties}end_header\n"
    write_bytes(path, header.encode() + vertices.tobytes())
