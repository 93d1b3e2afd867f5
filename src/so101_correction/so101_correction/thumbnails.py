# SPDX-License-Identifier: Apache-2.0
"""Thumbnails of camera frames: what the network looks at.

JPEG frames are decoded at a half, a quarter or an eighth of their size, which leaves most of the inverse transform out,
and then averaged by area. `python -m so101_correction.benchmark` compares that with decoding them whole.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from so101_node.raw_image import RawImageError, RawLayout, pixels_of

from so101_correction.core.network import Thumbnail
from so101_correction.errors import ThumbnailError

# Orientation tags are for photographs; a policy sees the sensor's own rows and columns.
_AT_SCALE: Final = {
    scale: flag | cv2.IMREAD_IGNORE_ORIENTATION
    for scale, flag in (
        (8, cv2.IMREAD_REDUCED_COLOR_8),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (2, cv2.IMREAD_REDUCED_COLOR_2),
        (1, cv2.IMREAD_COLOR),
    )
}
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"
_PADDING_SEARCHED: Final = 1024
"""Some USB cameras pad their MJPG frames with zeros to a multiple of the transfer size."""

Buffer = bytes | bytearray | memoryview | NDArray[np.uint8]


class ThumbnailMaker:
    """Thumbnails of one camera. It expects frames of one size, since a network is trained with one view.

    A JPEG frame does not tell its size before it is decoded: the first one is, at an eighth, to choose the scale.
    """

    def __init__(self, height: int, width: int) -> None:
        """`height`, `width`: of the thumbnails, pixels."""
        self._height, self._width = height, width
        self._scale = 0
        self._size: tuple[int, int] | None = None

    def forget(self) -> None:
        """Frames may have another size from now on."""
        self._scale, self._size = 0, None

    def of_compressed(self, data: Buffer) -> Thumbnail:
        """Return the thumbnail of a JPEG or PNG frame, (height, width, 3) uint8 RGB.

        Raises:
            ThumbnailError: no such image, a damaged or truncated one, or one of another size than the first.
        """
        buffer = np.frombuffer(data, np.uint8)
        _check_whole(buffer)
        if not self._scale:
            self._scale = self._scale_for(_decoded(buffer, 8))
        reduced = _decoded(buffer, self._scale)
        self._expect_size(reduced.shape[0] * self._scale, reduced.shape[1] * self._scale)
        return _shrunk(reduced, self._height, self._width, bgr=True)

    def of_raw(self, data: Buffer, layout: RawLayout) -> Thumbnail:
        """Return the thumbnail of a raw frame, as `of_compressed`; errors are the same."""
        try:
            pixels = pixels_of(np.frombuffer(data, np.uint8), layout, rgb=True)
        except RawImageError as error:
            raise ThumbnailError(str(error)) from error
        self._expect_size(layout.height, layout.width)
        return _shrunk(pixels, self._height, self._width, bgr=False)

    def _scale_for(self, eighth: Thumbnail) -> int:
        """The largest scale at which neither side is below the thumbnail's; sides are rounded up to eighths."""
        sides = ((eighth.shape[0], self._height), (eighth.shape[1], self._width))
        fitting = (scale for scale in _AT_SCALE if all((8 * side - 7) // scale >= want for side, want in sides))
        return next(fitting, 1)

    def _expect_size(self, height: int, width: int) -> None:
        if self._size is None:
            self._size = (height, width)
        elif self._size != (height, width):
            was = f"{self._size[1]} x {self._size[0]}"
            raise ThumbnailError(f"frame of about {width} x {height}: its size changed, it was about {was}")


def thumbnail(data: Buffer, height: int, width: int) -> Thumbnail:
    """Return (height, width, 3) uint8 RGB of a JPEG or PNG frame, as `ThumbnailMaker` does of its first one.

    Raises:
        ThumbnailError: no such image, or a damaged or truncated one.
    """
    return ThumbnailMaker(height, width).of_compressed(data)


def whole_thumbnail(data: Buffer, height: int, width: int) -> Thumbnail:
    """Return the same without scaled decoding: all pixels, averaged by area, as a policy server makes its images.

    Raises:
        ThumbnailError: no such image, or a damaged or truncated one.
    """
    buffer = np.frombuffer(data, np.uint8)
    _check_whole(buffer)
    return _shrunk(_decoded(buffer, 1), height, width, bgr=True)


def _check_whole(buffer: NDArray[np.uint8]) -> None:
    """OpenCV fills what is missing of a JPEG with grey, which a network would take for a grey thing."""
    start, end = buffer[:8].tobytes(), buffer[-_PADDING_SEARCHED:].tobytes()
    if start.startswith(_JPEG):
        whole = end.rstrip(b"\0").endswith(_JPEG_END)
    elif start == _PNG:
        whole = end.endswith(_PNG_END)
    else:
        raise ThumbnailError(f"{buffer.size} bytes that are neither JPEG nor PNG")
    if not whole:
        raise ThumbnailError(f"truncated image of {buffer.size} bytes")


def _decoded(buffer: NDArray[np.uint8], scale: int) -> Thumbnail:
    try:
        bgr = cv2.imdecode(buffer, _AT_SCALE[scale])
    except cv2.error as error:
        raise ThumbnailError(f"damaged image of {buffer.size} bytes") from error
    if bgr is None:
        raise ThumbnailError(f"damaged image of {buffer.size} bytes")
    return np.asarray(bgr, np.uint8)


def _shrunk(pixels: Thumbnail, height: int, width: int, *, bgr: bool) -> Thumbnail:
    if pixels.shape[:2] != (height, width):
        shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
        kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=kind), np.uint8)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8) if bgr else pixels
