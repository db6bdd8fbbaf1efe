"""Texture tiles: squares that repeat without a seam, with colour, gloss and slopes. Colours are linear RGB."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from splatscope.meshes.noise import band_noise, cell_distances, vessel_map

TILE_PX = 1024
TISSUE_TILE_MM = 90.0


@dataclass
class Tile:
    """One texture tile; pixel [v, u]."""

    albedo: np.ndarray  # float32 [S, S, 3]
    gloss: np.ndarray  # float32 [S, S]: factor of the highlights
    height_mm: np.ndarray | None = None  # float32 [S, S]: its slopes tilt the normals
    size_mm: float = TISSUE_TILE_MM

    def channels(self) -> np.ndarray:
        """float32 [S, S, 6]: albedo, gloss, slope along u, slope along v."""
        size = len(self.albedo)
        result = np.zeros((size, size, 6), np.float32)
        result[..., :3] = np.clip(self.albedo, 0.004, 0.95)
        result[..., 3] = self.gloss
        if self.height_mm is not None:
            texel = self.size_mm / size
            for channel, axis in ((4, 1), (5, 0)):
                slope = (np.roll(self.height_mm, -1, axis) - np.roll(self.height_mm, 1, axis)) / (2 * texel)
                result[..., channel] = np.clip(slope, -1.5, 1.5)
        return result


def colour(*rgb: float) -> np.ndarray:
    return np.array(rgb, np.float32)


def mix(first, second, share: np.ndarray) -> np.ndarray:
    share = share[..., None]
    return first * (1 - share) + second * share


def noise(rng: np.random.Generator, wavelength_mm: float, size_mm: float = TISSUE_TILE_MM) -> np.ndarray:
    return band_noise(rng, (TILE_PX, TILE_PX), wavelength_mm * TILE_PX / size_mm)


def step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; falling when low > high."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def warp_tile(image: np.ndarray, rng: np.random.Generator, amount_px: float, wavelength_mm: float) -> np.ndarray:
    """The tile bent by smooth noise, so that regular cells look grown."""
    v, u = np.meshgrid(np.arange(TILE_PX), np.arange(TILE_PX), indexing="ij")
    shift_u, shift_v = noise(rng, wavelength_mm) * amount_px, noise(rng, wavelength_mm) * amount_px
    return cv2.remap(
        image,
        (u + shift_u).astype(np.float32),
        (v + shift_v).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )


def liver(rng: np.random.Generator) -> Tile:
    """Brown-red capsule: lobules of about 1.4 mm with pale borders, mottling, a few vessels under the capsule."""
    near, second = cell_distances(rng, TILE_PX, 62)
    border = warp_tile(step(second - near, 0.28, 0.02), rng, 3, 4)
    centre = warp_tile(step(near, 0.35, 0.0), rng, 3, 4)
    broad, middle, fine = noise(rng, 16), noise(rng, 4.5), noise(rng, 0.8)
    base = mix(colour(0.27, 0.062, 0.048), colour(0.40, 0.105, 0.070), step(broad + 0.5 * middle, -1.6, 1.6))
    base = base * (1 + 0.13 * middle + 0.10 * fine)[..., None]
    base = mix(base, colour(0.46, 0.17, 0.115), 0.42 * border * step(middle, -1.2, 0.8))
    base = mix(base, colour(0.16, 0.025, 0.022), 0.40 * centre)
    speckle = step(noise(rng, 0.55) * (1 + 0.4 * broad), 1.9, 2.8)
    base = mix(base, colour(0.62, 0.33, 0.22), 0.6 * speckle)
    vessels = vessel_map(rng, TILE_PX, 14, 3.4, 0.7)
    base = mix(base, colour(0.15, 0.018, 0.03), 0.55 * vessels)
    height = 0.05 * middle + 0.035 * border - 0.03 * centre + 0.006 * fine + 0.10 * noise(rng, 8) + 0.05 * vessels
    gloss = np.clip(0.85 + 0.25 * noise(rng, 5) - 0.2 * border, 0.1, 1.5)
    return Tile(base, gloss, height)


def fat(rng: np.random.Generator) -> Tile:
    """Yellow lobules of 2 to 4 mm with orange seams, small lobules within, thin red vessels along and across."""
    near, second = cell_distances(rng, TILE_PX, 26)
    near, second = warp_tile(near, rng, 9, 7), warp_tile(second, rng, 9, 7)
    seam = step(second - near, 0.20, 0.0)
    small_near, small_second = cell_distances(rng, TILE_PX, 92)
    small_seam = warp_tile(step(small_second - small_near, 0.30, 0.0), rng, 3, 3)
    broad, middle, fine = noise(rng, 18), noise(rng, 5), noise(rng, 0.7)
    base = mix(colour(0.66, 0.36, 0.105), colour(0.80, 0.52, 0.20), step(middle + 0.6 * broad, -1.5, 1.5))
    base = base * (1 + 0.05 * fine)[..., None]
    base = mix(base, colour(0.55, 0.21, 0.06), 0.65 * seam)
    base = mix(base, colour(0.58, 0.27, 0.07), 0.40 * small_seam)
    base = mix(base, colour(0.68, 0.24, 0.12), 0.35 * step(broad - 0.3 * middle, 0.6, 1.8))
    capillaries = vessel_map(rng, TILE_PX, 34, 2.2, 0.6, 0.22)
    base = mix(base, colour(0.44, 0.035, 0.025), 0.80 * capillaries)
    trunks = vessel_map(rng, TILE_PX, 5, 5.0, 1.3, 0.14)
    base = mix(base, colour(0.30, 0.03, 0.04), 0.65 * trunks)
    height = -0.45 * np.minimum(near, 0.8) ** 2 - 0.20 * seam - 0.10 * small_seam + 0.10 * middle + 0.15 * trunks
    return Tile(base, np.clip(0.8 + 0.3 * noise(rng, 4), 0.1, 1.5), height)


def serosa(rng: np.random.Generator, pale, deep, vessels_share: float, trees: int, trunk: float) -> Tile:
    """Smooth moist membrane with two layers of branching vessels: gallbladder, gut, peritoneum."""
    pale, deep = colour(*pale), colour(*deep)
    broad, middle, fine = noise(rng, 20), noise(rng, 6), noise(rng, 0.7)
    base = mix(pale, deep, step(broad + 0.7 * middle, -1.8, 1.8))
    base = base * (1 + 0.07 * middle + 0.05 * fine)[..., None]
    fibres = noise(rng, 1.6) * 0.6 + noise(rng, 2.6) * 0.6
    base = base * (1 + 0.05 * fibres)[..., None]
    below = cv2.GaussianBlur(vessel_map(rng, TILE_PX, trees // 3, trunk, 1.0, 0.12), (0, 0), 1.6)
    base = mix(base, colour(0.26, 0.06, 0.12), 0.55 * vessels_share * below)
    above = vessel_map(rng, TILE_PX, trees, trunk * 0.7, 0.6, 0.20)
    base = mix(base, colour(0.47, 0.035, 0.035), vessels_share * above)
    net = vessel_map(rng, TILE_PX, trees * 3, 1.2, 0.55, 0.3)
    base = mix(base, colour(0.50, 0.06, 0.05), 0.6 * vessels_share * net)
    blush = step(noise(rng, 3) + 0.8 * broad, 1.0, 2.4)
    base = mix(base, colour(0.55, 0.10, 0.08), 0.35 * vessels_share * blush)
    height = 0.10 * middle + 0.03 * fibres + 0.10 * above + 0.12 * below
    return Tile(base, np.clip(0.95 + 0.25 * middle, 0.1, 1.6), height)


def raw(rng: np.random.Generator, fresh, deep, grain_mm: float) -> Tile:
    """The inside of an organ where it was cut or torn: grainy, mottled, wet."""
    broad, grain = noise(rng, 9), noise(rng, grain_mm)
    base = mix(colour(*fresh), colour(*deep), step(broad + 0.8 * grain, -1.4, 1.6)) * (1 + 0.12 * grain)[..., None]
    return Tile(base, np.clip(1.1 + 0.2 * broad, 0.3, 1.6), 0.16 * grain + 0.1 * broad)


def brushed_metal(rng: np.random.Generator, base=(0.19, 0.19, 0.20), size_mm: float = 24.0) -> Tile:
    """Matte steel: fine brushing, scratches, pits and faint stains."""
    streaks = _brushing(rng)
    stain, blotch = noise(rng, 3.5, size_mm), noise(rng, 1.1, size_mm)
    albedo = colour(*base) * (1 + 0.10 * streaks + 0.10 * stain + 0.06 * blotch)[..., None]
    scratches = np.zeros((TILE_PX, TILE_PX), np.float32)
    for _ in range(260):
        start, angle = rng.uniform(0, TILE_PX, 2), rng.normal(np.pi / 2, 0.7)
        end = start + rng.uniform(15, 160) * np.array([np.cos(angle), np.sin(angle)])
        cv2.line(
            scratches, (start * 16).astype(int), (end * 16).astype(int), float(rng.uniform(0.3, 1)), 2, cv2.LINE_AA, 4
        )
    albedo = mix(albedo, colour(0.42, 0.42, 0.42), 0.5 * scratches)
    pits = step(noise(rng, 0.4, size_mm), 2.0, 2.8)
    albedo = mix(albedo, colour(0.06, 0.05, 0.05), 0.45 * pits)
    return Tile(albedo, np.clip(0.9 + 0.25 * blotch - 0.5 * pits, 0.1, 1.4), None, size_mm)


def polished_metal(rng: np.random.Generator, base, size_mm: float = 24.0) -> Tile:
    """Bright metal in use: faint brushing, hairline scratches, a surface a little uneven."""
    streaks, broad = _brushing(rng), noise(rng, 5, size_mm)
    albedo = colour(*base) * (1 + 0.05 * streaks + 0.05 * broad)[..., None]
    hairlines = np.zeros((TILE_PX, TILE_PX), np.float32)
    for _ in range(140):
        start, angle = rng.uniform(0, TILE_PX, 2), rng.normal(np.pi / 2, 0.9)
        end = start + rng.uniform(10, 90) * np.array([np.cos(angle), np.sin(angle)])
        cv2.line(hairlines, (start * 16).astype(int), (end * 16).astype(int), 1.0, 1, cv2.LINE_AA, 4)
    gloss = np.clip(1 + 0.10 * streaks + 0.12 * broad - 0.35 * hairlines, 0.3, 1.5)
    return Tile(albedo, gloss, 0.012 * broad + 0.004 * noise(rng, 1.2, size_mm), size_mm)


def _brushing(rng: np.random.Generator) -> np.ndarray:
    """Fine parallel streaks along v, standard deviation 1."""
    streaks = cv2.GaussianBlur(rng.standard_normal((TILE_PX, TILE_PX)).astype(np.float32), (0, 0), 0.8)
    streaks = np.fft.ifft2(np.fft.fft2(streaks) * np.exp(-((np.fft.fftfreq(TILE_PX) * 60) ** 2))[:, None]).real.astype(
        np.float32
    )
    return streaks / streaks.std()


def instrument_shaft(rng: np.random.Generator, length_mm: float) -> Tile:
    """The printed sleeve of a shaft: u once round, v along it for `length_mm`, v = 0 at the distal end.

    Grey composite with weave, wear and stains; printed rings, scale, words and arrows.
    """
    weave_u, weave_v = np.meshgrid(np.arange(TILE_PX), np.arange(TILE_PX))
    weave = np.sin(weave_u * (2 * np.pi / 16)) * np.sin(weave_v * (2 * np.pi / 8))
    anisotropic = band_noise(rng, (TILE_PX, TILE_PX), 40)
    fine, stains = band_noise(rng, (TILE_PX, TILE_PX), 9), band_noise(rng, (TILE_PX, TILE_PX), 140)
    shade = 1 + 0.10 * weave + 0.13 * anisotropic + 0.08 * fine + 0.16 * stains
    base = colour(0.135, 0.138, 0.150) * shade[..., None]
    wear = step(band_noise(rng, (TILE_PX, TILE_PX), 60) + 0.7 * band_noise(rng, (TILE_PX, TILE_PX), 14), 1.6, 2.4)
    base = mix(base, colour(0.30, 0.29, 0.28), 0.7 * wear)
    ink = np.zeros((TILE_PX, TILE_PX), np.float32)
    per_mm = TILE_PX / length_mm
    for at in np.arange(5.0, length_mm - 2, 5.0):
        long = round(at) % 10 == 0
        row = int(at * per_mm)
        if long:
            cv2.rectangle(ink, (0, row), (TILE_PX, row + int(0.7 * per_mm)), 0.9, -1)
        for column in range(0, TILE_PX, TILE_PX // 4):
            cv2.rectangle(ink, (column, row), (column + 90, row + int(0.6 * per_mm)), 0.8, -1)
    words = ["LARGE NEEDLE DRIVER", "REF 470006", "SPLATSCOPE", "8 mm", "DISTAL", "LOT 0317", "CE", "> > >", "KEEP DRY"]
    for index, at in enumerate(np.arange(2.0, length_mm - 3, 4.2)):
        column = int(rng.uniform(0, TILE_PX))
        word = words[(index + int(rng.integers(3))) % len(words)] if index % 3 == 0 else str(int(at * 10))
        _print_round(ink, word, column, int((at + 2.6) * per_mm), per_mm)
    ink *= step(band_noise(rng, (TILE_PX, TILE_PX), 12), -1.9, -0.9)  # worn print
    base = mix(base, colour(0.62, 0.62, 0.60), 0.9 * ink)
    yellow = np.zeros((TILE_PX, TILE_PX), np.float32)
    for at in (12.5, 47.5, 82.5):
        if at < length_mm - 3:
            cv2.rectangle(yellow, (0, int(at * per_mm)), (TILE_PX, int((at + 1.6) * per_mm)), 1.0, -1)
    base = mix(base, colour(0.55, 0.36, 0.05), 0.85 * yellow)
    gloss = np.clip(0.8 + 0.3 * anisotropic, 0.2, 1.5)
    return Tile(base, gloss, None, length_mm)


def _print_round(ink: np.ndarray, word: str, column: int, row: int, per_mm: float) -> None:
    """Words on the sleeve; the tile is stretched: 1024 px go once round (25 mm) but per_mm px to 1 mm along it."""
    canvas = np.zeros((60, 40 + 34 * len(word)), np.float32)
    cv2.putText(canvas, word, (10, 44), cv2.FONT_HERSHEY_DUPLEX, 1.4, 1.0, 3, cv2.LINE_AA)
    around = max(1, int(canvas.shape[1] * 2.2 * 1024 / 25 / 60))
    stretched = cv2.resize(canvas, (around, max(2, int(2.2 * per_mm))), interpolation=cv2.INTER_AREA)
    rows = (np.arange(stretched.shape[0]) + row) % TILE_PX
    columns = (np.arange(stretched.shape[1]) + column) % TILE_PX
    ink[np.ix_(rows, columns)] = np.maximum(ink[np.ix_(rows, columns)], stretched)


def printed_mat(rng: np.random.Generator, size_mm: float) -> Tile:
    """A blue-green theatre drape with printed grid, dots, words and blots: rich in corners for feature matching."""
    per_mm = TILE_PX / size_mm
    fine, middle = noise(rng, 1.2, size_mm), noise(rng, 9, size_mm)
    base = colour(0.17, 0.44, 0.50) * (1 + 0.10 * fine + 0.16 * middle)[..., None]
    palette = [(0.90, 0.90, 0.85), (0.85, 0.42, 0.08), (0.04, 0.09, 0.15), (0.65, 0.09, 0.09), (0.75, 0.72, 0.15)]
    canvas = np.ascontiguousarray(base)
    for at in np.arange(0, size_mm, 10.0):
        line = int(at * per_mm)
        for start, end in (((line, 0), (line, TILE_PX)), ((0, line), (TILE_PX, line))):
            cv2.line(canvas, start, end, (0.70, 0.80, 0.78), 2, cv2.LINE_AA)
    for _ in range(900):
        x, y = rng.uniform(6 * per_mm, TILE_PX - 6 * per_mm, 2)
        size = rng.uniform(0.8, 4.2) * per_mm
        ink = palette[rng.integers(len(palette))]
        kind = rng.integers(4)
        if kind == 0:
            cv2.circle(canvas, (int(x), int(y)), max(1, int(size / 2)), ink, -1, cv2.LINE_AA)
        elif kind == 1:
            corners = cv2.boxPoints(((x, y), (size, size * rng.uniform(0.3, 1)), rng.uniform(0, 180)))
            cv2.fillConvexPoly(canvas, corners.astype(np.int32), ink, cv2.LINE_AA)
        elif kind == 2:
            text = "".join(chr(65 + value) for value in rng.integers(0, 26, 3))
            cv2.putText(canvas, text, (int(x), int(y)), cv2.FONT_HERSHEY_SIMPLEX, size / 30, ink, 2, cv2.LINE_AA)
        else:
            triangle = np.array([x, y]) + rng.uniform(-size, size, (3, 2))
            cv2.fillConvexPoly(canvas, triangle.astype(np.int32), ink, cv2.LINE_AA)
    return Tile(canvas * (1 + 0.06 * fine)[..., None], np.full((TILE_PX, TILE_PX), 0.3, np.float32), None, size_mm)


def checkerboard(columns: int, rows: int) -> Tile:
    """A board of columns x rows squares filling the tile edge to edge."""
    v, u = np.meshgrid(np.arange(TILE_PX), np.arange(TILE_PX), indexing="ij")
    white = ((u * columns // TILE_PX) + (v * rows // TILE_PX)) % 2
    albedo = np.where(white[..., None] == 1, 0.62, 0.02) * np.ones(3)
    return Tile(albedo.astype(np.float32), np.full((TILE_PX, TILE_PX), 0.1, np.float32), None, 1.0)


def plain(rng: np.random.Generator, rgb, size_mm: float = 40.0, mottling: float = 1.0) -> Tile:
    """One colour with a little mottling."""
    shade = 1 + 0.08 * mottling * noise(rng, 2, size_mm) + 0.06 * mottling * noise(rng, 7, size_mm)
    return Tile(colour(*rgb) * shade[..., None], np.full((TILE_PX, TILE_PX), 0.6, np.float32), None, size_mm)
