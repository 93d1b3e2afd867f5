# SPDX-License-Identifier: Apache-2.0
"""Raw pictures in either order of colours, for cameras and for the policy server."""

import numpy as np
import pytest
from so101_node.raw_image import ENCODINGS, RawImageError, RawLayout, pixels_of


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_both_orders_are_the_same_picture_and_padding_is_left_out(encoding: str) -> None:
    row = 32 * ENCODINGS[encoding][0]
    rows = np.full((24, row + 10), 255, np.uint8)
    rows[:, :row] = np.random.default_rng(0).integers(0, 256, (24, row), dtype=np.uint8)
    layout = RawLayout(encoding, 24, 32, row + 10)
    bgr = pixels_of(rows.ravel(), layout, rgb=False)
    assert bgr.shape == (24, 32, 3)
    rgb = pixels_of(rows.ravel()[:-10], layout, rgb=True)  # the last row without
    assert np.array_equal(rgb, bgr[:, :, ::-1])
    bare = pixels_of(np.ascontiguousarray(rows[:, :row]).ravel(), RawLayout(encoding, 24, 32, row), rgb=False)
    assert np.array_equal(bare, bgr)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        (RawLayout("16UC1", 2, 2, 4), "image encoding '16UC1': expected one of rgb8, bgr8"),
        (RawLayout("rgb8", 3, 2, 6), "too few for 2 x 3 rgb8"),
        (RawLayout("rgb8", 2, 2, 5), "too few"),
        (RawLayout("rgb8", 0, 0, 0), "too few"),
        (RawLayout("yuyv", 2, 3, 6), "YUV needs an even width"),
    ],
)
def test_what_does_not_fit_is_one_line(layout: RawLayout, reason: str) -> None:
    with pytest.raises(RawImageError, match=reason) as error:
        pixels_of(np.zeros(12, np.uint8), layout, rgb=True)
    assert "\n" not in str(error.value)
