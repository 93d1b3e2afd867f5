# SPDX-License-Identifier: Apache-2.0
"""A Video4Linux2 device, seen through a stand-in for cv2.VideoCapture that answers as the real one does."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from so101_camera.core.frame_source import SourceSettings
from so101_camera.errors import SourceError
from so101_camera.image_codec import encode_jpeg
from so101_camera.sources.opencv_source import OpenCvSource

JPEG = encode_jpeg(np.full((48, 64, 3), 90, np.uint8))


class RecordedCapture:
    """Gives prepared reads, keeps what was set, and offers only the pixel formats it was made with."""

    def __init__(self, reads: list[np.ndarray | None], fourcc: str = "MJPG", opened: bool = True) -> None:
        self.reads = reads
        self.opened = opened
        self.released = False
        self.stamp_ms = 0.0
        self.properties: dict[int, float] = {cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*fourcc)}

    def isOpened(self) -> bool:
        return self.opened

    def set(self, key: int, value: float) -> bool:
        if key != cv2.CAP_PROP_FOURCC:
            self.properties[key] = value
        return True

    def get(self, key: int) -> float:
        return self.stamp_ms if key == cv2.CAP_PROP_POS_MSEC else self.properties.get(key, 0.0)

    def read(self) -> tuple[bool, np.ndarray | None]:
        data = self.reads.pop(0) if self.reads else None
        return data is not None, data

    def release(self) -> None:
        self.released = True


def source_of(capture: RecordedCapture, tmp_path: Path) -> OpenCvSource:
    device = tmp_path / "video0"
    device.touch()
    return OpenCvSource(SourceSettings(str(device)), opener=lambda _path: capture)


def as_row(data: bytes) -> np.ndarray:
    """The shape in which OpenCV gives undecoded buffers."""
    return np.frombuffer(data, np.uint8)[None, :]


def test_mjpg_bytes_are_passed_through_untouched_and_undecoded(tmp_path: Path) -> None:
    capture = RecordedCapture([as_row(JPEG)])
    source = source_of(capture, tmp_path)
    source.open()
    frame = source.read()
    assert frame.jpeg == JPEG
    assert frame.bgr is None
    assert capture.properties[cv2.CAP_PROP_CONVERT_RGB] == 0


def test_a_camera_without_mjpg_gives_pixels(tmp_path: Path) -> None:
    capture = RecordedCapture([np.full((48, 64, 3), 5, np.uint8)], fourcc="YUYV")
    source = source_of(capture, tmp_path)
    source.open()
    frame = source.read()
    assert frame.jpeg is None
    assert frame.bgr is not None
    assert frame.bgr.shape == (48, 64, 3)
    assert "YUYV" in source.mismatch()


def test_the_kernels_time_stamp_is_the_capture_time(tmp_path: Path) -> None:
    capture = RecordedCapture([as_row(JPEG)])
    source = source_of(capture, tmp_path)
    source.open()
    capture.stamp_ms = time.monotonic_ns() / 1e6 - 20
    frame = source.read()
    assert frame.capture_ns == pytest.approx(capture.stamp_ms * 1e6, abs=1000)


def test_a_time_stamp_of_another_clock_is_replaced_by_the_time_of_reading(tmp_path: Path) -> None:
    capture = RecordedCapture([as_row(JPEG)])
    source = source_of(capture, tmp_path)
    source.open()
    capture.stamp_ms = time.time() * 1e3
    before = time.monotonic_ns()
    assert source.read().capture_ns >= before


def test_capture_times_never_run_backwards(tmp_path: Path) -> None:
    capture = RecordedCapture([as_row(JPEG), as_row(JPEG)])
    source = source_of(capture, tmp_path)
    source.open()
    first = source.read()  # without a time stamp: the time of reading
    capture.stamp_ms = first.capture_ns / 1e6 - 30
    assert source.read().capture_ns == first.capture_ns


def test_a_torn_buffer_is_an_error_and_not_a_frame(tmp_path: Path) -> None:
    source = source_of(RecordedCapture([as_row(b"\0" * 100), as_row(JPEG)]), tmp_path)
    source.open()
    with pytest.raises(SourceError, match="100 bytes that are no JPEG"):
        source.read()
    assert source.read().jpeg == JPEG


@pytest.mark.parametrize(("before", "expected"), [(None, "1"), ("5", "5")])
def test_opencv_waits_one_second_for_a_frame_unless_the_user_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, expected: str
) -> None:
    name = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
    monkeypatch.setenv(name, before or "")  # so that it is as before after the test
    if before is None:
        monkeypatch.delenv(name)
    at_opening = []

    def capture(_path: str, _backend: int) -> RecordedCapture:
        at_opening.append(os.environ.get(name))
        return RecordedCapture([])

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    (tmp_path / "video0").touch()
    OpenCvSource(SourceSettings(str(tmp_path / "video0"))).open()
    assert at_opening == [expected]


def test_a_device_that_gives_nothing_is_an_error(tmp_path: Path) -> None:
    source = source_of(RecordedCapture([]), tmp_path)
    source.open()
    with pytest.raises(SourceError, match="gave no frame"):
        source.read()


def test_a_busy_device_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    capture = RecordedCapture([], opened=False)
    with pytest.raises(SourceError, match="fuser"):
        source_of(capture, tmp_path).open()
    assert capture.released


def test_closing_twice_releases_the_device_once_and_does_not_fail(tmp_path: Path) -> None:
    capture = RecordedCapture([])
    source = source_of(capture, tmp_path)
    source.open()
    source.close()
    source.close()
    assert capture.released


def test_an_unplugged_device_says_so(tmp_path: Path) -> None:
    source = source_of(RecordedCapture([]), tmp_path)
    (tmp_path / "video0").unlink()
    with pytest.raises(SourceError, match="plug the camera in"):
        source.open()
