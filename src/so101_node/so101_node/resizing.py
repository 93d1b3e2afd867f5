# SPDX-License-Identifier: Apache-2.0
"""How a frame is brought to the size that a policy reads: the same pixels in training, at a server and at a camera."""

import cv2
import numpy as np

from so101_node.raw_image import Pixels


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return (rows, columns, 3) uint8 as (height, width, 3); the same array when it already fits.

    Area averaging where both sides shrink, bilinear interpolation where one grows.
    """
    rows, columns = pixels.shape[:2]
    if (rows, columns) == (height, width):
        return pixels
    shrinks = height <= rows and width <= columns
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=kind), np.uint8)
