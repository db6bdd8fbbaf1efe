"""What straight laparoscopic instruments share: sleeve, collar, the fork that holds the jaws, and the jaws' roots."""

from __future__ import annotations

import numpy as np

from splatscope.meshes.instruments.instrument import LinkMeshes
from splatscope.meshes.lofting import at_heights, ellipse, loft, rounded_box, sweep
from splatscope.meshes.mesh import Mesh, surface_of_revolution

RING_MM = 8.0  # of the sleeve: short triangles cost the renderer less than long ones
SEGMENTS = 28
PLAY_MM = 0.03  # between surfaces that slide on each other


def turned(profile: list[tuple[float, float]]) -> Mesh:
    """Surface of revolution through (radius, z) with sharp edges, textured in space."""
    doubled = np.repeat(profile, 2, axis=0)[1:-1]  # sharp edges
    mesh = surface_of_revolution(doubled, SEGMENTS)
    mesh.texture = mesh.vertices
    return mesh


def sleeve(radius: float, start: float, end: float) -> Mesh:
    """Tube from z = start to z = end with rounded rims."""
    rings = np.linspace(start + 0.5, end - 0.4, max(2, round((end - start) / RING_MM)))
    profile = [(radius - 0.4, start), *[(radius, z) for z in rings], (radius - 0.1, end - 0.1), (radius - 0.35, end)]
    mesh = surface_of_revolution(np.array(profile), SEGMENTS)
    mesh.texture = mesh.vertices
    return mesh


def fork(radius: float, slot: float, start: float, reach: float) -> LinkMeshes:
    """Link `shaft` distal of its sleeve: steel collar from z = start, two prongs beside the slot |y| < slot, a pin,
    the rod that drives the jaws.

    The prongs end `reach` beyond the pin, which lies on the y axis.
    """
    root = min(start + 0.45 * (-reach - start), -2.4 * reach)
    collar = turned(
        [
            (radius - 0.35, start - 1.0),
            (radius - 0.35, start + 0.5),
            (radius - 0.08, start + 0.5),
            (radius - 0.08, root - 0.4),
            (radius - 0.3, root),
        ]
    )
    prongs = [loft(_prong_rings(radius - 0.05, slot, root - 0.6, reach) * [1, side, 1]) for side in (1, -1)]
    pin = sweep(np.array([[0, -radius + 0.02, 0], [0, radius - 0.02, 0]]), ellipse(0.75, 0.75, 14), [1.0, 0, 0])
    rod = turned([(0.86 * slot, root - 0.5), (0.86 * slot, -1.9 * reach), (0.6 * slot, -1.6 * reach)])
    return {"shaft": [(mesh, "steel") for mesh in (collar, *prongs, rod)] + [(pin, "carbide")]}


def _prong_rings(radius: float, slot: float, start: float, reach: float) -> np.ndarray:
    """Segments of the round shaft beyond y = slot, narrowing to a round end."""
    half = np.sqrt(radius**2 - slot**2)
    heights = np.concatenate([[start, 0.0], reach * np.sin(np.linspace(0.25, 0.98, 6) * np.pi / 2)])
    widths = half * np.sqrt(1 - (np.maximum(heights, 0) / reach) ** 2 * 0.97)
    rings = []
    for width in widths:
        x = width * np.cos(np.linspace(0, np.pi, 9))
        arc = np.stack([x, np.maximum(np.sqrt(radius**2 - x**2) - 0.03, slot)], -1)
        rings.append(np.vstack([arc, [[-width, slot - 1e-3], [width, slot - 1e-3]]]))
    return at_heights(np.array(rings), heights)


def jaw_root(side: int, radius: float, thickness: float, width: float, depth: float, end: float) -> list[Mesh]:
    """Hub on the pin, tang behind it and neck before it, of the jaw on a side; all but the neck's end in its own half.

    The neck ends at z = end as a box as wide as the jaw (half width in y) and as deep (in x); hub of the given radius.
    """
    low, high = PLAY_MM, thickness
    hub = sweep(np.array([[0, side * low, 0], [0, side * high, 0]]), ellipse(radius, radius, 26), [1.0, 0, 0])
    tang = at_heights(
        [rounded_box((-0.75 - lean, low), (0.75 - lean, high - 0.1), 0.2) for lean in (0.0, 0.35, 0.5)],
        [0.0, -0.55 * end - 1.2, -0.6 * end - 2.0],
    )
    clear = radius + 0.12  # beyond the other jaw's hub
    widening = np.array([0, 0, 0.1, 0.35, 0.65, 0.9, 1.0, 1.0])
    heights = np.concatenate([[0.2], clear + (end - clear) * np.array([0, 0.12, 0.3, 0.5, 0.72, 1.0]), [end + 1.0]])
    sections = [
        rounded_box(
            (low, (1 - share) * low - share * width),
            (depth * (0.85 + 0.15 * share), (1 - share) * high + share * width),
            0.35 + 0.5 * share * min(depth, width),
            4,
        )
        for share in widening
    ]
    neck = at_heights(np.array(sections), heights)
    mirrored = np.array([side, side, 1])
    return [hub, loft(tang * mirrored), loft(neck * mirrored)]
