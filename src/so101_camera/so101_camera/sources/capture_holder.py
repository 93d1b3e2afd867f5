# SPDX-License-Identifier: Apache-2.0
"""What the sources through OpenCV share: holding a cv2.VideoCapture, and the names of its pixel formats."""

from typing import Any, Final

JPEG_FORMATS: Final = ("MJPG", "JPEG")


class CaptureHolder:
    """Holds one open capture, or none."""

    def __init__(self) -> None:
        self._capture: Any = None  # a cv2.VideoCapture

    def close(self) -> None:
        """Release the device or connection; see FrameSource."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def fourcc_name(code: float) -> str:
    """Return a pixel format's four letters, such as MJPG, without what fills them up."""
    return int(code).to_bytes(4, "little").decode("latin-1").strip("\0 ")
