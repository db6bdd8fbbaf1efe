"""Warp errors and tLP against what can be worked out by hand and by another implementation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from restyle_clips import flickering, sliding_frame
from splatscope.errors import InputError
from splatscope.images import to_float
from splatscope.restyle.consistency import consistency_figures, warp_errors


def test_a_clip_that_moves_by_whole_pixels_has_no_warp_error():
    clip = [sliding_frame(index, (3.0, 2.0)) for index in range(3)]
    figures = consistency_figures(clip, [to_float(frame.rgb) for frame in clip])
    assert figures["warp_error"] == figures["warp_error_raw"] < 0.003  # eight bits
    assert figures["frame_pairs"] == 2 and "tlp" not in figures


def test_warp_error_of_a_known_difference():
    first = sliding_frame(0, (3.0, 2.0))
    image = np.full((*first.rgb.shape[:2], 3), 0.5, np.float32)
    brighter = image + np.float32([0.1, 0, 0])
    mean, squared = warp_errors(image, brighter, first.flow_forward)
    assert mean == pytest.approx(0.1 / 3, rel=1e-5) and squared == pytest.approx(0.01, rel=1e-5)
    # what is hidden in the other frame has no say
    brighter[first.flow_forward[..., 2] != 1] = 9
    hidden = first.flow_forward.copy()
    hidden[..., :2] = 0
    assert warp_errors(image, brighter, hidden)[0] == pytest.approx(0.1 / 3, rel=1e-5)
    hidden[..., 2] = 2
    assert np.isnan(warp_errors(image, brighter, hidden)).all()


def test_warp_error_agrees_with_grid_sample():
    first, second = (sliding_frame(index, (1.25, 0.5)) for index in (0, 1))
    images = [flickering(frame) for frame in (first, second)]
    height, width = first.rgb.shape[:2]
    down, across = np.mgrid[:height, :width] + 0.5
    flow = first.flow_forward
    grid = np.stack([(across + flow[..., 0]) * 2 / width - 1, (down + flow[..., 1]) * 2 / height - 1], -1)
    warped = torch.nn.functional.grid_sample(
        torch.from_numpy(images[1]).permute(2, 0, 1)[None].double(),
        torch.from_numpy(grid)[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0].permute(1, 2, 0)
    difference = (warped.numpy() - images[0])[flow[..., 2] == 1]
    mean, squared = warp_errors(*images, flow)
    assert mean == pytest.approx(np.abs(difference).mean(), rel=1e-4)
    assert squared == pytest.approx((difference**2).sum(-1).mean(), rel=1e-4)


def test_tlp_is_the_difference_of_distances():
    clip = [sliding_frame(index, (4.0, 0.0)) for index in range(3)]
    restyled = [to_float(frame.rgb) * level for frame, level in zip(clip, np.float32([1, 0.5, 1]))]

    def brightness(first, second):
        return abs(float(first.mean() - second.mean()))

    figures = consistency_figures(clip, restyled, brightness, "difference of brightness")
    raw = [brightness(to_float(clip[i].rgb), to_float(clip[i + 1].rgb)) for i in (0, 1)]
    own = [brightness(restyled[i], restyled[i + 1]) for i in (0, 1)]
    assert figures["tlp"] == pytest.approx(np.mean(np.abs(np.subtract(own, raw))))
    assert figures["tlp_distance"] == "difference of brightness"


def test_clips_that_have_no_figures():
    clip = [replace(sliding_frame(index), flow_forward=None) for index in range(2)]
    images = [to_float(frame.rgb) for frame in clip]
    with pytest.raises(InputError, match="frame 000000") as raised:
        consistency_figures(clip, images)
    assert "simulate.maps" in str(raised.value)
    with pytest.raises(InputError, match="less than two frames"):
        consistency_figures(clip[:1], images[:1])
    with pytest.raises(ValueError):
        consistency_figures(clip, images[:1])
