# SPDX-License-Identifier: Apache-2.0
"""A camera in the network through PyAV, which is FFmpeg: rtsp://, http:// and what else FFmpeg opens.

Not through OpenCV's FFmpeg: where a stream changes its size, that fits each frame to the first one's, distorted and
without a word, and tells it nowhere.
"""

import base64
import contextlib
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any, Final

import av
import numpy as np

from so101_camera.core.frame import Frame
from so101_camera.core.frame_source import SourceSettings, without_password
from so101_camera.errors import ImageCodecError, SourceEndedError, SourceError
from so101_camera.image_codec import decode_image

OPEN_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 2.0

# Without `nobuffer` FFmpeg keeps frames back to judge the stream's rate; over UDP a lost packet tears a frame, and TCP
# is what every RTSP camera speaks.
_STREAM_OPTIONS: Final = {"rtsp_transport": "tcp", "fflags": "nobuffer"}
_DECODER_OPTIONS: Final = {"flags": "low_delay"}
_JPEG: Final = "mjpeg"


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
        with urllib.request.urlopen(request, timeout=OPEN_TIMEOUT_S) as answer:
            kind = answer.headers.get_content_type()
    except urllib.error.HTTPError as error:
        return f"it answers {error.code} {error.reason}"
    except (OSError, ValueError, HTTPException):
        return ""
    is_page = kind.startswith("text/") or kind in ("application/json", "application/xhtml+xml")
    return f"it answers with {kind}, no stream: the stream's path is another" if is_page else ""


class UrlSource:
    """Delivers pixels, and the camera's own JPEG bytes where it sends such.

    Each frame has the size that it was sent with. The capture time is that of reading: what the camera and the network
    take is not known here.
    """

    def __init__(self, settings: SourceSettings) -> None:
        """Keep the settings; nothing is opened yet."""
        self._settings = settings
        self._shown = without_password(settings.device)
        self._container: Any = None  # av's InputContainer
        self._stream: Any = None  # its first video stream
        self._packets: Iterator[Any] = iter(())
        self._decoded: deque[Any] = deque()
        self._seq = 0

    def open(self) -> None:
        """Connect; see FrameSource."""
        self.close()
        try:
            self._container = av.open(
                self._settings.device, options=dict(_STREAM_OPTIONS), timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S)
            )
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            self.close()
            raise SourceError(self._refusal()) from error
        self._stream.codec_context.options = dict(_DECODER_OPTIONS)
        self._packets = self._container.demux(self._stream)

    def close(self) -> None:
        """Disconnect; see FrameSource."""
        self._packets = iter(())
        self._decoded.clear()
        if self._container is not None:
            self._container.close()
            self._container = self._stream = None

    def read(self) -> Frame:
        """Return the next frame; see FrameSource."""
        if self._container is None:
            raise SourceError(f"{self._shown} is not open")
        end_s = time.monotonic() + READ_TIMEOUT_S
        while not self._decoded and time.monotonic() < end_s:
            packet = self._next_packet()
            if packet.size and self._stream.codec_context.name == _JPEG:
                return self._from_jpeg(bytes(packet))
            with contextlib.suppress(av.FFmpegError):  # until a stream joined in the middle has sent a whole frame
                self._decoded.extend(packet.decode())
        if not self._decoded:
            raise SourceEndedError(self._silence())
        pixels = self._decoded.popleft().to_ndarray(format="bgr24")
        return Frame(self._next_seq(), time.monotonic_ns(), bgr=np.asarray(pixels, np.uint8))

    def mismatch(self) -> str:
        """Return in words how the stream's size differs from the one given; it is set at the camera."""
        if self._container is None:
            return ""
        wanted = self._settings.captured_size
        given = (self._stream.codec_context.width, self._stream.codec_context.height)
        if wanted == given or 0 in given:
            return ""
        return "the stream is {}x{}, width and height say {}x{}; set one of them".format(*given, *wanted)

    def _refusal(self) -> str:
        answer = http_reply(self._settings.device)
        if answer:
            return f"cannot open {self._shown}: {answer}; check path, user and password"
        return (
            f"cannot open {self._shown} within {OPEN_TIMEOUT_S:g} s: check address, port, path, user and password "
            f"(ffplay {self._shown})"
        )

    def _next_packet(self) -> Any:
        """Return the next packet. Raises SourceEndedError."""
        try:
            return next(self._packets)
        except (av.FFmpegError, StopIteration) as error:
            raise SourceEndedError(self._silence()) from error

    def _from_jpeg(self, jpeg: bytes) -> Frame:
        capture_ns = time.monotonic_ns()
        try:
            return Frame(self._next_seq(), capture_ns, jpeg=jpeg, bgr=decode_image(jpeg))
        except ImageCodecError as error:
            raise SourceError(f"{self._shown} gave {error}") from error

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _silence(self) -> str:
        return f"{self._shown} gave no frame within {READ_TIMEOUT_S:g} s, or ended"
