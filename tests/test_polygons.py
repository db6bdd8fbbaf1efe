"""Masks as polygons: filled again by OpenCV, they must be the masks."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splatscope.polygons import mask_polygon


def _filled(polygon, shape):
    picture = np.zeros(shape, np.uint8)
    cv2.fillPoly(picture, [polygon], 1)
    return picture.astype(bool)


def _noise(seed, height, width, smooth, share):
    noise = np.random.default_rng(seed).random((height, width))
    noise = cv2.GaussianBlur(noise, (0, 0), smooth) if smooth else noise
    return noise > np.quantile(noise, 1 - share)


noise = st.builds(
    _noise,
    st.integers(0, 10**6),
    st.integers(3, 50),
    st.integers(3, 50),
    st.sampled_from([0, 0.7, 2]),
    st.floats(0.05, 0.95),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(noise)
def test_a_mask_of_one_piece_comes_back_exactly_with_its_holes(mask):
    numbers = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    largest = numbers[1] == 1 + numbers[2][1:, cv2.CC_STAT_AREA].argmax()
    np.testing.assert_array_equal(_filled(mask_polygon(largest), mask.shape), largest)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(noise)
def test_a_mask_in_pieces_is_all_in_one_polygon(mask):
    polygon = mask_polygon(mask)
    assert len(polygon) >= 3 and _filled(polygon, mask.shape)[mask].all()


def test_pieces_are_joined_by_the_shortest_lines():
    mask = np.zeros((20, 40), bool)
    mask[2:8, 2:8] = mask[4, 12:20] = mask[10:18, 30:38] = True
    extra = _filled(mask_polygon(mask), mask.shape) & ~mask
    assert extra[4, 8:12].all() and extra.sum() == 4 + 10  # 10: from (19, 4) to (30, 10)


def test_a_pixel_is_a_polygon_and_nothing_is_none():
    mask = np.zeros((4, 5), bool)
    with pytest.raises(ValueError, match="an empty one"):
        mask_polygon(mask)
    mask[2, 3] = True
    np.testing.assert_array_equal(mask_polygon(mask), [[3, 2]] * 3)
