# SPDX-License-Identifier: Apache-2.0
"""A camera device through OpenCV's Video4Linux2 backend."""

import os
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from so101_camera.core.frame import Frame
from so101_camera.core.frame_source import SourceSettings, device_path
from so101_camera.errors import SourceError
from so101_camera.image_codec import JPEG_START

# A grab of a healthy camera takes at most one period (100 ms at 10 fps); OpenCV's own limit of 10 s would hide a camera
# that has stopped for that long. Its Video4Linux2 backend knows no property for it, only this variable, in whole
# seconds, which it reads once in a process, at the first wait for a frame.
READ_TIMEOUT_VARIABLE = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
READ_TIMEOUT_S = "1"

# The kernel stamps a frame on the monotonic clock when its transfer ends. A stamp outside this window is on another
# clock, and the time of reading is used.
PLAUSIBLE_AGE_NS = 1_000_000_000

JPEG_FORMATS = ("MJPG", "JPEG")

Opener = Callable[[str], Any]


def _open_capture(path: str) -> cv2.VideoCapture:
    os.environ.setdefault(READ_TIMEOUT_VARIABLE, READ_TIMEOUT_S)
    return cv2.VideoCapture(path, cv2.CAP_V4L2)


class OpenCvSource:
    """Delivers the camera's own JPEG bytes where it gives MJPG, else pixels."""

    def __init__(self, settings: SourceSettings, opener: Opener = _open_capture) -> None:
        """Keep the settings; nothing is opened yet. `opener` makes a cv2.VideoCapture from a device path."""
        self._settings = settings
        self._path = device_path(settings.device)
        self._opener = opener
        self._capture: Any = None  # a cv2.VideoCapture
        self._passes_jpeg = False
        self._seq = 0
        self._last_capture_ns = 0

    @property
    def passes_jpeg(self) -> bool:
        """Whether the opened device delivers JPEG bytes, which are passed through untouched."""
        return self._passes_jpeg

    def open(self) -> None:
        """Open and configure the device; see FrameSource."""
        self.close()
        if not self._path.exists():
            raise SourceError(f"{self._path} is gone; plug the camera in again")
        capture = self._opener(str(self._path))
        if not capture.isOpened():
            capture.release()
            raise SourceError(
                f"cannot open {self._path}: it is no capture device, another program holds it (fuser {self._path}), "
                "or this user is not in group video"
            )
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self._settings.fourcc))
        width, height = self._settings.captured_size
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        capture.set(cv2.CAP_PROP_FPS, self._settings.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)
        self._passes_jpeg = fourcc_name(capture.get(cv2.CAP_PROP_FOURCC)) in JPEG_FORMATS
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0 if self._passes_jpeg else 1)
        self._capture = capture

    def close(self) -> None:
        """Release the device; see FrameSource."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def read(self) -> Frame:
        """Return the next frame; see FrameSource."""
        if self._capture is None:
            raise SourceError(f"{self._path} is not open")
        ok, data = self._capture.read()
        now_ns = time.monotonic_ns()
        if not ok or data is None:
            raise SourceError(f"{self._path} gave no frame in time")
        stamp_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        capture_ns = stamp_ns if 0 <= now_ns - stamp_ns < PLAUSIBLE_AGE_NS else now_ns
        # A driver that stamps only some frames must not make time run backwards.
        capture_ns = self._last_capture_ns = max(capture_ns, self._last_capture_ns)
        self._seq += 1
        if not self._passes_jpeg:
            return Frame(self._seq, capture_ns, bgr=np.asarray(data, np.uint8))
        jpeg = np.asarray(data, np.uint8).tobytes()
        if not jpeg.startswith(JPEG_START):
            # UVC cameras give an empty or torn buffer now and then, mostly the first after opening.
            raise SourceError(f"{self._path} gave {len(jpeg)} bytes that are no JPEG")
        return Frame(self._seq, capture_ns, jpeg=jpeg)

    def mismatch(self) -> str:
        """Return in words what the opened device gives otherwise than asked; empty when it is as asked."""
        if self._capture is None:
            return ""
        wanted = (*self._settings.captured_size, self._settings.fourcc)
        given = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            fourcc_name(self._capture.get(cv2.CAP_PROP_FOURCC)),
        )
        if wanted == given:
            return ""
        text = "asked {}x{} {}, the camera gives {}x{} {}".format(*wanted, *given)
        if wanted[:2] == given[1::-1] and self._settings.captured_size != (self._settings.width, self._settings.height):
            text += f"; width and height are those after rotation: write width: {given[1]}, height: {given[0]}"
        return text


def fourcc_name(code: float) -> str:
    """Return a pixel format's four letters, such as MJPG, without what fills them up."""
    return int(code).to_bytes(4, "little").decode("latin-1").strip("\0 ")
