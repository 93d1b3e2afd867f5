"""Uncompressed pictures of `sensor_msgs/Image` to the pixels that a policy reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from so101_policy_server.image_decode import MAX_IMAGE_PIXELS, ImageDecodeError, Pixels, resize_image

_CHANNELS: Final = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "8UC3": 3, "8UC1": 1}
_TO_RGB: Final = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,  # as OpenCV has it
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
}


@dataclass(frozen=True, slots=True)
class RawLayout:
    """How the bytes of a raw picture lie: ROS's encoding, rows and columns, and bytes from one row to the next."""

    encoding: str
    height: int
    width: int
    step: int


def decode_raw(data: npt.NDArray[np.uint8], layout: RawLayout, height: int | None, width: int | None) -> Pixels:
    """Return a raw picture as (height, width, 3) uint8, RGB, resized (or not) as `image_decode.decode_image` does.

    Raises:
        ImageDecodeError: an encoding that is not known here, or fewer bytes than the layout says.
    """
    channels = _CHANNELS.get(layout.encoding)
    if channels is None:
        raise ImageDecodeError(f"image encoding '{layout.encoding}': expected one of {', '.join(_CHANNELS)}")
    if not 0 < layout.height * layout.width <= MAX_IMAGE_PIXELS:
        raise ImageDecodeError(f"image of {layout.width} x {layout.height} pixels: expected 1 to {MAX_IMAGE_PIXELS}")
    row = layout.width * channels
    if layout.step < row or data.size < layout.step * (layout.height - 1) + row:
        raise ImageDecodeError(
            f"raw image of {data.size} bytes with step {layout.step}: too few for {layout.width} x {layout.height} "
            f"{layout.encoding}"
        )
    padded = np.zeros(layout.step * layout.height, np.uint8) if data.size < layout.step * layout.height else data
    if padded is not data:
        padded[: data.size] = data  # the last row may come without its padding
    rows = padded[: layout.step * layout.height].reshape(layout.height, layout.step)[:, :row]
    pixels = np.ascontiguousarray(rows.reshape(layout.height, layout.width, channels))
    conversion = _TO_RGB.get(layout.encoding)
    rgb = pixels if conversion is None else np.asarray(cv2.cvtColor(pixels, conversion), dtype=np.uint8)
    return resize_image(rgb, height, width)
