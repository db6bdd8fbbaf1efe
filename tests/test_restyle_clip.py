"""Clips restyled by a real latent diffusion model of tiny size and random weights, in all three modes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from restyle_clips import HEIGHT, WIDTH, sliding_frame
from restyle_material import make_model, pictures
from splatscope.config.restyle import ControlNetSetting, SamplerConfig
from splatscope.restyle.base_model import load_base_model
from splatscope.restyle.clip import ClipRestyler, restyle_clip
from splatscope.restyle.consistency import consistency_figures

CONFIG = SamplerConfig(scheduler="ddim", steps=2, strength=1, guidance_scale=1, batch_size=2)
CLIP = [sliding_frame(index, (2.0, 1.0)) for index in range(3)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("model") / "tiny")
    setting = ControlNetSetting(model="controlnet_depth", condition="depth")
    return load_base_model(folder, controlnets=[setting], loras=[], device=torch.device("cpu"), dtype=torch.float32)


def make_restyler(model, mode, config=CONFIG, **options):
    condition = pictures(1, HEIGHT, WIDTH)[0]
    options = {"seed": 1, "scene": "clip"} | options
    return ClipRestyler(model, lambda frame: [condition], lambda frame: "real", config, mode=mode, **options)


def restyled(model, mode, frames=CLIP, **options):
    return list(restyle_clip(make_restyler(model, mode, **options), frames))


@pytest.mark.parametrize("mode", ["none", "warped_noise", "full"])
def test_every_mode_restyles_every_frame_and_repeats_itself(model, mode):
    images = restyled(model, mode)
    assert len(images) == len(CLIP)
    for frame, image in zip(CLIP, images):
        assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 1 and np.abs(image - frame.rgb / 255).mean() > 0.01
    np.testing.assert_array_equal(images, restyled(model, mode))
    other = restyled(model, mode, CLIP[:1], seed=2)[0]
    assert np.abs(images[0] - other).mean() > 0.005


def test_each_mode_holds_frames_together_better(model):
    errors = [consistency_figures(CLIP, restyled(model, mode))["warp_error"] for mode in ("none", "full")]
    assert errors[1] < 0.5 * errors[0]


def test_frames_of_their_own_noise_do_not_depend_on_their_neighbours(model):
    for mode in ("none", "warped_noise"):
        np.testing.assert_array_equal(restyled(model, mode, CLIP[1:])[0], restyled(model, mode, CLIP[:2])[1])


def test_a_clip_is_streamed_batch_by_batch(model):
    taken = []

    def frames():
        for frame in CLIP:
            taken.append(frame)
            yield frame

    stream = restyle_clip(make_restyler(model, "full"), frames())
    assert not taken
    first = next(stream)
    assert len(taken) == CONFIG.batch_size < len(CLIP)
    restyler = make_restyler(model, "full")
    one_by_one = []
    for frame in CLIP:
        one_by_one.append(restyler.propose(frame))
        restyler.accept(frame, one_by_one[-1])
    np.testing.assert_array_equal([first, *stream], one_by_one)


def test_a_refused_frame_is_drawn_otherwise_and_the_accepted_one_carried(model):
    restyler = make_restyler(model, "full")
    restyler.accept(CLIP[0], restyler.propose(CLIP[0]))
    first = restyler.propose(CLIP[1])
    again, weaker = restyler.propose(CLIP[1], attempt=1), restyler.propose(CLIP[1], strength=0.5, attempt=1)
    assert np.abs(first - again).mean() > 1e-4 and np.abs(again - weaker).mean() > 1e-4
    np.testing.assert_array_equal(first, restyler.propose(CLIP[1]))
    inverted = 1 - first
    restyler.accept(CLIP[1], inverted)
    after = restyler.propose(CLIP[2])[8:-8, 16:50]
    assert np.abs(after - inverted[7:-9, 14:48]).mean() < 0.5 * np.abs(after - first[7:-9, 14:48]).mean()


def test_frames_are_letterboxed_into_a_canvas(model):
    condition = pictures(1, HEIGHT, WIDTH)[0]
    restyler = ClipRestyler(
        model, lambda frame: [condition], lambda frame: "a", CONFIG, mode="full", seed=1, scene="clip", canvas_px=192
    )
    images = list(restyle_clip(restyler, CLIP[:2]))
    assert images[1].shape == (HEIGHT, WIDTH, 3) and np.isfinite(images[1]).all()


def test_sizes_that_the_model_does_not_take_are_padded(model):
    frames = [sliding_frame(index, (2.0, 0.0), height=84, width=100) for index in range(2)]
    condition = pictures(1, 84, 100)[0]
    restyler = ClipRestyler(
        model, lambda frame: [condition], lambda frame: "a", CONFIG, mode="full", seed=1, scene="clip"
    )
    assert [image.shape for image in restyle_clip(restyler, frames)] == [(84, 100, 3)] * 2


def test_a_frame_without_maps_is_restyled_alone(model):
    bare = [replace(frame, surface_points=None, flow_backward=None, flow_forward=None) for frame in CLIP[:2]]
    alone = [make_restyler(model, "full").propose(frame) for frame in bare]
    np.testing.assert_array_equal(restyled(model, "full", bare), alone)
    np.testing.assert_array_equal(alone, restyled(model, "none", bare))


def test_an_unknown_mode_is_refused(model):
    with pytest.raises(ValueError, match="expected one of none, warped_noise, full, got 'all'"):
        make_restyler(model, "all")
