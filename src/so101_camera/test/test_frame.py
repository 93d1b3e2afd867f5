# SPDX-License-Identifier: Apache-2.0
"""A frame holds JPEG bytes or pixels, and nothing that is neither."""

import numpy as np
import pytest
from so101_camera.core.frame import Frame


def test_a_frame_without_bytes_and_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        Frame(1, 0)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_pixels_of_another_shape_or_type_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        Frame(1, 0, bgr=pixels)
