"""Texture tiles: squares that repeat without a seam, with colour, gloss and slopes. Colours are linear RGB."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from splatscope.meshes.noise import band_noise, cell_distances, vessel_map

TISSUE_TILE_MM = 90.0
DRAWN_PX = 1024  # what strokes are drawn for: their widths are given in 1024ths of the tile


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


def step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; falling when low > high."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Canvas:
    """A square to be filled: where its random numbers come from, its pixels a side, its size on the surface."""

    rng: np.random.Generator
    px: int = DRAWN_PX
    size_mm: float = TISSUE_TILE_MM

    @property
    def scale(self) -> float:
        """Pixels in a 1024th of the tile."""
        return self.px / DRAWN_PX

    @property
    def shape(self) -> tuple[int, int]:
        return self.px, self.px

    def filled(self, value: float) -> np.ndarray:
        return np.full(self.shape, value, np.float32)

    def noise(self, wavelength_mm: float) -> np.ndarray:
        return band_noise(self.rng, self.shape, wavelength_mm * self.px / self.size_mm)

    def drawn_noise(self, wavelength: float) -> np.ndarray:
        """Noise with a wavelength in 1024ths of the tile."""
        return band_noise(self.rng, self.shape, wavelength * self.scale)

    def cells(self, count: int) -> np.ndarray:
        """See noise.cell_distances."""
        return cell_distances(self.rng, self.px, count, self.px // 2)

    def vessels(self, trees: int, root_radius: float, thinnest: float = 0.55, wander: float = 0.16) -> np.ndarray:
        """See noise.vessel_map; radii in 1024ths of the tile."""
        scale = self.scale
        return vessel_map(self.rng, self.px, trees, root_radius * scale, thinnest * scale, wander, 2 * scale)

    def scratch(self, picture: np.ndarray, spread: float, lengths: tuple[float, float], strength: float, width: int):
        """Draw one straight stroke roughly along v; lengths and width in 1024ths of the tile."""
        start, angle = self.rng.uniform(0, self.px, 2), self.rng.normal(np.pi / 2, spread)
        end = start + self.rng.uniform(*lengths) * self.scale * np.array([np.cos(angle), np.sin(angle)])
        drawn = max(1, round(width * self.scale))
        strength *= min(1.0, width * self.scale / drawn)
        cv2.line(picture, (start * 16).astype(int), (end * 16).astype(int), strength, drawn, cv2.LINE_AA, 4)

    def warp(self, image: np.ndarray, amount: float, wavelength_mm: float) -> np.ndarray:
        """The image bent by smooth noise of `amount` 1024ths of the tile, so that regular cells look grown."""
        v, u = np.meshgrid(np.arange(self.px), np.arange(self.px), indexing="ij")
        shift_u, shift_v = (self.noise(wavelength_mm) * (amount * self.scale) for _ in range(2))
        return cv2.remap(
            image,
            (u + shift_u).astype(np.float32),
            (v + shift_v).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )


def liver(canvas: Canvas) -> Tile:
    """Brown-red capsule: lobules of about 1.4 mm with pale borders, mottling, a few vessels under the capsule."""
    near, second = canvas.cells(62)
    border = canvas.warp(step(second - near, 0.28, 0.02), 3, 4)
    centre = canvas.warp(step(near, 0.35, 0.0), 3, 4)
    broad, middle, fine = canvas.noise(16), canvas.noise(4.5), canvas.noise(0.8)
    base = mix(colour(0.27, 0.062, 0.048), colour(0.40, 0.105, 0.070), step(broad + 0.5 * middle, -1.6, 1.6))
    base = base * (1 + 0.13 * middle + 0.10 * fine)[..., None]
    base = mix(base, colour(0.46, 0.17, 0.115), 0.42 * border * step(middle, -1.2, 0.8))
    base = mix(base, colour(0.16, 0.025, 0.022), 0.40 * centre)
    speckle = step(canvas.noise(0.55) * (1 + 0.4 * broad), 1.9, 2.8)
    base = mix(base, colour(0.62, 0.33, 0.22), 0.6 * speckle)
    vessels = canvas.vessels(14, 3.4, 0.7)
    base = mix(base, colour(0.15, 0.018, 0.03), 0.55 * vessels)
    height = 0.05 * middle + 0.035 * border - 0.03 * centre + 0.006 * fine + 0.10 * canvas.noise(8) + 0.05 * vessels
    gloss = np.clip(0.85 + 0.25 * canvas.noise(5) - 0.2 * border, 0.1, 1.5)
    return Tile(base, gloss, height)


def fat(canvas: Canvas) -> Tile:
    """Yellow lobules of 2 to 4 mm with orange seams, small lobules within, thin red vessels along and across."""
    near, second = canvas.cells(26)
    near, second = canvas.warp(near, 9, 7), canvas.warp(second, 9, 7)
    seam = step(second - near, 0.20, 0.0)
    small_near, small_second = canvas.cells(92)
    small_seam = canvas.warp(step(small_second - small_near, 0.30, 0.0), 3, 3)
    broad, middle, fine = canvas.noise(18), canvas.noise(5), canvas.noise(0.7)
    base = mix(colour(0.66, 0.36, 0.105), colour(0.80, 0.52, 0.20), step(middle + 0.6 * broad, -1.5, 1.5))
    base = base * (1 + 0.05 * fine)[..., None]
    base = mix(base, colour(0.55, 0.21, 0.06), 0.65 * seam)
    base = mix(base, colour(0.58, 0.27, 0.07), 0.40 * small_seam)
    base = mix(base, colour(0.68, 0.24, 0.12), 0.35 * step(broad - 0.3 * middle, 0.6, 1.8))
    capillaries = canvas.vessels(34, 2.2, 0.6, 0.22)
    base = mix(base, colour(0.44, 0.035, 0.025), 0.80 * capillaries)
    trunks = canvas.vessels(5, 5.0, 1.3, 0.14)
    base = mix(base, colour(0.30, 0.03, 0.04), 0.65 * trunks)
    height = -0.45 * np.minimum(near, 0.8) ** 2 - 0.20 * seam - 0.10 * small_seam + 0.10 * middle + 0.15 * trunks
    return Tile(base, np.clip(0.8 + 0.3 * canvas.noise(4), 0.1, 1.5), height)


def serosa(canvas: Canvas, pale, deep, vessels_share: float, trees: int, trunk: float) -> Tile:
    """Smooth moist membrane with two layers of branching vessels: gallbladder, gut, peritoneum."""
    pale, deep = colour(*pale), colour(*deep)
    broad, middle, fine = canvas.noise(20), canvas.noise(6), canvas.noise(0.7)
    base = mix(pale, deep, step(broad + 0.7 * middle, -1.8, 1.8))
    base = base * (1 + 0.07 * middle + 0.05 * fine)[..., None]
    fibres = canvas.noise(1.6) * 0.6 + canvas.noise(2.6) * 0.6
    base = base * (1 + 0.05 * fibres)[..., None]
    below = cv2.GaussianBlur(canvas.vessels(trees // 3, trunk, 1.0, 0.12), (0, 0), 1.6 * canvas.scale)
    base = mix(base, colour(0.26, 0.06, 0.12), 0.55 * vessels_share * below)
    above = canvas.vessels(trees, trunk * 0.7, 0.6, 0.20)
    base = mix(base, colour(0.47, 0.035, 0.035), vessels_share * above)
    net = canvas.vessels(trees * 3, 1.2, 0.55, 0.3)
    base = mix(base, colour(0.50, 0.06, 0.05), 0.6 * vessels_share * net)
    blush = step(canvas.noise(3) + 0.8 * broad, 1.0, 2.4)
    base = mix(base, colour(0.55, 0.10, 0.08), 0.35 * vessels_share * blush)
    height = 0.10 * middle + 0.03 * fibres + 0.10 * above + 0.12 * below
    return Tile(base, np.clip(0.95 + 0.25 * middle, 0.1, 1.6), height)


def raw(canvas: Canvas, fresh, deep, grain_mm: float) -> Tile:
    """The inside of an organ where it was cut or torn: grainy, mottled, wet."""
    broad, grain = canvas.noise(9), canvas.noise(grain_mm)
    base = mix(colour(*fresh), colour(*deep), step(broad + 0.8 * grain, -1.4, 1.6)) * (1 + 0.12 * grain)[..., None]
    return Tile(base, np.clip(1.1 + 0.2 * broad, 0.3, 1.6), 0.16 * grain + 0.1 * broad)


def brushed_metal(canvas: Canvas, base=(0.19, 0.19, 0.20)) -> Tile:
    """Matte steel: fine brushing, scratches, pits and faint stains."""
    streaks = _brushing(canvas)
    stain, blotch = canvas.noise(3.5), canvas.noise(1.1)
    albedo = colour(*base) * (1 + 0.10 * streaks + 0.10 * stain + 0.06 * blotch)[..., None]
    scratches = canvas.filled(0)
    for _ in range(260):
        canvas.scratch(scratches, 0.7, (15, 160), float(canvas.rng.uniform(0.3, 1)), 2)
    albedo = mix(albedo, colour(0.42, 0.42, 0.42), 0.5 * scratches)
    pits = step(canvas.noise(0.4), 2.0, 2.8)
    albedo = mix(albedo, colour(0.06, 0.05, 0.05), 0.45 * pits)
    return Tile(albedo, np.clip(0.9 + 0.25 * blotch - 0.5 * pits, 0.1, 1.4), None, canvas.size_mm)


def polished_metal(canvas: Canvas, base) -> Tile:
    """Bright metal in use: faint brushing, hairline scratches, a surface a little uneven."""
    streaks, broad = _brushing(canvas), canvas.noise(5)
    albedo = colour(*base) * (1 + 0.05 * streaks + 0.05 * broad)[..., None]
    hairlines = canvas.filled(0)
    for _ in range(140):
        canvas.scratch(hairlines, 0.9, (10, 90), 1.0, 1)
    gloss = np.clip(1 + 0.10 * streaks + 0.12 * broad - 0.35 * hairlines, 0.3, 1.5)
    return Tile(albedo, gloss, 0.012 * broad + 0.004 * canvas.noise(1.2), canvas.size_mm)


def _brushing(canvas: Canvas) -> np.ndarray:
    """Fine parallel streaks along v, standard deviation 1."""
    streaks = cv2.GaussianBlur(canvas.rng.standard_normal(canvas.shape).astype(np.float32), (0, 0), 0.8 * canvas.scale)
    along = np.exp(-((np.fft.fftfreq(canvas.px) * 60 * canvas.scale) ** 2))[:, None]
    streaks = np.fft.ifft2(np.fft.fft2(streaks) * along).real.astype(np.float32)
    return streaks / streaks.std()


def instrument_shaft(canvas: Canvas) -> Tile:
    """The printed sleeve of a shaft: u once round, v along it, v = 0 at the distal end.

    Grey composite with weave, wear and stains; printed rings, scale, words and arrows.
    """
    rng, length_mm, px = canvas.rng, canvas.size_mm, canvas.px
    weave_u, weave_v = np.meshgrid(np.arange(px), np.arange(px))
    weave = np.sin(weave_u * (2 * np.pi / 16)) * np.sin(weave_v * (2 * np.pi / 8))
    anisotropic = canvas.drawn_noise(40)
    fine, stains = canvas.drawn_noise(9), canvas.drawn_noise(140)
    shade = 1 + 0.10 * weave + 0.13 * anisotropic + 0.08 * fine + 0.16 * stains
    base = colour(0.135, 0.138, 0.150) * shade[..., None]
    wear = step(canvas.drawn_noise(60) + 0.7 * canvas.drawn_noise(14), 1.6, 2.4)
    base = mix(base, colour(0.30, 0.29, 0.28), 0.7 * wear)
    ink = canvas.filled(0)
    per_mm = px / length_mm
    for at in np.arange(5.0, length_mm - 2, 5.0):
        long = round(at) % 10 == 0
        row = int(at * per_mm)
        if long:
            cv2.rectangle(ink, (0, row), (px, row + int(0.7 * per_mm)), 0.9, -1)
        for column in range(0, px, px // 4):
            cv2.rectangle(ink, (column, row), (column + 90, row + int(0.6 * per_mm)), 0.8, -1)
    words = ["LARGE NEEDLE DRIVER", "REF 470006", "SPLATSCOPE", "8 mm", "DISTAL", "LOT 0317", "CE", "> > >", "KEEP DRY"]
    for index, at in enumerate(np.arange(2.0, length_mm - 3, 4.2)):
        column = int(rng.uniform(0, px))
        word = words[(index + int(rng.integers(3))) % len(words)] if index % 3 == 0 else str(int(at * 10))
        _print_round(ink, word, column, int((at + 2.6) * per_mm), per_mm)
    ink *= step(canvas.drawn_noise(12), -1.9, -0.9)  # worn print
    base = mix(base, colour(0.62, 0.62, 0.60), 0.9 * ink)
    yellow = canvas.filled(0)
    for at in (12.5, 47.5, 82.5):
        if at < length_mm - 3:
            cv2.rectangle(yellow, (0, int(at * per_mm)), (px, int((at + 1.6) * per_mm)), 1.0, -1)
    base = mix(base, colour(0.55, 0.36, 0.05), 0.85 * yellow)
    gloss = np.clip(0.8 + 0.3 * anisotropic, 0.2, 1.5)
    return Tile(base, gloss, None, canvas.size_mm)


def _print_round(ink: np.ndarray, word: str, column: int, row: int, per_mm: float) -> None:
    """Words on the sleeve; the tile is stretched: 1024 px go once round (25 mm) but per_mm px to 1 mm along it."""
    canvas = np.zeros((60, 40 + 34 * len(word)), np.float32)
    cv2.putText(canvas, word, (10, 44), cv2.FONT_HERSHEY_DUPLEX, 1.4, 1.0, 3, cv2.LINE_AA)
    around = max(1, int(canvas.shape[1] * 2.2 * 1024 / 25 / 60))
    stretched = cv2.resize(canvas, (around, max(2, int(2.2 * per_mm))), interpolation=cv2.INTER_AREA)
    rows = (np.arange(stretched.shape[0]) + row) % len(ink)
    columns = (np.arange(stretched.shape[1]) + column) % len(ink)
    ink[np.ix_(rows, columns)] = np.maximum(ink[np.ix_(rows, columns)], stretched)


def printed_mat(canvas: Canvas) -> Tile:
    """A blue-green theatre drape with printed grid, dots, words and blots: rich in corners for feature matching."""
    rng, size_mm, px = canvas.rng, canvas.size_mm, canvas.px
    per_mm = px / size_mm
    fine, middle = canvas.noise(1.2), canvas.noise(9)
    base = colour(0.17, 0.44, 0.50) * (1 + 0.10 * fine + 0.16 * middle)[..., None]
    palette = [(0.90, 0.90, 0.85), (0.85, 0.42, 0.08), (0.04, 0.09, 0.15), (0.65, 0.09, 0.09), (0.75, 0.72, 0.15)]
    picture = np.ascontiguousarray(base)
    for at in np.arange(0, size_mm, 10.0):
        line = int(at * per_mm)
        for start, end in (((line, 0), (line, px)), ((0, line), (px, line))):
            cv2.line(picture, start, end, (0.70, 0.80, 0.78), 2, cv2.LINE_AA)
    for _ in range(900):
        x, y = rng.uniform(6 * per_mm, px - 6 * per_mm, 2)
        size = rng.uniform(0.8, 4.2) * per_mm
        ink = palette[rng.integers(len(palette))]
        kind = rng.integers(4)
        if kind == 0:
            cv2.circle(picture, (int(x), int(y)), max(1, int(size / 2)), ink, -1, cv2.LINE_AA)
        elif kind == 1:
            corners = cv2.boxPoints(((x, y), (size, size * rng.uniform(0.3, 1)), rng.uniform(0, 180)))
            cv2.fillConvexPoly(picture, corners.astype(np.int32), ink, cv2.LINE_AA)
        elif kind == 2:
            text = "".join(chr(65 + value) for value in rng.integers(0, 26, 3))
            cv2.putText(picture, text, (int(x), int(y)), cv2.FONT_HERSHEY_SIMPLEX, size / 30, ink, 2, cv2.LINE_AA)
        else:
            triangle = np.array([x, y]) + rng.uniform(-size, size, (3, 2))
            cv2.fillConvexPoly(picture, triangle.astype(np.int32), ink, cv2.LINE_AA)
    return Tile(picture * (1 + 0.06 * fine)[..., None], canvas.filled(0.3), None, canvas.size_mm)


def checkerboard(columns: int, rows: int) -> Tile:
    """A board of columns x rows squares filling the tile edge to edge."""
    v, u = np.meshgrid(np.arange(DRAWN_PX), np.arange(DRAWN_PX), indexing="ij")
    white = ((u * columns // DRAWN_PX) + (v * rows // DRAWN_PX)) % 2
    albedo = np.where(white[..., None] == 1, 0.62, 0.02) * np.ones(3)
    return Tile(albedo.astype(np.float32), np.full_like(albedo[..., 0], 0.1), None, 1.0)


def plain(canvas: Canvas, rgb, mottling: float = 1.0) -> Tile:
    """One colour with a little mottling."""
    shade = 1 + 0.08 * mottling * canvas.noise(2) + 0.06 * mottling * canvas.noise(7)
    return Tile(colour(*rgb) * shade[..., None], canvas.filled(0.6), None, canvas.size_mm)
