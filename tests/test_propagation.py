"""Carrying restyled pictures along exact flow: where they go, how far they are trusted, what they lose."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from restyle_clips import HEIGHT, WIDTH, flickering, sliding_frame
from splatscope.restyle.consistency import consistency_figures
from splatscope.restyle.propagation import Foretold, Propagation, blend
from splatscope.restyle.warping import carry_image, flow_positions, pixel_centres, surfaces_of

ONE_SURFACE = np.zeros((HEIGHT, WIDTH), np.int32)


def run(frames, draw=flickering):
    """Restyled frames and how far each was trusted."""
    propagation, images, trusts = Propagation(), [], []
    for frame in frames:
        foretold = propagation.foretell(frame)
        images.append(blend(foretold, draw(frame)))
        trusts.append(foretold.trust)
        propagation.accept(frame, images[-1])
    return images, trusts


def correlated(first, second):
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def waves(shift_x=0.0, shift_y=0.0):
    x, y = np.moveaxis(pixel_centres(HEIGHT, WIDTH), -1, 0)
    return (0.5 + 0.4 * np.sin(0.5 * (x + shift_x)) * np.cos(0.4 * (y + shift_y)))[..., None].astype(np.float32)


def test_carrying_by_whole_pixels_is_exact_and_by_parts_close():
    for step, tolerance in (((3.0, -2.0), 0), ((0.5, 0.25), 0.008)):
        positions = pixel_centres(HEIGHT, WIDTH) + np.float32(step)
        carried, share = carry_image(waves(), positions, ONE_SURFACE, ONE_SURFACE)
        inside = np.s_[8:-8, 8:-8]
        np.testing.assert_allclose(carried[inside], waves(*step)[inside], atol=tolerance)
        np.testing.assert_allclose(share[inside], 1, atol=1e-6)


def test_carrying_reproduces_quadratic_pictures():
    """Which Catmull-Rom does, and bilinear interpolation, or the bicubic one of other coefficients, does not."""
    step = np.float32([0.4, 0.7])
    x, y = np.moveaxis(pixel_centres(HEIGHT, WIDTH), -1, 0)
    image, expected = ((a * a / 9000 + a * b / 9000 - b * b / 5000)[..., None] for a, b in ((x, y), (x + 0.4, y + 0.7)))
    carried, _ = carry_image(image, pixel_centres(HEIGHT, WIDTH) + step, ONE_SURFACE, ONE_SURFACE)
    np.testing.assert_allclose(carried[4:-4, 4:-4], expected[4:-4, 4:-4], atol=2e-5)


def test_nothing_is_carried_across_the_border_of_a_surface():
    surfaces = np.where(np.arange(WIDTH) < WIDTH // 2, 1, 2) * np.ones((HEIGHT, 1), np.int32)
    image = np.where(surfaces == 1, 0.2, 0.9)[..., None].astype(np.float32)
    positions = pixel_centres(HEIGHT, WIDTH) + np.float32([0.4, 0.3])
    positions[40:] = np.nan
    carried, share = carry_image(image, positions, surfaces, surfaces)
    seen = share > 0
    assert seen[:40, 4:-4].mean() > 0.95 and not seen[40:].any()
    np.testing.assert_allclose(carried[seen], image[seen], atol=1e-6)
    near = share[4:36, WIDTH // 2 - 1]
    assert (near < 0.9).all() and (share[4:36, 8 : WIDTH // 2 - 4] > 0.999).all()


def test_flow_positions_are_where_both_frames_see_the_point():
    frame = sliding_frame(1, (3.0, 0.0))
    positions = flow_positions(frame.flow_backward)
    assert np.isnan(positions[:, :3]).all()  # came in at the left
    assert np.isnan(positions[:, WIDTH // 2 + 12 : WIDTH // 2 + 15]).all()  # was behind the bar
    np.testing.assert_array_equal(positions[5, 10], [7.5, 5.5])
    np.testing.assert_array_equal(positions[5, WIDTH // 2 + 3], [WIDTH // 2 + 3.5, 5.5])


@pytest.mark.parametrize("frames", [2, 24])
def test_full_propagation_takes_the_flicker_away(frames):
    clip = [sliding_frame(index, (1.3, 0.6)) for index in range(frames)]
    full = consistency_figures(clip, run(clip)[0])
    per_frame = consistency_figures(clip, [flickering(frame) for frame in clip])
    assert full["warp_error"] < 0.25 * per_frame["warp_error"]
    assert full["warp_error_lai2018"] < 0.1 * per_frame["warp_error_lai2018"]


def test_propagated_frames_stay_sharp_and_in_place():
    """After many frames of travel in parts of a pixel a picture that only depends on the surface is still the one that
    is drawn there afresh: no blur, no ghosts, no drift of colour."""
    clip = [sliding_frame(index, (0.37, 0.21)) for index in range(40)]

    def draw(frame):
        return flickering(frame, amount=0)

    last, expected = run(clip, draw)[0][-1], draw(clip[-1])
    assert np.abs(last - expected).mean() < 0.01
    detail = [cv2.Laplacian(image.mean(-1), cv2.CV_32F)[8:-8, 8:-8].std() for image in (last, expected)]
    assert detail[0] == pytest.approx(detail[1], rel=0.1)


def test_lost_detail_is_drawn_again():
    grain = np.random.default_rng(0).normal(0, 0.05, (2, HEIGHT, WIDTH, 1)).astype(np.float32)
    drawn, earlier = (np.clip(flickering(sliding_frame(0), amount=0.05) + layer, 0, 1) for layer in grain)
    soft = cv2.GaussianBlur(earlier, (0, 0), 0.8)
    everywhere = np.ones((HEIGHT, WIDTH), np.float32)
    sharpened = blend(Foretold(soft, everywhere, ONE_SURFACE), drawn)
    detail = [cv2.Laplacian(image, cv2.CV_32F).std() for image in (soft, sharpened, drawn)]
    assert detail[0] < 0.3 * detail[2]
    assert detail[1] > 0.75 * detail[2]
    np.testing.assert_allclose(blend(Foretold(drawn, everywhere, ONE_SURFACE), drawn), drawn, atol=1e-6)
    other = flickering(sliding_frame(0), seed=1, amount=0.12)
    nowhere = np.zeros((HEIGHT, WIDTH), np.float32)
    np.testing.assert_allclose(blend(Foretold(drawn, nowhere, ONE_SURFACE), other), other, atol=1e-6)


def test_colours_come_back_to_what_is_drawn():
    """A clip whose first frame was drawn far too red: half of that is gone after a few frames, smoothly."""
    clip = [sliding_frame(index, (1.0, 0.0)) for index in range(12)]

    def draw(frame):
        return np.clip(flickering(frame, amount=0) + np.float32([0.2 if frame is clip[0] else 0, 0, 0]), 0, 1)

    red = [float((image - draw(clip[-1])).mean((0, 1))[0]) for image in run(clip, draw)[0]]
    steps = -np.diff(red)
    assert red[0] > 0.15 and red[-1] < 0.5 * red[0]
    assert (steps > 0).all() and steps[1:].max() < 0.3 * red[0]


def test_rims_take_the_colours_of_their_surface():
    """Drawn too dark, the strip between two surfaces becomes as bright as the trusted rest of each."""
    surfaces = np.where(np.arange(WIDTH) < WIDTH // 2, 1, 2) * np.ones((HEIGHT, 1), np.int32)
    expected = np.where(surfaces == 1, 0.4, 0.8)[..., None].repeat(3, -1).astype(np.float32)
    trust = np.ones((HEIGHT, WIDTH), np.float32)
    trust[:, WIDTH // 2 - 1 : WIDTH // 2 + 1] = 0
    blended = blend(Foretold(expected, trust, surfaces), expected - np.float32(0.2))
    np.testing.assert_allclose(blended, expected, atol=0.03)


def test_what_is_newly_seen_is_drawn():
    clip = [sliding_frame(index, (5.0, 0.0)) for index in range(6)]
    images, trusts = run(clip)
    assert not trusts[0].any()
    for frame, image, trust in zip(clip[1:], images[1:], trusts[1:]):
        np.testing.assert_array_equal(trust[:, :5], 0)
        assert correlated(image[:, :5], flickering(frame)[:, :5]) > 0.8
        assert trust[8:-8, 16 : WIDTH // 2 - 4].mean() > 0.97


def test_carried_pictures_follow_the_light():
    clip = [sliding_frame(index, (1.0, 0.0), light=0.03) for index in range(8)]
    images, trusts = run(clip, lambda frame: flickering(frame, amount=0.05))
    where = trusts[-1] > 0.9
    assert where.mean() > 0.8
    expected = flickering(clip[-1], amount=0)[where].mean()
    assert images[-1][where].mean() == pytest.approx(expected, rel=0.02)
    assert flickering(clip[0], amount=0)[where].mean() < 0.9 * expected


def test_what_changes_on_the_surface_is_drawn_anew():
    """A highlight that is there in one frame only: drawn where it appears, gone where it was."""
    clip = [sliding_frame(index, (1.0, 0.0), bar=False) for index in range(4)]
    spot = np.s_[40:46, 60:66]
    clip[2].rgb[spot] = 255
    images, trusts = run(clip, lambda frame: flickering(frame, amount=0))
    assert trusts[2][42:44, 62:64].max() < 0.05
    assert trusts[3][42:44, 63:65].max() < 0.05
    for index in (2, 3):
        assert np.abs(images[index] - flickering(clip[index], amount=0))[36:50, 56:70].mean() < 0.02


def test_what_an_instrument_left_beside_it_goes_with_it():
    """A decoder darkens the tissue beside a bar; when the bar has gone, neither that rim nor its colour stays."""
    before, after = sliding_frame(0, (0.0, 0.0)), sliding_frame(1, (0.0, 0.0), bar=False)
    bar = before.instance_map > 0
    after.flow_backward[..., 2] = np.where(bar, 2, 1)
    rim = cv2.dilate(bar.astype(np.uint8), np.ones((1, 5))) > 0

    def draw(frame):
        image = flickering(frame, amount=0)
        return np.where(rim[..., None], np.float32(0.1), image) if frame is before else image

    images, trusts = run([before, after], draw)
    assert trusts[1][rim].max() == 0 and trusts[1][:, : WIDTH // 2 - 5].mean() > 0.95
    np.testing.assert_allclose(images[1][rim], draw(after)[rim], atol=0.02)
    still = replace(before, key="000001")
    assert run([before, still], draw)[1][1][rim & ~bar].max() > 0.5  # it stays beside the bar where the bar stays


def test_a_clip_begins_anew_where_the_flow_does_not_reach():
    clip = [sliding_frame(index) for index in range(3)]
    propagation = Propagation()
    propagation.foretell(clip[0])
    propagation.accept(clip[0], flickering(clip[0]))
    assert propagation.foretell(clip[1]).trust.any()
    for stranger in (clip[2], replace(clip[1], flow_backward=None)):
        foretold = propagation.foretell(stranger)
        assert not foretold.trust.any()
        np.testing.assert_allclose(foretold.picture, stranger.rgb / np.float32(255), atol=1e-6)
    propagation.forget()
    assert not propagation.foretell(clip[1]).trust.any()
    propagation.accept(clip[0], flickering(clip[0]))
    with pytest.raises(ValueError, match=r"frame 000001: expected \[96, 128, 3\], got \[48, 128, 3\]"):
        propagation.foretell(sliding_frame(1, height=48))


def test_a_frame_can_be_foretold_twice():
    clip = [sliding_frame(index, (1.5, 0.0)) for index in range(3)]
    once, twice = Propagation(), Propagation()
    for frame in clip:
        twice.foretell(frame)
        first, second = once.foretell(frame), twice.foretell(frame)
        np.testing.assert_array_equal(first.picture, second.picture)
        np.testing.assert_array_equal(first.trust, second.trust)
        for propagation in (once, twice):
            propagation.accept(frame, flickering(frame))


def test_surfaces_differ_by_object_class_and_instance():
    frame = sliding_frame(0)
    assert len(np.unique(surfaces_of(frame))) == 2
    frame.class_map[:10, :10] = 7
    assert len(np.unique(surfaces_of(frame))) == 3
    bare = replace(frame, surface_points=None, class_map=None, instance_map=None)
    assert not surfaces_of(bare).any()
