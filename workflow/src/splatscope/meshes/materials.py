"""Materials by name: a texture tile and how the surface answers light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from splatscope.meshes import textures
from splatscope.meshes.shading_kernels import TEXEL_UNIT, SurfaceStyle, Texel
from splatscope.meshes.textures import Canvas, Tile
from splatscope.meshes.tile_pyramid import level_count, pyramid

PROJECTED, COORDINATES = 3, 1
TILE_PX = 1024
METAL_TILE_MM, PLAIN_TILE_MM = 24.0, 40.0


@dataclass(frozen=True)
class Material:
    """See SurfaceStyle for the optical numbers."""

    tile: Tile
    projections: int = PROJECTED
    tile_mm: tuple[float, float] | None = None  # of the tile on the surface; the tile's own size when absent
    roughness: float = 0.35
    reflectance: float = 0.03
    film_reflectance: float = 0.0
    film_roughness: float = 0.12
    bump: float = 1.0
    scatter: float = 0.0


class MaterialLibrary:
    """The materials of a scene."""

    def __init__(self, materials: dict[str, Material]):
        self._materials = materials

    def index(self, name: str) -> int:
        return list(self._materials).index(name)

    def upload(self, device: str) -> tuple[wp.array, wp.array]:
        """SurfaceStyle [M] and the texels of their tiles [M, N] on a device: see `pyramid`."""
        styles = []
        for layer, material in enumerate(self._materials.values()):
            style = SurfaceStyle()
            style.tile, style.projections = layer, material.projections
            style.tile_px = len(material.tile.albedo)
            style.last_level = level_count(style.tile_px) - 1
            style.tile_mm = wp.vec2(*(material.tile_mm or (material.tile.size_mm, material.tile.size_mm)))
            for name in ("roughness", "reflectance", "film_reflectance", "film_roughness", "bump", "scatter"):
                setattr(style, name, getattr(material, name))
            styles.append(style)
        tiles = np.stack([_stored(pyramid(material.tile.channels())) for material in self._materials.values()])
        return (
            wp.array(styles, dtype=SurfaceStyle, device=device),
            wp.array(tiles, dtype=Texel, device=device, copy=False),
        )


def _stored(texels: np.ndarray) -> np.ndarray:
    """int16 [N, 8] of float32 texels [N, 6]: see Texel. What is 2 or more becomes almost 2."""
    texels *= 1 / TEXEL_UNIT
    np.clip(np.rint(texels, out=texels), -32767, 32767, out=texels)
    stored = np.zeros((len(texels), 8), np.int16)
    stored[:, :6] = texels
    return stored


def _tissue(tile: Tile, **changes) -> Material:
    settings = {
        "roughness": 0.40,
        "reflectance": 0.045,
        "film_reflectance": 0.030,
        "film_roughness": 0.13,
        "scatter": 0.25,
    }
    return Material(tile, **(settings | changes))


def tissue_materials(seed: int, px: int = TILE_PX) -> dict[str, Material]:
    """Liver, gallbladder, fat, gut, duct, artery, peritoneum."""

    def tile(index: int) -> Canvas:
        return Canvas(np.random.default_rng([seed, 101, index]), px)

    return {
        "liver": _tissue(textures.liver(tile(0))),
        "gallbladder": _tissue(
            textures.serosa(tile(1), (0.46, 0.40, 0.22), (0.33, 0.33, 0.17), 0.85, 30, 3.2), film_reflectance=0.02
        ),
        "fat": _tissue(textures.fat(tile(2)), scatter=0.35),
        "gut": _tissue(textures.serosa(tile(3), (0.62, 0.30, 0.225), (0.52, 0.20, 0.155), 0.9, 42, 3.4)),
        "duct": _tissue(textures.serosa(tile(4), (0.52, 0.38, 0.19), (0.42, 0.30, 0.15), 0.7, 24, 2.0)),
        "artery": _tissue(textures.serosa(tile(5), (0.56, 0.14, 0.10), (0.46, 0.075, 0.06), 0.5, 20, 1.6)),
        "peritoneum": _tissue(textures.serosa(tile(6), (0.60, 0.31, 0.22), (0.46, 0.19, 0.14), 0.8, 26, 4.5)),
    }


def inner_materials(seed: int, px: int = TILE_PX) -> dict[str, Material]:
    """What shows where tissue was parted, and the strands between organs."""

    def tile(index: int) -> Canvas:
        return Canvas(np.random.default_rng([seed, 105, index]), px)

    return {
        "parenchyma": _tissue(textures.raw(tile(0), (0.36, 0.055, 0.040), (0.22, 0.022, 0.020), 1.2)),
        "mucosa": _tissue(textures.raw(tile(1), (0.44, 0.33, 0.10), (0.34, 0.20, 0.06), 0.8)),
        "lumen": _tissue(textures.raw(tile(2), (0.42, 0.085, 0.070), (0.25, 0.020, 0.018), 0.6)),
        "connective": _tissue(textures.raw(tile(3), (0.70, 0.55, 0.46), (0.56, 0.34, 0.27), 1.6), scatter=0.5),
    }


def instrument_materials(seed: int, shaft_length_mm: float, shaft_radius_mm: float) -> dict[str, Material]:
    """Steel of jaws and wrist, the printed shaft: the tool of the phantom's recordings."""

    def tile(index: int, size_mm: float = METAL_TILE_MM) -> Canvas:
        return Canvas(np.random.default_rng([seed, 102, index]), size_mm=size_mm)

    round_mm = 2 * np.pi * shaft_radius_mm
    return {
        "steel": Material(textures.brushed_metal(tile(0)), roughness=0.38, reflectance=0.13),
        "carbide": Material(textures.brushed_metal(tile(1), (0.15, 0.14, 0.115)), roughness=0.40, reflectance=0.09),
        "shaft": Material(
            textures.instrument_shaft(tile(2, shaft_length_mm)),
            COORDINATES,
            (round_mm, shaft_length_mm),
            roughness=0.45,
            reflectance=0.05,
        ),
    }


def laparoscopic_materials(seed: int, px: int = TILE_PX) -> dict[str, Material]:
    """What the instruments and clips of an operation are made of."""

    def tile(index: int, size_mm: float) -> Canvas:
        return Canvas(np.random.default_rng([seed, 104, index]), px, size_mm)

    def metal(index: int, rgb, roughness: float, reflectance: float) -> Material:
        return Material(
            textures.polished_metal(tile(index, METAL_TILE_MM), rgb), roughness=roughness, reflectance=reflectance
        )

    def plain(index: int, rgb, **optics) -> Material:
        return Material(textures.plain(tile(index, PLAIN_TILE_MM), rgb, mottling=0.3), **optics)

    return {
        "steel": metal(0, (0.125, 0.125, 0.130), 0.32, 0.28),
        "carbide": metal(1, (0.085, 0.080, 0.073), 0.38, 0.20),
        "titanium": metal(2, (0.20, 0.20, 0.21), 0.33, 0.26),
        "insulation": plain(3, (0.020, 0.021, 0.024), roughness=0.36, reflectance=0.050),
        "blue insulation": plain(4, (0.06, 0.14, 0.34), roughness=0.40, reflectance=0.045),
        "ceramic": plain(5, (0.66, 0.61, 0.50), roughness=0.30, reflectance=0.05),
        "polymer": plain(6, (0.36, 0.20, 0.52), roughness=0.35, reflectance=0.05, scatter=0.3),
    }


def bench_materials(seed: int) -> dict[str, Material]:
    """The table on which a tool is recorded: printed drape, clamp."""
    return {
        "mat": Material(
            textures.printed_mat(Canvas(np.random.default_rng([seed, 103, 0]), size_mm=120.0)),
            roughness=0.6,
            reflectance=0.01,
        ),
        "clamp": Material(
            textures.plain(Canvas(np.random.default_rng([seed, 103, 1]), size_mm=PLAIN_TILE_MM), (0.12, 0.12, 0.13)),
            roughness=0.5,
        ),
    }
