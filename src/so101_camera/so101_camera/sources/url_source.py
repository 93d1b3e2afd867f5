# SPDX-License-Identifier: Apache-2.0
"""A camera in the network through OpenCV's FFmpeg backend: rtsp://, http:// and what else FFmpeg opens."""

import base64
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException

import cv2
import numpy as np

from so101_camera.core.frame import Frame
from so101_camera.core.frame_source import SourceSettings, without_password
from so101_camera.errors import ImageCodecError, SourceEndedError, SourceError
from so101_camera.image_codec import decode_image
from so101_camera.sources.capture_holder import JPEG_FORMATS, CaptureHolder, fourcc_name

OPEN_TIMEOUT_MS = 3000
READ_TIMEOUT_MS = 2000

# Read once, when a stream is opened. Without `nobuffer` FFmpeg keeps frames back to judge the stream's rate; over UDP a
# lost packet tears a frame, and TCP is what every RTSP camera speaks.
OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"


def http_reply(url: str) -> str:
    """Return in words what an http(s) server answers where that is no stream of frames; "" where nobody can tell."""
    if not url.lower().startswith(("http://", "https://")):
        return ""
    try:
        request = urllib.request.Request(without_password(url))
        user = urllib.parse.urlsplit(url).netloc.rpartition("@")[0]
        if user:
            code = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
            request.add_header("Authorization", f"Basic {code}")
        with urllib.request.urlopen(request, timeout=OPEN_TIMEOUT_MS / 1000) as answer:
            kind = answer.headers.get_content_type()
    except urllib.error.HTTPError as error:
        return f"it answers {error.code} {error.reason}"
    except (OSError, ValueError, HTTPException):
        return ""
    is_page = kind.startswith("text/") or kind in ("application/json", "application/xhtml+xml")
    return f"it answers with {kind}, no stream: the stream's path is another" if is_page else ""


class UrlSource(CaptureHolder):
    """Delivers pixels, and the camera's own JPEG bytes where it sends such.

    The capture time is that of reading: what the camera and the network take is not known here.
    """

    def __init__(self, settings: SourceSettings) -> None:
        """Keep the settings; nothing is opened yet."""
        super().__init__()
        self._settings = settings
        self._shown = without_password(settings.device)
        self._gives_jpeg = False
        self._seq = 0

    def open(self) -> None:
        """Connect; see FrameSource."""
        self.close()
        os.environ.setdefault(OPTIONS_VARIABLE, OPTIONS)
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
        capture = cv2.VideoCapture(self._settings.device, cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            capture.release()
            answer = http_reply(self._settings.device)
            if answer:
                raise SourceError(f"cannot open {self._shown}: {answer}; check path, user and password")
            raise SourceError(
                f"cannot open {self._shown} within {OPEN_TIMEOUT_MS / 1000:g} s: check address, port, path, user and "
                f"password (ffplay {self._shown})"
            )
        # Where the frames change their size OpenCV fits each to the first one's, distorted and without a word. A
        # stream of JPEG is therefore read as it comes; its bytes are then also passed on untouched.
        is_jpeg = fourcc_name(capture.get(cv2.CAP_PROP_FOURCC)) in JPEG_FORMATS
        self._gives_jpeg = is_jpeg and bool(capture.set(cv2.CAP_PROP_FORMAT, -1))
        self._capture = capture

    def read(self) -> Frame:
        """Return the next frame; see FrameSource."""
        if self._capture is None:
            raise SourceError(f"{self._shown} is not open")
        ok, data = self._capture.read()
        if not ok or data is None:
            raise SourceEndedError(f"{self._shown} gave no frame within {READ_TIMEOUT_MS / 1000:g} s, or ended")
        capture_ns = time.monotonic_ns()
        self._seq += 1
        if not self._gives_jpeg:
            return Frame(self._seq, capture_ns, bgr=np.asarray(data, np.uint8))
        jpeg = np.asarray(data, np.uint8).tobytes()
        try:
            return Frame(self._seq, capture_ns, jpeg=jpeg, bgr=decode_image(jpeg))
        except ImageCodecError as error:
            raise SourceError(f"{self._shown} gave {error}") from error

    def mismatch(self) -> str:
        """Return in words how the stream's size differs from the one given; it is set at the camera."""
        if self._capture is None:
            return ""
        wanted = self._settings.captured_size
        given = (int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        if wanted == given or 0 in given:
            return ""
        return "the stream is {}x{}, width and height say {}x{}; set one of them".format(*given, *wanted)
