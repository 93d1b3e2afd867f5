# SPDX-License-Identifier: Apache-2.0
"""Turning pixels into the bytes that cross the network, and back: one place, so that training and running agree.

The camera nodes, the virtual cameras and the recording of training data all encode here. A policy therefore sees the
same JPEG artefacts in training as later on the arm.
"""

import struct

import cv2
import numpy as np
from so101_node.protocol.aspect import is_distorted
from so101_node.resizing import resized

from so101_camera.core.frame import Frame, Pixels, check_pixels
from so101_camera.errors import FrameShapeError, ImageCodecError

# 640x480 of the virtual scene comes to 20-40 kB at 90; 95 doubles the bytes and shows no difference after the resize
# that every policy does.
DEFAULT_JPEG_QUALITY = 90

# What a JPEG has at least, about: 20 kB at 640x480. To know it exactly would mean to encode it.
SMALL_JPEG_BYTES_PER_PIXEL = 0.065

JPEG_START = b"\xff\xd8"
_MARKER = 0xFF
_EXIF = 0xE1
# Start-of-frame markers: baseline, progressive and so on; C4, C8 and CC in between are tables.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def encode_jpeg(bgr: Pixels, quality: int = DEFAULT_JPEG_QUALITY) -> bytes:
    """Return (height, width, 3) uint8 BGR pixels as a baseline JPEG file; `quality` is 1 to 100."""
    return _encode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(bgr: Pixels) -> bytes:
    """Return (height, width, 3) uint8 BGR pixels as a PNG file: lossless, about ten times the bytes of JPEG."""
    return _encode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def decode_image(data: bytes, *, turns: bool = True) -> Pixels:
    """Return a JPEG or PNG file as (height, width, 3) uint8 BGR pixels; `turns`: as its orientation tag says.

    Raises:
        ImageCodecError: the bytes are not a whole image file.
    """
    kind = cv2.IMREAD_COLOR if turns else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), kind) if data else None
    if pixels is None:
        raise ImageCodecError(f"{len(data)} bytes that are no readable JPEG or PNG")
    return np.asarray(pixels, np.uint8)


def frame_size(frame: Frame) -> tuple[int, int]:
    """Return the frame's width and height, pixels; of JPEG bytes only the header is read.

    Raises:
        ImageCodecError: the frame's JPEG has no header that says them.
    """
    if frame.bgr is not None:
        return frame.bgr.shape[1], frame.bgr.shape[0]
    assert frame.jpeg is not None  # Frame guarantees one of the two
    at = len(JPEG_START)
    while at + 9 <= len(frame.jpeg) and frame.jpeg[at] == _MARKER:
        kind = frame.jpeg[at + 1]
        if kind == _MARKER:  # a fill byte
            at += 1
        elif kind == _EXIF:  # it may say that the image lies on its side, which decoding obeys
            height, width = decode_image(frame.jpeg).shape[:2]
            return width, height
        elif kind in _FRAME_HEADERS:  # length (2 bytes), bits per sample (1), height (2), width (2)
            height, width = struct.unpack_from(">HH", frame.jpeg, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", frame.jpeg, at + 2)[0]
    raise ImageCodecError(f"{len(frame.jpeg)} bytes of JPEG without a frame header")


def jpeg_of(frame: Frame, quality: int = DEFAULT_JPEG_QUALITY) -> bytes:
    """Return the frame's own JPEG bytes unchanged where it has them, else encode its pixels."""
    if frame.jpeg is not None:
        return frame.jpeg
    assert frame.bgr is not None  # Frame guarantees one of the two
    return encode_jpeg(frame.bgr, quality)


def resized_png(frame: Frame, height: int, width: int, *, lossless: bool = False) -> bytes | None:
    """Return as a PNG file what the policy server would make of the frame for a policy of (height, width) pixels.

    PNG, because a second JPEG of so few pixels moves a chunk, by up to 0.025 rad with the demo's policy. Nothing
    is lost so: from a camera that gives JPEG the server gets the very pixels that it would have made itself. An
    orientation tag turns nothing: a policy sees the sensor's own rows and columns.

    Returns:
        None where the frame should go as captured: it would not become smaller, or has another aspect ratio, which the
        server must see, or the file would have more bytes than a JPEG of the whole frame (unless `lossless`).

    Raises:
        ImageCodecError: the frame's JPEG is broken.
    """
    columns, rows = frame_size(frame)
    if height > rows or width > columns or (height, width) == (rows, columns):
        return None
    pixels = decode_image(frame.jpeg or b"", turns=False) if frame.bgr is None else frame.bgr
    if is_distorted((pixels.shape[0], pixels.shape[1]), (height, width)):
        return None
    png = encode_png(resized(pixels, height, width))
    whole = SMALL_JPEG_BYTES_PER_PIXEL * rows * columns if frame.jpeg is None else len(frame.jpeg)
    return png if lossless or len(png) < whole else None


def pixels_of(frame: Frame) -> Pixels:
    """Return the frame's pixels, decoding its JPEG where it has none.

    Raises:
        ImageCodecError: the frame's JPEG is broken.
    """
    if frame.bgr is not None:
        return frame.bgr
    assert frame.jpeg is not None  # Frame guarantees one of the two
    return decode_image(frame.jpeg)


def _encode(extension: str, bgr: Pixels, options: list[int]) -> bytes:
    try:
        check_pixels(bgr)
    except FrameShapeError as error:
        raise ImageCodecError(str(error)) from error
    ok, data = cv2.imencode(extension, bgr, options)
    if not ok:
        raise ImageCodecError(f"cannot encode {bgr.shape} pixels as {extension}")
    return bytes(data)
