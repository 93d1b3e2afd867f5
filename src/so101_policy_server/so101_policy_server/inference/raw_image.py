# SPDX-License-Identifier: Apache-2.0
"""Uncompressed frames of `sensor_msgs/Image` to the pixels that a policy reads."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.raw_image import RawImageError, RawLayout, pixels_of

from so101_policy_server.core.image import MAX_IMAGE_PIXELS, ImageDecodeError, Pixels
from so101_policy_server.inference.image_decode import resize_image

__all__ = ["RawLayout", "decode_raw"]

_ENCODINGS: Final = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "8UC3", "8UC1")


def decode_raw(data: npt.NDArray[np.uint8], layout: RawLayout, height: int | None, width: int | None) -> Pixels:
    """Return a raw frame as (height, width, 3) uint8, RGB, resized (or not) as `image_decode.decode_image` does.

    Raises:
        ImageDecodeError: an encoding that is not known here, or fewer bytes than the layout says.
    """
    if not 0 < layout.height * layout.width <= MAX_IMAGE_PIXELS:
        raise ImageDecodeError(f"image of {layout.width} x {layout.height} pixels: expected 1 to {MAX_IMAGE_PIXELS}")
    try:
        rgb = pixels_of(data, layout, rgb=True, encodings=_ENCODINGS)
    except RawImageError as error:
        raise ImageDecodeError(str(error)) from error
    return resize_image(rgb, height, width)
