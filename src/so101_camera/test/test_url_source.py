# SPDX-License-Identifier: Apache-2.0
"""A camera in the network: a server of MJPEG over HTTP on the loopback interface."""

import io
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from so101_camera.core.frame import Frame
from so101_camera.core.frame_source import SourceSettings, is_url, without_password
from so101_camera.errors import SourceEndedError, SourceError
from so101_camera.image_codec import encode_jpeg, frame_size
from so101_camera.sources import url_source
from so101_camera.sources.capture_loop import CaptureLoop
from so101_camera.sources.frame_sources import make_source
from so101_camera.sources.url_source import UrlSource
from so101_node.threads import FatalSlot

GREY = np.full((48, 64, 3), 90, np.uint8)
GREY[:, :32] = 200
JPEG = encode_jpeg(GREY)


class Camera(ThreadingHTTPServer):
    """Sends one picture again and again; `stalls`: no more pictures; `ends`: closes each connection after 20."""

    daemon_threads = True
    stalls = ends = False
    status, kind = 200, "multipart/x-mixed-replace; boundary=frame"
    body = b"<html>Welcome</html>"
    period_s = 0.01
    connections = 0


class Stream(BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        self.server.connections += 1
        self.send_response(self.server.status)
        self.send_header("Content-Type", self.server.kind)
        self.end_headers()
        if "multipart" not in self.server.kind:
            self.wfile.write(self.server.body)
            return
        sent = 0
        try:
            while not (self.server.ends and sent >= 20):
                if not self.server.stalls:
                    self.wfile.write(
                        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(JPEG), JPEG)
                    )
                    sent += 1
                time.sleep(self.server.period_s)
        except OSError:
            pass

    def log_message(self, *_words: object) -> None:
        pass


@contextmanager
def http_camera() -> Iterator[Camera]:
    server = Camera(("127.0.0.1", 0), Stream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.stalls = False
    server.ends = True
    server.shutdown()
    server.server_close()


@pytest.fixture
def camera() -> Iterator[Camera]:
    with http_camera() as server:
        yield server


def settings(camera: Camera, rotation: int = 0, width: int = 64, height: int = 48) -> SourceSettings:
    url = f"http://robot:secret@127.0.0.1:{camera.server_address[1]}/video"
    return SourceSettings(url, width, height, rotation=rotation)


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_stream_is_a_camera_rotated_like_any_other(camera: Camera, rotation: int) -> None:
    size = (48, 64) if rotation else (64, 48)
    source = make_source(settings(camera, rotation, *size))
    source.open()
    assert source.mismatch() == ""
    first, second = source.read(), source.read()
    source.close()
    assert second.seq == first.seq + 1
    assert second.capture_ns > first.capture_ns
    assert first.bgr is not None
    assert np.abs(first.bgr.astype(int) - np.rot90(GREY, -1 if rotation else 0)).mean() < 4


def test_another_size_than_the_one_given_is_said(camera: Camera) -> None:
    source = make_source(settings(camera, width=640, height=480))
    source.open()
    assert source.mismatch() == "the stream is 64x48, width and height say 640x480; set one of them"
    source.close()


def test_pictures_that_change_their_size_come_as_they_are(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    square = encode_jpeg(np.full((96, 96, 3), 70, np.uint8))
    source = make_source(settings(camera))
    source.open()
    first = source.read()
    assert (first.jpeg, frame_size(first)) == (JPEG, (64, 48))
    monkeypatch.setattr(sys.modules[__name__], "JPEG", square)
    for _ in range(100):  # what is under way still comes
        frame = source.read()
        if frame.jpeg == square:
            break
    assert frame_size(frame) == (96, 96)
    assert frame.bgr is not None and frame.bgr.shape == (96, 96, 3)
    source.close()


def h264(*sizes: tuple[int, int]) -> bytes:
    """A stream that changes its size while it runs: two seconds of each, a grey left half and a dark right one."""
    stream = b""
    for width, height in sizes:
        file = io.BytesIO()
        with av.open(file, "w", format="h264") as container:
            encoder = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "g": "5"})
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            pixels = np.full((height, width, 3), 30, np.uint8)
            pixels[:, : width // 2] = 200
            for _ in range(60):
                container.mux(encoder.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
            container.mux(encoder.encode())
        stream += file.getvalue()
    return stream


def test_a_video_stream_that_changes_its_size_is_not_fitted_to_the_first_size(camera: Camera) -> None:
    camera.kind, camera.body = "video/h264", h264((64, 48), (96, 96))
    source = make_source(settings(camera))
    source.open()
    assert source.mismatch() == ""
    frames: list[Frame] = []
    with pytest.raises(SourceEndedError):
        while True:
            frames.append(source.read())
    source.close()
    sizes = [frame_size(frame) for frame in frames]
    assert set(sizes) == {(64, 48), (96, 96)} and sizes == sorted(sizes)
    last = frames[-1].bgr
    assert last is not None and last.shape == (96, 96, 3)
    assert abs(int(last[48, 24, 0]) - 200) < 10 and abs(int(last[48, 72, 0]) - 30) < 10


def test_a_stream_that_stands_still_is_an_error_in_time(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_source, "READ_TIMEOUT_S", 0.4)
    source = make_source(settings(camera))
    source.open()
    source.read()
    camera.stalls = True
    began = time.monotonic()
    with pytest.raises(SourceEndedError, match=r"gave no frame within 0\.4 s"):
        for _ in range(1000):  # what is under way still comes
            source.read()
    assert time.monotonic() - began < 5.0
    source.close()


def test_a_stream_that_ends_is_connected_again(camera: Camera) -> None:
    camera.ends = True
    frames: list[Frame] = []
    errors: list[str] = []
    loop = CaptureLoop(make_source(settings(camera)), frames.append, errors.append, FatalSlot())
    loop.start()
    end = time.monotonic() + 20.0
    while camera.connections < 3 and time.monotonic() < end:
        time.sleep(0.02)
    loop.stop(5.0)
    assert camera.connections >= 3
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert errors
    assert all("secret" not in error for error in errors)


@pytest.mark.parametrize(
    ("status", "kind", "line"),
    [
        (200, "text/html", "it answers with text/html, no stream: the stream's path is another; check path"),
        (404, "text/html", "it answers 404 Not Found; check path"),
        (401, "text/plain", "it answers 401 Unauthorized; check path, user and password"),
    ],
)
def test_a_server_that_answers_with_something_else_is_told_by_its_answer(
    camera: Camera, status: int, kind: str, line: str
) -> None:
    camera.status, camera.kind = status, kind
    with pytest.raises(SourceError, match=line) as caught:
        make_source(settings(camera)).open()
    assert "secret" not in str(caught.value)


def test_an_address_where_nobody_answers_is_one_line_without_the_password() -> None:
    with pytest.raises(SourceError, match=r"cannot open http://127.0.0.1:9/video within 3 s: check address") as caught:
        make_source(SourceSettings("http://robot:secret@127.0.0.1:9/video")).open()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["rtsp://10.0.0.3:554/stream1", "HTTP://cam.local/video", "rtsps://u:p@cam/1", "udp://@:5000"]
)
def test_a_url_is_told_from_a_path(url: str) -> None:
    assert is_url(url)
    assert isinstance(make_source(SourceSettings(url)), UrlSource)


def test_a_path_is_no_url(tmp_path: Path) -> None:
    for device in ("/dev/video0", "0", "./a:b", "file:///dev/video0", str(tmp_path)):
        assert not is_url(device)


def test_a_password_is_not_shown() -> None:
    assert without_password("rtsp://admin:p@10.0.0.3/s?a=1") == "rtsp://10.0.0.3/s?a=1"
    assert without_password("/dev/v4l/by-id/usb@1") == "/dev/v4l/by-id/usb@1"
