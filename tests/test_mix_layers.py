"""mix: a layer laid into a frame by depth; labels and colour must agree about who hides whom."""

from dataclasses import replace

import numpy as np
import pytest

from mix_material import BAR, CAMERA, HEIGHT, WIDTH, bar_layer, plane_frame
from splatscope.geometry import Camera
from splatscope.meshes.endoscope import display_table
from splatscope.mix.layer import FINE, cover, lay_labels
from splatscope.mix.light import Filming, blend, contact_shade, to_display, to_linear
from splatscope.mix.stage import FIRST_OBJECT


def laid(frame, layer):
    covered = cover(layer, frame.depth_mm, np.ones((HEIGHT, WIDTH), bool))
    return lay_labels(frame, layer, covered, 2, 14, FIRST_OBJECT), covered


def test_a_layer_in_front_takes_its_pixels():
    frame = plane_frame()
    mixed, covered = laid(frame, bar_layer(60.0))
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[BAR] = True
    assert (mixed.visible_mask(2) == expected).all() and (mixed.amodal_mask(2) == expected).all()
    assert covered.visibility == 1
    assert (mixed.class_map == np.where(expected, 14, frame.class_map)).all()
    assert (mixed.depth_mm == np.where(expected, 60, frame.depth_mm)).all()
    assert (mixed.alpha == np.where(expected, 255, 250)).all()
    assert (mixed.normals[expected] == [1, 0, 0]).all() and (mixed.normals[~expected] == [0, 0, -1]).all()
    assert (mixed.surface_points[expected] == [FIRST_OBJECT, 60, 60, 60]).all()
    assert mixed.flow_forward is None
    assert (mixed.amodal_mask(1) == frame.amodal_mask(1)).all()


def test_a_layer_behind_is_amodal_only():
    frame = plane_frame()
    mixed, covered = laid(frame, bar_layer(90.0))
    assert not mixed.visible_mask(2).any() and mixed.amodal_mask(2).sum() == 24 * 20
    assert covered.visibility == 0
    for name in ("class_map", "instance_map", "depth_mm", "alpha", "normals", "surface_points"):
        np.testing.assert_array_equal(getattr(mixed, name), getattr(frame, name))


def test_a_layer_that_dips_into_the_tissue_is_seen_to_where_it_meets_it():
    depths = 60 + np.arange(HEIGHT, dtype=np.float32)[:, None] * np.ones(WIDTH, np.float32)  # 80 at row 20
    where = np.s_[5:60, 30:50]
    mixed, _ = laid(plane_frame(), bar_layer(depths, where))
    rows = np.flatnonzero(mixed.visible_mask(2).any(1))
    assert rows.min() == 5 and rows.max() == 19
    assert mixed.amodal_mask(2).sum() == 55 * 20
    owned = mixed.visible_mask(2)
    assert (mixed.depth_mm[owned] < 80).all()


def test_each_pixel_shows_the_nearest_of_both():
    """Depth, labels and the layer's own depth agree at every pixel, for a random surface under a random layer."""
    rng = np.random.default_rng(0)
    frame = plane_frame(depth_mm=rng.uniform(40, 100, (HEIGHT, WIDTH)).astype(np.float32))
    depths = rng.uniform(40, 100, (HEIGHT, WIDTH)).astype(np.float32)
    mixed, _ = laid(frame, bar_layer(depths))
    within = np.zeros((HEIGHT, WIDTH), bool)
    within[BAR] = True
    front = within & (depths < frame.depth_mm)
    assert (mixed.visible_mask(2) == front).all()
    np.testing.assert_array_equal(mixed.depth_mm, np.where(front, depths, frame.depth_mm))


def test_half_covered_pixels_mix_colours_without_halo():
    frame = plane_frame()
    layer = bar_layer(60.0)
    half = layer.alpha.copy()
    half[:, 30 * FINE : 30 * FINE + 1] = 0  # a third of the first column is free
    layer = replace(layer, alpha=half, colour=layer.colour * (half > 0)[..., None])
    covered = cover(layer, frame.depth_mm, np.ones((HEIGHT, WIDTH), bool))
    shade, inside = np.zeros((HEIGHT, WIDTH), np.float32), np.ones((HEIGHT, WIDTH), np.float32)
    rgb = blend(frame.rgb, layer, covered, inside, None, shade, 0.0, np.random.default_rng(0))
    edge = np.s_[20:44, 30]
    expected = to_display(to_linear(frame.rgb[edge]) / 3 + np.float32(0.2 * 2 / 3))
    assert np.abs(rgb[edge].astype(int) - expected).max() <= 1
    assert (rgb[20:44, 31:50] == to_display(np.float32(0.2))).all()
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[BAR] = False
    assert (rgb[outside] == frame.rgb[outside]).all()


def test_display_and_linear_are_inverse():
    levels = np.arange(display_table().max() + 1)
    assert np.abs(to_display(to_linear(levels)).astype(int) - levels).max() <= 1


def test_contact_shades_what_is_near_and_only_that():
    frame, everywhere = plane_frame(), np.ones((HEIGHT, WIDTH), bool)
    shades = []
    for depth in (79.0, 60.0, 90.0):
        layer = bar_layer(depth)
        covered = cover(layer, frame.depth_mm, everywhere)
        shades.append(contact_shade(layer, covered, frame.depth_mm, 3.0, CAMERA.fx))
    touching, hovering, hidden = (shade[32, 51] for shade in shades)
    assert touching > 0.15 and hovering < 0.01 and hidden < 0.01
    assert shades[0][2, 78] < 1e-3


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_exposure_is_found_whatever_the_distance(gain):
    """Tissue of known radiance, lit from the camera by the square law, at depths from 50 to 110 mm."""
    depths = np.tile(np.linspace(50, 110, WIDTH, dtype=np.float32), (HEIGHT, 1))
    rays = CAMERA.pixel_rays()
    lit = 0.30 * gain * 70.0**2 / (depths**2 * (1 + (rays**2).sum(-1)))
    rgb = to_display(lit[..., None] * np.array([1, 0.4, 0.3]))
    filming = Filming.of(rgb, depths, rays, np.ones((HEIGHT, WIDTH), bool))
    assert filming.exposure == pytest.approx(gain, rel=0.02)


def test_noise_and_haze_are_found():
    rng = np.random.default_rng(1)
    depths, tissue = np.full((128, 160), 80, np.float32), np.ones((128, 160), bool)
    rays = Camera(160, 128, 150.0, 150.0, 80.0, 64.0).pixel_rays()
    clear = np.clip(np.rint(rng.normal((140, 60, 20), 3, (128, 160, 3))), 0, 255).astype(np.uint8)
    assert Filming.of(clear, depths, rays, tissue).noise == pytest.approx(3, rel=0.25)
    smoky = to_display(to_linear(clear) * 0.7 + 0.3)
    assert Filming.of(clear, depths, rays, tissue).haze < 0.01
    assert Filming.of(smoky, depths, rays, tissue).haze == pytest.approx(0.3, abs=0.02)
