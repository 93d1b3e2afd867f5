# SPDX-License-Identifier: Apache-2.0
"""Frames of every source turned as LeRobot turns them: width and height are those after rotation."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from so101_camera.core.frame_source import SourceSettings
from so101_camera.errors import SourceError
from so101_camera.image_codec import decode_image, encode_jpeg
from so101_camera.sources import opencv_source
from so101_camera.sources.frame_sources import make_source
from so101_camera.sources.rotated_source import ROTATIONS, RotatedSource, rotate, rotated_frame
from test_opencv_source import RecordedCapture, as_row, source_of

WIDE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
TURNS = {0: 0, 90: -1, 180: 2, 270: 1, -90: 1}  # of np.rot90, which counts quarter turns counter-clockwise


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_pixels_are_turned_clockwise_by_the_degrees_given(rotation: int) -> None:
    assert np.array_equal(rotate(WIDE, rotation), np.rot90(WIDE, TURNS[rotation]))


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_folders_jpeg_is_decoded_and_turned_and_passed_through_untouched_at_0(rotation: int, tmp_path: Path) -> None:
    data = encode_jpeg(WIDE)
    (tmp_path / "0.jpg").write_bytes(data)
    source = make_source(SourceSettings(str(tmp_path), rotation=rotation))
    source.open()
    frame = source.read()
    if rotation == 0:
        assert frame.jpeg == data
    else:
        assert frame.jpeg is None
        assert frame.bgr is not None
        assert np.array_equal(frame.bgr, np.rot90(decode_image(data), TURNS[rotation]))


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_video_files_frames_are_turned(rotation: int, tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (64, 48))
    for _ in range(3):
        writer.write(WIDE)
    writer.release()
    expected = cv2.VideoCapture(str(path)).read()[1]
    source = make_source(SourceSettings(str(path), rotation=rotation))
    source.open()
    frame = source.read()
    source.close()
    assert frame.bgr is not None
    assert np.array_equal(frame.bgr, np.rot90(expected, TURNS[rotation]))


@pytest.mark.parametrize("rotation", [90, 180, 270, -90])
@pytest.mark.parametrize("fourcc", ["MJPG", "YUYV"])
def test_a_device_is_asked_for_the_size_before_rotation_and_its_frames_are_turned(
    rotation: int, fourcc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode_jpeg(WIDE)
    capture = RecordedCapture([as_row(data) if fourcc == "MJPG" else WIDE], fourcc=fourcc)
    monkeypatch.setattr(opencv_source, "_open_capture", lambda _path: capture)
    (tmp_path / "video0").touch()
    size = (48, 64) if rotation % 180 else (64, 48)
    settings = SourceSettings(str(tmp_path / "video0"), *size, fourcc=fourcc, rotation=rotation)
    source = RotatedSource(opencv_source.OpenCvSource(settings, opener=lambda _path: capture), rotation)
    source.open()
    assert (capture.properties[cv2.CAP_PROP_FRAME_WIDTH], capture.properties[cv2.CAP_PROP_FRAME_HEIGHT]) == (64, 48)
    assert source.mismatch() == ""
    frame = source.read()
    before = decode_image(data) if fourcc == "MJPG" else WIDE
    assert frame.bgr is not None
    assert frame.bgr.shape == (*size[::-1], 3)
    assert np.array_equal(frame.bgr, np.rot90(before, TURNS[rotation]))


def test_a_size_before_rotation_is_told_from_one_after_it(tmp_path: Path) -> None:
    class Wide(RecordedCapture):
        def set(self, key: int, value: float) -> bool:
            return key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT) or super().set(key, value)

    capture = Wide([])
    capture.properties.update({cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480})
    (tmp_path / "video0").touch()
    settings = SourceSettings(str(tmp_path / "video0"), 640, 480, rotation=90)
    source = opencv_source.OpenCvSource(settings, opener=lambda _path: capture)
    source.open()
    assert "asked 480x640 MJPG, the camera gives 640x480 MJPG" in source.mismatch()
    assert "write width: 480, height: 640" in source.mismatch()


def test_a_torn_jpeg_is_an_error_and_not_a_frame(tmp_path: Path) -> None:
    torn = encode_jpeg(WIDE)[:30]
    source = RotatedSource(source_of(RecordedCapture([as_row(torn), as_row(encode_jpeg(WIDE))]), tmp_path), 180)
    source.open()
    with pytest.raises(SourceError, match="cannot be rotated"):
        source.read()
    assert source.read().seq == 2


@pytest.mark.long
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_lerobots_camera_gives_the_same_pixels(rotation: int, tmp_path: Path) -> None:
    opencv = pytest.importorskip("lerobot.cameras.opencv")
    size = (48, 64) if rotation % 180 else (64, 48)
    settings = opencv.OpenCVCameraConfig(index_or_path=0, width=size[0], height=size[1], fps=30, rotation=rotation)
    theirs = opencv.OpenCVCamera(settings)._postprocess_image(WIDE)[:, :, ::-1]  # RGB
    source = source_of(RecordedCapture([WIDE], fourcc="YUYV"), tmp_path)
    source.open()
    ours = rotated_frame(source.read(), rotation).bgr
    assert np.array_equal(ours, theirs)
