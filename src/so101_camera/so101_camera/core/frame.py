# SPDX-License-Identifier: Apache-2.0
"""One captured frame, as the source gave it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so101_camera.errors import FrameShapeError

Pixels = NDArray[np.uint8]
"""(height, width, 3), blue, green, red."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame: JPEG bytes, or pixels, or both.

    Attributes:
        seq: rises by one with every captured frame of this camera, also across reconnections.
        capture_ns: monotonic clock of this host at capture, ns.
        jpeg: a whole JPEG file; None when the source gave pixels only.
        bgr: (height, width, 3) uint8, never written to after it is put here; None when the source gave JPEG.

    Raises:
        FrameShapeError: neither is there, or the pixels are no (height, width, 3) uint8.
    """

    seq: int
    capture_ns: int
    jpeg: bytes | None = None
    bgr: Pixels | None = None

    def __post_init__(self) -> None:
        if self.jpeg is None and self.bgr is None:
            raise FrameShapeError("a frame needs jpeg bytes or pixels, got neither")
        if self.bgr is not None:
            check_pixels(self.bgr)


def check_pixels(bgr: Pixels) -> None:
    """Raise FrameShapeError where an array is no (height, width, 3) uint8 pixels of a frame."""
    if not isinstance(bgr, np.ndarray):
        raise FrameShapeError(f"expected (height, width, 3) uint8 pixels, got a {type(bgr).__name__}")
    if bgr.ndim != 3 or bgr.shape[2] != 3 or bgr.dtype != np.uint8 or not bgr.size:
        raise FrameShapeError(f"expected (height, width, 3) uint8 pixels, got {bgr.shape} {bgr.dtype}")
