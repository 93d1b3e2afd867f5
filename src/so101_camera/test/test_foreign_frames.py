# SPDX-License-Identifier: Apache-2.0
"""Image messages of other drivers as frames."""

from array import array

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from so101_camera.errors import ImageCodecError
from so101_camera.image_codec import encode_jpeg
from so101_camera.ros.foreign_frames import ForeignFrames
from std_msgs.msg import Header

BGR = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def compressed(data: bytes, sec: int = 1) -> CompressedImage:
    message = CompressedImage(header=Header(stamp=Time(sec=sec)), format="rgb8; jpeg compressed bgr8")
    message.data = array("B", data)
    return message


def raw(pixels: np.ndarray, encoding: str, **changes: int) -> Image:
    values = {"height": 24, "width": 32, "step": pixels.size // 24, **changes}
    message = Image(encoding=encoding, **values)
    message.data = array("B", pixels.tobytes())
    return message


def test_jpeg_bytes_are_passed_on_untouched() -> None:
    data = encode_jpeg(BGR)
    frame = ForeignFrames().frame_of(compressed(data), 7)
    assert frame is not None
    assert (frame.seq, frame.capture_ns, frame.jpeg, frame.bgr) == (1, 7, data, None)


def test_png_and_raw_pictures_become_pixels() -> None:
    frames = ForeignFrames()
    png = frames.frame_of(compressed(cv2.imencode(".png", BGR)[1].tobytes(), 1), 1)
    rgb = frames.frame_of(raw(np.ascontiguousarray(BGR[:, :, ::-1]), "rgb8"), 2)
    bgr = frames.frame_of(raw(BGR, "bgr8"), 3)
    for seq, frame in enumerate((png, rgb, bgr), start=1):
        assert frame is not None
        assert frame.seq == seq
        assert np.array_equal(frame.bgr, BGR)


def test_the_same_stamp_again_is_no_new_picture_but_drivers_without_stamps_are_believed() -> None:
    frames = ForeignFrames()
    data = encode_jpeg(BGR)
    assert frames.frame_of(compressed(data, 5), 1) is not None
    assert frames.frame_of(compressed(data, 5), 2) is None
    assert frames.frame_of(compressed(data, 6), 3).seq == 2  # type: ignore[union-attr]
    assert frames.frame_of(compressed(data, 0), 4).seq == 3  # type: ignore[union-attr]
    assert frames.frame_of(compressed(data, 0), 5).seq == 4  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "message",
    [
        compressed(b""),
        compressed(b"garbage"),
        raw(BGR, "rgb8", height=480, width=640, step=1920),
        raw(BGR, "no_such_encoding"),
        Image(),
    ],
)
def test_what_cannot_be_read_is_one_line_and_the_next_good_one_counts_on(message: Image | CompressedImage) -> None:
    frames = ForeignFrames()
    with pytest.raises(ImageCodecError) as error:
        frames.frame_of(message, 1)
    assert "\n" not in str(error.value)
    frame = frames.frame_of(raw(BGR, "bgr8"), 2)
    assert frame is not None
    assert frame.seq == 1


@pytest.mark.parametrize(
    ("encoding", "channels"),
    [
        ("bgr8", 3),
        ("rgb8", 3),
        ("8UC3", 3),
        ("bgra8", 4),
        ("mono8", 1),
        ("yuv422_yuy2", 2),
        ("uyvy", 2),
        ("bayer_rggb8", 1),
    ],
)
def test_rows_that_are_longer_than_their_pixels_are_read_as_they_are_meant(encoding: str, channels: int) -> None:
    """As drivers align them: a grey picture stays grey, whatever stands in the rest of its rows."""
    rows = np.full((24, 32 * channels + 30), 255, np.uint8)
    rows[:, : 32 * channels] = 128
    message = Image(height=24, width=32, encoding=encoding, step=rows.shape[1], data=rows.tobytes())
    frame = ForeignFrames().frame_of(message, 1)
    assert frame is not None and frame.bgr is not None and frame.bgr.shape == (24, 32, 3)
    assert abs(frame.bgr.astype(int) - 128).max() <= 3
