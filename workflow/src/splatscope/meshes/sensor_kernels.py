"""The sensor of an endoscope, a row of the picture at a time in lanes (see `lanes`); runs on the CPU."""

import warp as wp

from splatscope.meshes.lanes import LANE_TYPES

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

LEVELS = 4096  # steps of the linear sensor
FULL_SCALE = 1.25  # radiance at the last step
READ = 0.12 * (LEVELS / FULL_SCALE) ** 2  # of the noise that does not grow with the light
SHOT = 4 * LEVELS / FULL_SCALE  # of the noise that does

EXPOSE = (
    LANE_TYPES
    + f"constexpr float LEVELS = {LEVELS}.0f, READ = {READ}f, SHOT = {SHOT}f;"
    + """
    const int width = image.shape[1], start = row * width;
    const float* light = image.data + start;
    const float* sensitive = gain.data + start;
    const float* grain = noise.data + (row + noise_row) * noise.shape[1] + noise_column;
    unsigned char* out = developed.data + start;
    for (int at = 0; at < width; at += LANES) {
        const int here = at + LANES <= width ? at : width - LANES;
        const Lanes level = *(const Lanes*)(light + here) * *(const Lanes*)(factor.data + here)
            * *(const Lanes*)(sensitive + here);
        const Lanes noisy = level + root(level * SHOT + READ) * *(const Lanes*)(grain + here);
        const Ints step = ints(clamp(noisy, 0.0f, LEVELS));
        #pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; ++lane)
            out[here + lane] = table.data[step[lane]];
    }
"""
)


@wp.func_native(EXPOSE)
def expose_row(
    image: wp.array2d(dtype=float),
    factor: wp.array(dtype=float),
    gain: wp.array2d(dtype=float),
    noise: wp.array2d(dtype=float),
    noise_row: int,
    noise_column: int,
    table: wp.array(dtype=wp.uint8),
    developed: wp.array2d(dtype=wp.uint8),
    row: int,
): ...


@wp.kernel
def expose(
    image: wp.array2d(dtype=float),  # [H, W * 3], as all that follow
    factor: wp.array(dtype=float),  # of a row
    gain: wp.array2d(dtype=float),  # from radiance to LEVELS
    noise: wp.array2d(dtype=float),  # larger than the image: it begins at noise_row, noise_column
    noise_row: int,
    noise_column: int,
    table: wp.array(dtype=wp.uint8),  # of each level
    developed: wp.array2d(dtype=wp.uint8),
):
    """Photon noise grows with the root of the light, read noise does not."""
    expose_row(image, factor, gain, noise, noise_row, noise_column, table, developed, wp.tid())
