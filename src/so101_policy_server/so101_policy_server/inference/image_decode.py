# SPDX-License-Identifier: Apache-2.0
"""Compressed camera frames to the pixels that a policy reads.

Data recording calls the same `decode_image` as the policy server, so training tensors equal served tensors bit for bit.
"""

from __future__ import annotations

import contextlib
import struct
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

try:
    import simplejpeg
except ImportError:  # ROS from apt without requirements/server.txt: the same pixels in twice the time
    simplejpeg = None  # type: ignore[assignment]

from so101_node.resizing import resized

from so101_policy_server.core.image import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, ImageDecodeError, Pixels

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"IEND\xaeB`\x82"
_JPEG_START: Final = b"\xff\xd8"
_JPEG_END: Final = b"\xff\xd9"
_JPEG_PADDING_SEARCHED: Final = 1024
"""Some USB cameras pad their MJPG frames with zeros to a multiple of the transfer size."""
_JPEG_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers; C4, C8 and CC in this range are tables and extensions."""


def decode_image(
    data: bytes | bytearray | memoryview | npt.NDArray[np.uint8], format: str, height: int | None, width: int | None
) -> Pixels:
    """Decode one compressed frame and resize it to (height, width).

    Args:
        data: the compressed bytes; any contiguous byte buffer, read without copying.
        format: `sensor_msgs/CompressedImage.format`; must name jpeg (or jpg) or png.
        height: rows of the result, pixels; None = as many as the frame has.
        width: columns of the result, pixels; None = as many as the frame has.

    Returns:
        (height, width, 3) uint8, RGB, C-contiguous. Pixels are untouched when the frame already has this size; else
        area averaging where both sides shrink, bilinear interpolation where one grows.

    Raises:
        ImageDecodeError: empty, longer than MAX_IMAGE_BYTES, of another format than announced, truncated, damaged, or
            of more than MAX_IMAGE_PIXELS.
        ValueError: height or width is not positive.
    """
    if (height is not None and height < 1) or (width is not None and width < 1):
        raise ValueError(f"image size {height} x {width}: expected positive height and width")
    buffer = np.frombuffer(data, dtype=np.uint8)
    frame_size(buffer, format)
    return resize_image(_pixels(buffer, format), height, width)


def _pixels(buffer: npt.NDArray[np.uint8], format: str) -> Pixels:
    """All rows and columns of a frame whose header has been checked, RGB."""
    if simplejpeg is not None and "png" not in format.lower():
        # libjpeg-turbo as in OpenCV, with the same pixels: 0.7 ms of a core instead of 1.5 at 640x480. What it finds
        # damaged is left to OpenCV, which forgives more.
        with contextlib.suppress(ValueError):
            return np.asarray(simplejpeg.decode_jpeg(buffer, "RGB"), dtype=np.uint8)
    try:
        # Orientation tags are for photographs; a policy sees the sensor's own rows and columns.
        bgr = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageDecodeError(f"damaged {format} image of {buffer.size} bytes") from error
    if bgr is None:
        raise ImageDecodeError(f"damaged {format} image of {buffer.size} bytes")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def resize_image(pixels: Pixels, height: int | None, width: int | None) -> Pixels:
    """Resize (H, W, 3) uint8 to (height, width, 3) as `decode_image` does; the same array when it already fits."""
    rows, columns = pixels.shape[:2]
    return resized(pixels, rows if height is None else height, columns if width is None else width)


def frame_size(buffer: npt.NDArray[np.uint8], format: str) -> tuple[int, int]:
    """Height and width of a compressed frame, pixels, from its header.

    Raises:
        ImageDecodeError: what is cheap to reject before the decoder allocates anything; see `decode_image`.
    """
    if buffer.size == 0:
        raise ImageDecodeError("empty image")
    if buffer.size > MAX_IMAGE_BYTES:
        raise ImageDecodeError(f"image of {buffer.size} bytes: expected at most {MAX_IMAGE_BYTES}")
    kind = format.lower()
    if "png" in kind:
        size = _png_size(buffer)
    elif "jpeg" in kind or "jpg" in kind:
        size = _jpeg_size(buffer)
    else:
        raise ImageDecodeError(f"image format '{format}': expected jpeg or png")
    if size[0] * size[1] > MAX_IMAGE_PIXELS:
        raise ImageDecodeError(f"image of {size[1]} x {size[0]} pixels: expected at most {MAX_IMAGE_PIXELS} pixels")
    return size


def _png_size(buffer: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width from the first chunk, which the standard puts at a fixed place."""
    head = buffer[:24].tobytes()
    if not head.startswith(_PNG_SIGNATURE) or len(head) < 24:
        raise ImageDecodeError(f"image announced as png has no PNG header ({buffer.size} bytes)")
    if not buffer[-len(_PNG_END) :].tobytes() == _PNG_END:
        raise ImageDecodeError(f"truncated png image of {buffer.size} bytes")
    width, height = struct.unpack(">II", head[16:24])
    return int(height), int(width)


def _jpeg_size(buffer: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width from the frame header, found by walking the marker segments before the frame data."""
    if buffer[:2].tobytes() != _JPEG_START:
        raise ImageDecodeError(f"image announced as jpeg has no JPEG header ({buffer.size} bytes)")
    if not buffer[-_JPEG_PADDING_SEARCHED:].tobytes().rstrip(b"\0").endswith(_JPEG_END):
        raise ImageDecodeError(f"truncated jpeg image of {buffer.size} bytes")
    position = 2
    while position + 9 <= buffer.size and buffer[position] == 0xFF:
        marker = int(buffer[position + 1])
        if marker in _JPEG_FRAME_MARKERS:
            height, width = struct.unpack(">HH", buffer[position + 5 : position + 9].tobytes())
            return int(height), int(width)
        if marker == 0xFF:  # a fill byte before the marker
            position += 1
            continue
        position += 2 + (int(buffer[position + 2]) << 8 | int(buffer[position + 3]))
    raise ImageDecodeError(f"jpeg image of {buffer.size} bytes has no frame header")
