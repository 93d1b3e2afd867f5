# SPDX-License-Identifier: Apache-2.0
"""Pixels of uncompressed pictures, `sensor_msgs/Image`, in the encodings of colour cameras. Free of ROS.

Not by cv_bridge: its pure Python build garbles rows that are longer than their pixels, as drivers align them, and knows
neither YUV 4:2:2, which most USB cameras deliver, nor OpenCV's plain types.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from so101_node.errors import So101NodeError

Pixels = npt.NDArray[np.uint8]

# Encoding -> bytes of a pixel, and OpenCV's conversions to BGR and to RGB; None: it is that already. The plain types
# are OpenCV's, whose order is BGR; distances and 16 bits are not among them, since no policy of pictures takes those.
ENCODINGS: Final[dict[str, tuple[int, int | None, int | None]]] = {
    "rgb8": (3, cv2.COLOR_RGB2BGR, None),
    "bgr8": (3, None, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2BGR, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2BGR, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2BGR, cv2.COLOR_GRAY2RGB),
    "8UC3": (3, None, cv2.COLOR_BGR2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2BGR, cv2.COLOR_BGRA2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2BGR, cv2.COLOR_GRAY2RGB),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2BGR_UYVY, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2BGR_YUY2, cv2.COLOR_YUV2RGB_YUY2),
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2BGR, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2BGR, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2BGR, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2BGR, cv2.COLOR_BayerGB2RGB),
}


class RawImageError(So101NodeError, ValueError):
    """The bytes are not the picture that their layout says. The message is one line."""


@dataclass(frozen=True, slots=True)
class RawLayout:
    """How the bytes of a raw picture lie: ROS's encoding, rows and columns, and bytes from one row to the next."""

    encoding: str
    height: int
    width: int
    step: int


def pixels_of(
    data: npt.NDArray[np.uint8], layout: RawLayout, *, rgb: bool, encodings: Collection[str] = ENCODINGS.keys()
) -> Pixels:
    """Return a raw picture as (height, width, 3) uint8, in the order RGB or else BGR.

    The last row may come without what pads it.

    Args:
        data: (bytes,) uint8, contiguous; left as it is.
        layout: how the bytes lie.
        rgb: the order of the result.
        encodings: those of ENCODINGS that are accepted.

    Raises:
        RawImageError: an encoding that is not accepted, too few bytes, or a size that it cannot have.
    """
    height, width, step, encoding = layout.height, layout.width, layout.step, layout.encoding
    if encoding not in encodings:
        raise RawImageError(f"image encoding '{encoding}': expected one of {', '.join(encodings)}")
    channels, to_bgr, to_rgb = ENCODINGS[encoding]
    row = width * channels
    if height < 1 or width < 1 or step < row or data.size < step * (height - 1) + row:
        raise RawImageError(
            f"raw image of {data.size} bytes with step {step}: too few for {width} x {height} {encoding}, "
            f"{height} rows of at least {row} bytes"
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, row), (step, 1), writeable=False)
    pixels = np.array(rows).reshape(height, width, channels)  # a copy: the message's bytes may be used again
    conversion = to_rgb if rgb else to_bgr
    if conversion is None:
        return pixels
    try:
        return np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)
    except cv2.error as error:
        raise RawImageError(
            f"image of {width} x {height} {encoding}: YUV needs an even width, and Bayer at least two rows and columns"
        ) from error
