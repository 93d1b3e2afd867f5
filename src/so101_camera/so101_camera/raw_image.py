"""Pixels of sensor_msgs/Image in the encodings of colour cameras.

Not by cv_bridge: its pure Python build garbles rows that are longer than their pixels, as drivers align them, and knows
neither YUV 4:2:2, which most USB cameras deliver, nor OpenCV's plain types.
"""

import cv2
import numpy as np
from sensor_msgs.msg import Image as ImageMessage

from so101_camera.frame import Image
from so101_camera.image_codec import ImageCodecError

# Encoding -> bytes of a pixel, and OpenCV's conversion. The plain types are OpenCV's, whose order is BGR; distances and
# 16 bits are not among them, since no policy of pictures takes those.
LAYOUTS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, cv2.COLOR_RGB2BGR),
    "bgr8": (3, None),
    "8UC3": (3, None),
    "rgba8": (4, cv2.COLOR_RGBA2BGR),
    "bgra8": (4, cv2.COLOR_BGRA2BGR),
    "8UC4": (4, cv2.COLOR_BGRA2BGR),
    "mono8": (1, cv2.COLOR_GRAY2BGR),
    "8UC1": (1, cv2.COLOR_GRAY2BGR),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2BGR_YUY2),
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2BGR),
}


def pixels_of_message(message: ImageMessage) -> Image:
    """Return the message as (height, width, 3) uint8 BGR pixels.

    Raises:
        ImageCodecError: it cannot be read; the line says what it is and what can be.
    """
    height, width, encoding = message.height, message.width, message.encoding
    what = f"image of {width} x {height} {encoding or 'without encoding'}, {len(message.data)} bytes"
    if encoding not in LAYOUTS:
        raise ImageCodecError(f"{what}: cannot be read, expected one of {', '.join(LAYOUTS)}")
    channels, code = LAYOUTS[encoding]
    least = width * channels
    if not width or not height or message.step < least or len(message.data) < height * message.step:
        raise ImageCodecError(f"{what}: expected {height} rows of {message.step} bytes, each of at least {least}")
    rows = np.frombuffer(message.data, np.uint8)[: height * message.step].reshape(height, message.step)
    pixels = np.ascontiguousarray(rows[:, :least]).reshape(height, width, channels)
    try:
        return np.asarray(pixels if code is None else cv2.cvtColor(pixels, code), np.uint8)
    except cv2.error as error:
        raise ImageCodecError(
            f"{what}: cannot be read: YUV needs an even width, and Bayer at least two rows and columns"
        ) from error
