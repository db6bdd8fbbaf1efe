"""Light through puffs of smoke, a group of pixels at a time in lanes (see `meshes.lanes`); runs on the CPU."""

import warp as wp

from splatscope.meshes.lanes import LANE_TYPES

wp.config.quiet = True
wp.set_module_options({"enable_backward": False, "fast_math": True})

THIN = 20.0  # a puff is left out where it is thinner than e^-THIN of its middle
NOTHING_MM = 1000.0  # how far smoke is looked through where nothing is behind it

VEIL = (
    LANE_TYPES
    + f"constexpr float THIN = {THIN}f, NOTHING_MM = {NOTHING_MM}f;"
    + """
    auto power_of_e = [&](Lanes x) {  // of at most 87; relative error 2e-7
        const Lanes twos = most(x, (Lanes)-87.0f) * 1.442695041f;
        const Lanes whole = __builtin_elementwise_floor(twos + 0.5f), f = twos - whole;
        const Lanes part = 1.0f + f * (0.69314718f + f * (0.24022651f + f * (0.05550411f + f * (0.00961813f
            + f * (0.00133336f + f * 0.00015403f)))));
        return part * as_floats((ints(whole) + 127) << 23);
    };
    const int count = depth_mm.shape[0];
    const int first = group * LANES < count - LANES ? group * LANES : count - LANES;
    Lanes x, y;
    pairs((const float*)rays.data + 2 * first, x, y);
    const Lanes length = root(x * x + y * y + 1.0f), scale = 1.0f / length;
    const Lanes depth = *(const Lanes*)(depth_mm.data + first), none = (Lanes)0.0f;
    const Lanes reach = (depth > 0.0f ? depth : (Lanes)NOTHING_MM) * length;
    Lanes thickness = none, lit = none;
    for (int number = 0; number < puffs.shape[0]; ++number) {
        const float* puff = (const float*)puffs.data + 8 * number;
        const Lanes along = (x * puff[0] + y * puff[1] + puff[2]) * scale;
        const Lanes drop = (puff[3] - along * along) * puff[4];
        const Ints there = (drop < THIN) & (along >= 2.0f);
        if (!bits_of(there))
            continue;
        const Lanes before = 1.0f / (1.0f + power_of_e(clamp((along - reach) * puff[5], -30.0f, 30.0f)));
        const Lanes column = there ? puff[6] * power_of_e(-drop) * before : none;
        thickness += column;
        lit += column * puff[7];
    }
    const Lanes passed = power_of_e(-thickness), glow = lit / most(thickness, (Lanes)1e-6f) * (1.0f - passed);
    const Vec behind = triples((const float*)radiance.data + 3 * first);
    put_triples((float*)veiled.data + 3 * first,
                Vec{behind.x * passed + glow * scattered[0], behind.y * passed + glow * scattered[1],
                    behind.z * passed + glow * scattered[2]});
"""
)

# centre before the camera; its squared distance; 1 / radius^2; 2.4 / radius; column through its middle; light on it
Puff = wp.types.vector(length=8, dtype=wp.float32)


@wp.func_native(VEIL)
def veil_group(
    radiance: wp.array(dtype=wp.vec3),
    depth_mm: wp.array(dtype=float),
    rays: wp.array(dtype=wp.vec2),
    puffs: wp.array(dtype=Puff),
    scattered: wp.vec3,
    veiled: wp.array(dtype=wp.vec3),
    group: int,
): ...


@wp.kernel
def veil(
    radiance: wp.array(dtype=wp.vec3),
    depth_mm: wp.array(dtype=float),
    rays: wp.array(dtype=wp.vec2),
    puffs: wp.array(dtype=Puff),
    scattered: wp.vec3,
    veiled: wp.array(dtype=wp.vec3),
):
    """What is seen of each pixel's radiance, and of the light that the smoke before it throws back.

    The optical depth of a Gaussian puff along a ray up to the surface has a closed form: its column times a normal
    distribution function, here the logistic one.
    """
    veil_group(radiance, depth_mm, rays, puffs, scattered, veiled, wp.tid())
