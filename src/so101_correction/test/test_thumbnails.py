# SPDX-License-Identifier: Apache-2.0
"""Thumbnails of frames: scaled decoding is nearly whole decoding, and what is no frame is refused."""

import cv2
import numpy as np
import pytest
from so101_correction.errors import ThumbnailError
from so101_correction.stage_times import drawn_frames
from so101_correction.thumbnails import ThumbnailMaker, thumbnail, whole_thumbnail
from so101_node.raw_image import RawLayout

FRAMES = drawn_frames(3)


def encoded(height: int, width: int, kind: str = ".jpg") -> bytes:
    """Smooth colours: rows differ in red, columns in green."""
    down, across = np.mgrid[0:height, 0:width]
    bgr = np.stack([np.full((height, width), 40), across * 255 // width, down * 255 // height], axis=-1)
    return bytes(cv2.imencode(kind, bgr.astype(np.uint8))[1])


def test_a_thumbnail_of_an_evenly_coloured_frame_has_its_colour_as_red_green_blue() -> None:
    bgr = np.full((480, 640, 3), (10, 100, 200), np.uint8)
    made = thumbnail(bytes(cv2.imencode(".jpg", bgr)[1]), 64, 80)
    assert made.shape == (64, 80, 3) and made.dtype == np.uint8
    assert np.abs(made.astype(int) - (200, 100, 10)).max() <= 3


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (1080, 1920), (240, 320), (64, 80), (481, 643), (30, 40)])
@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_scaled_decoding_is_nearly_whole_decoding(size: tuple[int, int], kind: str) -> None:
    data = encoded(*size, kind)
    difference = np.abs(thumbnail(data, 64, 80).astype(int) - whole_thumbnail(data, 64, 80))
    # Sides that are no multiple of the scale are rounded up, which moves the far edge by a part of a pixel.
    assert difference.mean() < 1.5 and difference.max() < 12


def test_of_a_busy_frame_with_noise_it_is_within_a_level_or_so() -> None:
    for data in FRAMES:
        difference = np.abs(thumbnail(data, 64, 80).astype(int) - whole_thumbnail(data, 64, 80))
        assert difference.mean() < 1 and np.percentile(difference, 99) <= 6


def test_later_frames_are_made_as_the_first() -> None:
    maker = ThumbnailMaker(64, 80)
    for data in FRAMES:
        np.testing.assert_array_equal(maker.of_compressed(data), thumbnail(data, 64, 80))


def test_other_buffers_are_read_as_bytes() -> None:
    expected = thumbnail(FRAMES[0], 64, 80)
    for kind in (bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)):
        np.testing.assert_array_equal(thumbnail(kind(FRAMES[0]), 64, 80), expected)


def test_a_size_that_changes_while_running_is_named_until_it_is_right_again() -> None:
    maker = ThumbnailMaker(64, 80)
    maker.of_compressed(encoded(480, 640))
    with pytest.raises(ThumbnailError, match="frame of about 1280 x 720: its size changed, it was about 640 x 480"):
        maker.of_compressed(encoded(720, 1280))
    maker.of_compressed(encoded(480, 640))
    maker.forget()
    assert maker.of_compressed(encoded(720, 1280)).shape == (64, 80, 3)


@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_a_truncated_frame_is_refused(kind: str) -> None:
    data = encoded(480, 640, kind)
    for length in (20, len(data) // 2, len(data) - 1):
        with pytest.raises(ThumbnailError, match=f"truncated image of {length} bytes"):
            thumbnail(data[:length], 64, 80)


def test_what_pads_a_frame_is_no_fault() -> None:
    np.testing.assert_array_equal(thumbnail(FRAMES[0] + bytes(500), 64, 80), thumbnail(FRAMES[0], 64, 80))


@pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a......"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(ThumbnailError, match=f"{len(data)} bytes that are neither JPEG nor PNG"):
        thumbnail(data, 64, 80)


def test_a_damaged_frame_is_refused() -> None:
    with pytest.raises(ThumbnailError, match="damaged image of 104 bytes"):
        thumbnail(b"\xff\xd8" + bytes(range(100)) + b"\xff\xd9", 64, 80)


def test_raw_frames_give_the_same_picture() -> None:
    bgr = cv2.imdecode(np.frombuffer(encoded(480, 640, ".png"), np.uint8), cv2.IMREAD_COLOR)
    made = ThumbnailMaker(64, 80).of_raw(bgr.tobytes(), RawLayout("bgr8", 480, 640, 1920))
    np.testing.assert_array_equal(made, whole_thumbnail(encoded(480, 640, ".png"), 64, 80))


def test_a_raw_frame_that_is_none_or_has_another_size_is_refused() -> None:
    maker = ThumbnailMaker(64, 80)
    maker.of_raw(bytes(480 * 640), RawLayout("mono8", 480, 640, 640))
    with pytest.raises(ThumbnailError, match="its size changed"):
        maker.of_raw(bytes(240 * 320), RawLayout("mono8", 240, 320, 320))
    with pytest.raises(ThumbnailError, match="too few for 640 x 480"):
        maker.of_raw(bytes(100), RawLayout("mono8", 480, 640, 640))
    with pytest.raises(ThumbnailError, match="image encoding '16UC1'"):
        maker.of_raw(bytes(480 * 640 * 2), RawLayout("16UC1", 480, 640, 1280))
