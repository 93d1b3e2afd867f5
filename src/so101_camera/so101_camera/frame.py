"""One captured picture, as the source gave it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured picture: JPEG bytes, or pixels, or both.

    Attributes:
        seq: rises by one with every captured frame of this camera, also across reconnections.
        capture_ns: monotonic clock of this host at capture, ns.
        jpeg: a whole JPEG file; None when the source gave pixels only.
        bgr: (height, width, 3) uint8, never written to after it is put here; None when the source gave JPEG.
    """

    seq: int
    capture_ns: int
    jpeg: bytes | None = None
    bgr: Image | None = None

    def __post_init__(self) -> None:
        if self.jpeg is None and self.bgr is None:
            raise ValueError("a frame needs jpeg bytes or pixels, got neither")
        if self.bgr is not None and (self.bgr.ndim != 3 or self.bgr.shape[2] != 3 or self.bgr.dtype != np.uint8):
            raise ValueError(f"expected (height, width, 3) uint8 pixels, got {self.bgr.shape} {self.bgr.dtype}")
