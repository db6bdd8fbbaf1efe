"""Colour of the visible points: wet tissue and metal under a light that sits at the camera.

Runs on the CPU and on CUDA alike; `wide_shading` is the CPU's fast path.
"""

import warp as wp

from splatscope.meshes.label_kernels import corner_weights
from splatscope.meshes.lens_kernels import Record
from splatscope.meshes.raster_kernels import depth_of, triangle_of

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

CONTRAST = wp.constant(0.18)  # share of the sum of two neighbours from which their difference is looked into
DARK = wp.constant(0.02)  # radiance below which differences are lost in the noise

# albedo r, g, b; gloss; slope along u; slope along v; two zeros: in units of TEXEL_UNIT
Texel = wp.types.vector(length=8, dtype=wp.int16)
TEXEL_UNIT = wp.constant(1.0 / 16384.0)
Look = wp.types.vector(length=6, dtype=wp.float32)  # a texel between texels


@wp.struct
class SurfaceStyle:
    """How a material answers light; colours and bumps come from its texture tile."""

    tile: wp.int32  # layer of the texture array
    tile_px: wp.int32  # its texels along each side
    last_level: wp.int32  # its coarsest level
    projections: wp.int32  # 3: projected along the three axes; 1: texture coordinates x, y as they are
    tile_mm: wp.vec2  # size of the tile on the surface
    roughness: float  # of the body's highlight (GGX alpha)
    reflectance: float  # share of light mirrored at normal incidence
    film_reflectance: float  # of the thin wet film on top, which is smooth
    film_roughness: float
    bump: float  # factor of the tile's slopes
    scatter: float  # 0 Lambertian .. 1 light wraps round as in soft tissue


@wp.func
def texel_of(row: int, column: int, size: int) -> int:
    """Where a texel stands in its level: see `pyramid`."""
    return (row >> 2) * (size << 2) + ((row & 3) << 2) + ((column >> 2) << 4) + (column & 3)


@wp.func
def look_at(tiles: wp.array2d(dtype=Texel), tile: int, texel: int) -> Look:
    stored = tiles[tile, texel]
    look = Look()
    for channel in range(6):
        look[channel] = float(stored[channel]) * TEXEL_UNIT
    return look


@wp.func
def fetch_level(tiles: wp.array2d(dtype=Texel), style: SurfaceStyle, level: int, u: float, v: float) -> Look:
    """Bilinear sample of one level of a tile that repeats; u, v in tiles."""
    size = style.tile_px >> level
    shift = 0.5 - 0.5 / float(1 << level)  # texels of a level lie between those of the level before
    x = u * float(size) - shift
    y = v * float(size) - shift
    left = wp.floor(x)
    top = wp.floor(y)
    right = x - left
    below = y - top
    mask = size - 1
    column = int(left) & mask
    row = int(top) & mask
    next_column = (column + 1) & mask
    next_row = (row + 1) & mask
    first = (style.tile_px * style.tile_px - size * size) * 4 / 3
    return (
        look_at(tiles, style.tile, first + texel_of(row, column, size)) * ((1.0 - right) * (1.0 - below))
        + look_at(tiles, style.tile, first + texel_of(row, next_column, size)) * (right * (1.0 - below))
        + look_at(tiles, style.tile, first + texel_of(next_row, column, size)) * ((1.0 - right) * below)
        + look_at(tiles, style.tile, first + texel_of(next_row, next_column, size)) * (right * below)
    )


@wp.func
def highlight(facing: float, roughness: float) -> float:
    """GGX lobe for light, view and half vector all in one direction, times the cosine (pi times the usual scale)."""
    squared = roughness * roughness
    spread = facing * facing * (squared - 1.0) + 1.0
    return squared / (spread * spread) * 0.25 / wp.max(facing, 0.25)


@wp.struct
class Surfaces:
    """All that shading asks about the triangles before a camera."""

    records: wp.array(dtype=Record)
    faces: wp.array2d(dtype=wp.int32)
    face_part: wp.array(dtype=wp.int32)
    part_style: wp.array(dtype=wp.int32)
    part_object: wp.array(dtype=wp.int32)
    camera_from_object: wp.array(dtype=wp.mat44)
    styles: wp.array(dtype=SurfaceStyle)
    tiles: wp.array2d(dtype=Texel)


@wp.func
def radiance_at(
    surfaces: Surfaces,
    triangle: int,
    weights: wp.vec3,
    at: wp.vec2,
    depth: float,
    width: float,  # of the pixel or sample at depth 1
    light: wp.vec3,  # power in mm^2; ambient radiance; fall-off of the cone
) -> wp.vec3:
    """What comes back along the ray `at` from a point of a triangle."""
    part = surfaces.face_part[triangle]
    style = surfaces.styles[surfaces.part_style[part]]
    i = surfaces.faces[triangle, 0]
    j = surfaces.faces[triangle, 1]
    k = surfaces.faces[triangle, 2]
    ray = wp.vec3(at[0], at[1], 1.0)
    here = surfaces.records[i] * weights[0] + surfaces.records[j] * weights[1] + surfaces.records[k] * weights[2]
    normal = wp.normalize(wp.vec3(here[0], here[1], here[2]))
    texels = width * depth / wp.sqrt(wp.max(-wp.dot(normal, ray), 0.05)) * float(style.tile_px) / style.tile_mm[0]
    spread = 1.0 + texels * texels / 3.0  # 12 times the variance of a pixel and a texel together, in texels
    level = wp.int32(0)
    while spread >= 4.0 and level < style.last_level:
        spread = spread * 0.25
        level = level + 1
    share = wp.clamp(0.5 * spread - 0.75, 0.0, 1.0)  # of the coarser level; near either that one alone
    steps = wp.int32(2)
    if level == style.last_level:
        share = 0.0
        steps = 1

    place = wp.vec3(here[3] / style.tile_mm[0], here[4] / style.tile_mm[1], here[5] / style.tile_mm[0])
    shares = wp.vec3(0.0, 0.0, 1.0)  # of the projections along x, y and z
    if style.projections == 3:
        shares = wp.vec3(here[6] * here[6], here[7] * here[7], here[8] * here[8])
        shares = wp.cw_mul(shares, shares)
        least = 0.2 * (shares[0] + shares[1] + shares[2])
        shares = wp.vec3(wp.max(shares[0] - least, 0.0), wp.max(shares[1] - least, 0.0), wp.max(shares[2] - least, 0.0))
        shares = shares / (shares[0] + shares[1] + shares[2])
    colour = wp.vec4(0.0, 0.0, 0.0, 0.0)  # albedo, gloss
    slope = wp.vec3(0.0, 0.0, 0.0)  # bump, in the axes of the object at rest
    for axis in range(style.projections):
        if shares[2 - axis] > 0.0:
            u = place[0]
            v = place[1]
            if axis == 1:
                u = place[0] + 0.71
                v = place[2] + 0.23
            if axis == 2:
                u = place[1] + 0.37
                v = place[2]
            texel = Look()
            for step in range(steps):
                weight = 1.0 - share
                if step == 1:
                    weight = share
                if weight > 0.0:
                    texel += fetch_level(surfaces.tiles, style, level + step, u, v) * weight
            texel = texel * shares[2 - axis]
            colour += wp.vec4(texel[0], texel[1], texel[2], texel[3])
            if axis == 0:
                slope += wp.vec3(texel[4], texel[5], 0.0)
            if axis == 1:
                slope += wp.vec3(texel[4], 0.0, texel[5])
            if axis == 2:
                slope += wp.vec3(0.0, texel[4], texel[5])
    worn = wp.vec2(here[13], here[14])  # burn, blood
    bump = style.bump
    film_reflectance = style.film_reflectance
    body = wp.cw_mul(wp.vec3(colour[0], colour[1], colour[2]), wp.vec3(here[9], here[10], here[11]))
    if worn[0] > 0.0:  # coagulated tissue turns pale and dry, then brown, then black
        grain = 0.6 + 1.1 * (colour[0] + colour[1] + colour[2])
        pale = wp.clamp(worn[0] * 1.5, 0.0, 1.0)
        brown = wp.clamp((worn[0] - 0.55) * 2.5, 0.0, 1.0)
        char = wp.clamp((worn[0] - 0.85) * 3.0, 0.0, 1.0)
        body = body * (1.0 - pale) + wp.vec3(0.46, 0.36, 0.25) * (grain * pale)
        body = body * (1.0 - brown) + wp.vec3(0.16, 0.085, 0.04) * (grain * brown)
        body = body * (1.0 - char) + wp.vec3(0.022, 0.017, 0.014) * (grain * char)
        film_reflectance = film_reflectance * (1.0 - 0.8 * pale)
        colour[3] = colour[3] * (1.0 - 0.6 * pale)
        bump = bump * (1.0 + 1.2 * pale)
    if worn[1] > 0.0:  # a pool of blood is smooth, dark and glossy
        wet = wp.clamp(worn[1] * 4.0 - 1.5, 0.0, 1.0)
        body = body * (1.0 - wet) + wp.vec3(0.20, 0.010, 0.008) * (wet * (1.15 - 0.4 * worn[1]))
        film_reflectance = film_reflectance * (1.0 - wet) + 0.05 * wet
        colour[3] = colour[3] * (1.0 - wet) + wet
        bump = bump * (1.0 - 0.8 * wet)
    pose = surfaces.camera_from_object[surfaces.part_object[part]]
    lean = wp.transform_vector(pose, slope) * bump
    bumped = wp.normalize(normal - lean + normal * wp.dot(lean, normal))

    stretch = wp.dot(ray, ray)  # squared distance over squared depth
    view = ray * (-1.0 / wp.sqrt(stretch))
    power = light[0] / (depth * depth * stretch * (1.0 + light[2] * (stretch - 1.0)))
    facing = wp.clamp(wp.dot(bumped, view), 0.02, 1.0)
    film_normal = wp.normalize(normal + bumped * 1.2)
    film_facing = wp.clamp(wp.dot(film_normal, view), 0.02, 1.0)
    wrapped = (facing + style.scatter) / (1.0 + style.scatter)
    open_share = here[12]
    rim = 1.0 - facing
    fresnel = style.reflectance * colour[3] * (1.0 + rim * rim)
    mirrored = highlight(facing, style.roughness) * fresnel
    mirrored += highlight(film_facing, style.film_roughness) * film_reflectance * colour[3]
    lit = power * (0.45 + 0.55 * open_share)
    return body * (lit * wrapped + light[1] * open_share) + wp.vec3(1.0, 0.98, 0.95) * (
        wp.min(mirrored, 4.0) * power * open_share
    )


@wp.kernel
def shade(
    keys: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=wp.vec3),
    rays: wp.array(dtype=wp.vec2),
    surfaces: Surfaces,
    width: float,
    light: wp.vec3,
    radiance: wp.array(dtype=wp.vec3),
):
    """Radiance of the pixels' centres."""
    pixel = wp.tid()
    key = keys[pixel]
    radiance[pixel] = wp.vec3(0.0, 0.0, 0.0)
    if key >= wp.int64(0):
        radiance[pixel] = radiance_at(
            surfaces, triangle_of(key), weights[pixel], rays[pixel], depth_of(key), width, light
        )


@wp.func
def differ(a: wp.vec3, b: wp.vec3) -> int:
    """Whether two neighbours are so different that what lies between them is to be looked at."""
    apart = wp.max(wp.abs(a[0] - b[0]), wp.max(wp.abs(a[1] - b[1]), wp.abs(a[2] - b[2])))
    if apart > CONTRAST * (wp.max(a[0], wp.max(a[1], a[2])) + wp.max(b[0], wp.max(b[1], b[2])) + DARK):
        return 1
    return 0


@wp.kernel
def flag_contrast(
    radiance: wp.array2d(dtype=wp.vec3),
    across: int,
    flagged: wp.array2d(dtype=wp.uint8),
    sample_keys: wp.array2d(dtype=wp.int64),
):
    """Flag pixels that differ from a neighbour, and make their samples ready to be drawn."""
    row, column = wp.tid()
    here = radiance[row, column]
    different = wp.int32(0)
    if row > 0:
        different = different + differ(here, radiance[row - 1, column])
    if column > 0:
        different = different + differ(here, radiance[row, column - 1])
    if row + 1 < radiance.shape[0]:
        different = different + differ(here, radiance[row + 1, column])
    if column + 1 < radiance.shape[1]:
        different = different + differ(here, radiance[row, column + 1])
    flagged[row, column] = wp.uint8(0)
    if different > 0:
        flagged[row, column] = wp.uint8(1)
        for sub in range(across * across):
            sample_keys[row * across + sub / across, column * across + sub % across] = wp.int64(-1)


@wp.kernel
def shade_samples(
    flagged: wp.array2d(dtype=wp.uint8),
    across: int,
    sample_keys: wp.array2d(dtype=wp.int64),
    sample_rays: wp.array2d(dtype=wp.vec2),
    camera_vertices: wp.array(dtype=wp.vec3),
    surfaces: Surfaces,
    width: float,
    light: wp.vec3,
    radiance: wp.array2d(dtype=wp.vec3),
):
    """The mean radiance of the samples of each flagged pixel."""
    row, column = wp.tid()
    if flagged[row, column] == wp.uint8(0):
        return
    total = wp.vec3(0.0, 0.0, 0.0)
    for sub in range(across * across):
        y = row * across + sub / across
        x = column * across + sub % across
        key = sample_keys[y, x]
        if key >= wp.int64(0):
            triangle = triangle_of(key)
            at = sample_rays[y, x]
            weights = corner_weights(triangle, at, camera_vertices, surfaces.faces)
            total += radiance_at(surfaces, triangle, weights, at, depth_of(key), width, light)
    radiance[row, column] = total / float(across * across)
