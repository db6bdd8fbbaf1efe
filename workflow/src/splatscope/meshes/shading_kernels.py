"""Colour of the visible points: wet tissue and metal under a light that sits at the camera."""

import warp as wp

from splatscope.meshes.raster_kernels import corner_weights, triangle_of

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

Texel = wp.types.vector(length=6, dtype=wp.float32)  # albedo r, g, b; gloss; slope along u; slope along v

Attributes = wp.types.vector(length=10, dtype=wp.float32)  # texture coordinates; normal at rest; tint; openness


@wp.struct
class SurfaceStyle:
    """How a material answers light; colours and bumps come from its texture tile."""

    tile: wp.int32  # layer of the texture array
    mapping: wp.int32  # 0: projected along the three axes; 1: texture coordinates x, y as they are
    tile_mm: wp.vec2  # size of the tile on the surface
    roughness: float  # of the body's highlight (GGX alpha)
    reflectance: float  # share of light mirrored at normal incidence
    film_reflectance: float  # of the thin wet film on top, which is smooth
    film_roughness: float
    bump: float  # factor of the tile's slopes
    scatter: float  # 0 Lambertian .. 1 light wraps round as in soft tissue


@wp.func
def fetch(tiles: wp.array3d(dtype=Texel), layer: int, u: float, v: float) -> Texel:
    """Bilinear sample of a tile that repeats; u, v in tiles. The side of a tile is a power of two."""
    size = tiles.shape[1]
    x = u * float(size)
    y = v * float(size)
    left = wp.floor(x)
    top = wp.floor(y)
    right = x - left
    below = y - top
    mask = size - 1
    column = int(left) & mask
    row = int(top) & mask
    next_column = (column + 1) & mask
    next_row = (row + 1) & mask
    upper = tiles[layer, row, column] * (1.0 - right) + tiles[layer, row, next_column] * right
    lower = tiles[layer, next_row, column] * (1.0 - right) + tiles[layer, next_row, next_column] * right
    return upper * (1.0 - below) + lower * below


@wp.func
def highlight(facing: float, roughness: float) -> float:
    """GGX lobe for light, view and half vector all in one direction, times the cosine (pi times the usual scale)."""
    squared = roughness * roughness
    spread = facing * facing * (squared - 1.0) + 1.0
    return squared / (spread * spread) * 0.25 / wp.max(facing, 0.25)


@wp.kernel
def shade(
    keys: wp.array(dtype=wp.int64),
    camera_vertices: wp.array(dtype=wp.vec3),
    camera_normals: wp.array(dtype=wp.vec3),
    attributes: wp.array(dtype=Attributes),
    condition: wp.array(dtype=wp.vec2),  # burn, blood
    faces: wp.array2d(dtype=wp.int32),
    face_part: wp.array(dtype=wp.int32),
    part_style: wp.array(dtype=wp.int32),
    part_object: wp.array(dtype=wp.int32),
    camera_from_object: wp.array(dtype=wp.mat44),
    styles: wp.array(dtype=SurfaceStyle),
    tiles: wp.array3d(dtype=Texel),
    rays: wp.array(dtype=wp.vec2),
    light: wp.vec3,  # power in mm^2; ambient radiance; fall-off of the cone
    radiance: wp.array(dtype=wp.vec3),
):
    pixel = wp.tid()
    key = keys[pixel]
    if key < wp.int64(0):
        radiance[pixel] = wp.vec3(0.0, 0.0, 0.0)
        return
    triangle = triangle_of(key)
    part = face_part[triangle]
    style = styles[part_style[part]]
    i = faces[triangle, 0]
    j = faces[triangle, 1]
    k = faces[triangle, 2]
    ray = wp.vec3(rays[pixel][0], rays[pixel][1], 1.0)
    weights = corner_weights(triangle, rays[pixel], camera_vertices, faces)
    depth = 1.0 / wp.cast(int(key >> wp.int64(32)), wp.float32)
    normal = wp.normalize(
        camera_normals[i] * weights[0] + camera_normals[j] * weights[1] + camera_normals[k] * weights[2]
    )
    here = attributes[i] * weights[0] + attributes[j] * weights[1] + attributes[k] * weights[2]
    where = wp.vec3(here[0], here[1], here[2])

    colour = wp.vec4(0.0, 0.0, 0.0, 0.0)  # albedo, gloss
    slope = wp.vec3(0.0, 0.0, 0.0)  # bump, in the axes of the object at rest
    if style.mapping == 1:
        texel = fetch(tiles, style.tile, where[0] / style.tile_mm[0], where[1] / style.tile_mm[1])
        colour = wp.vec4(texel[0], texel[1], texel[2], texel[3])
    else:
        shares = wp.vec3(here[3] * here[3], here[4] * here[4], here[5] * here[5])
        shares = wp.cw_mul(shares, shares)
        least = 0.2 * (shares[0] + shares[1] + shares[2])
        shares = wp.vec3(wp.max(shares[0] - least, 0.0), wp.max(shares[1] - least, 0.0), wp.max(shares[2] - least, 0.0))
        shares = shares / (shares[0] + shares[1] + shares[2])
        at = where / style.tile_mm[0]
        if shares[2] > 0.0:
            texel = fetch(tiles, style.tile, at[0], at[1])
            colour += wp.vec4(texel[0], texel[1], texel[2], texel[3]) * shares[2]
            slope += wp.vec3(texel[4], texel[5], 0.0) * shares[2]
        if shares[0] > 0.0:
            texel = fetch(tiles, style.tile, at[1] + 0.37, at[2])
            colour += wp.vec4(texel[0], texel[1], texel[2], texel[3]) * shares[0]
            slope += wp.vec3(0.0, texel[4], texel[5]) * shares[0]
        if shares[1] > 0.0:
            texel = fetch(tiles, style.tile, at[0] + 0.71, at[2] + 0.23)
            colour += wp.vec4(texel[0], texel[1], texel[2], texel[3]) * shares[1]
            slope += wp.vec3(texel[4], 0.0, texel[5]) * shares[1]
    worn = condition[i] * weights[0] + condition[j] * weights[1] + condition[k] * weights[2]
    bump = style.bump
    film_reflectance = style.film_reflectance
    body = wp.cw_mul(wp.vec3(colour[0], colour[1], colour[2]), wp.vec3(here[6], here[7], here[8]))
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
    pose = camera_from_object[part_object[part]]
    lean = wp.transform_vector(pose, slope) * bump
    bumped = wp.normalize(normal - lean + normal * wp.dot(lean, normal))

    stretch = wp.dot(ray, ray)  # squared distance over squared depth
    view = ray * (-1.0 / wp.sqrt(stretch))
    power = light[0] / (depth * depth * stretch * (1.0 + light[2] * (stretch - 1.0)))
    facing = wp.clamp(wp.dot(bumped, view), 0.02, 1.0)
    film_normal = wp.normalize(normal + bumped * 1.2)
    film_facing = wp.clamp(wp.dot(film_normal, view), 0.02, 1.0)
    wrapped = (facing + style.scatter) / (1.0 + style.scatter)
    open_share = here[9]
    rim = 1.0 - facing
    fresnel = style.reflectance * colour[3] * (1.0 + rim * rim)
    mirrored = highlight(facing, style.roughness) * fresnel
    mirrored += highlight(film_facing, style.film_roughness) * film_reflectance * colour[3]
    lit = power * (0.45 + 0.55 * open_share)
    radiance[pixel] = body * (lit * wrapped + light[1] * open_share) + wp.vec3(1.0, 0.98, 0.95) * (
        wp.min(mirrored, 4.0) * power * open_share
    )
