# SPDX-License-Identifier: Apache-2.0
"""One way to bring frames to a size, and one to compare aspect ratios."""

import numpy as np
import pytest
from so101_node.protocol.aspect import is_distorted
from so101_node.resizing import resized


def test_a_frame_shrinks_by_averaging_and_stays_the_same_array_where_it_fits() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2, :2] = [[[0], [40]], [[80], [120]]]
    assert resized(pixels, 2, 2)[:, :, 0].tolist() == [[60, 0], [0, 0]]
    assert resized(pixels, 4, 4) is pixels
    assert resized(pixels, 8, 2).shape == (8, 2, 3)


@pytest.mark.parametrize(
    ("size", "distorted"), [((96, 128), False), ((64, 80), False), ((480, 720), True), ((640, 480), True)]
)
def test_aspect_ratios_within_ten_percent_are_the_same_either_way_round(size: tuple[int, int], distorted: bool) -> None:
    assert is_distorted(size, (480, 640)) is is_distorted((480, 640), size) is distorted
