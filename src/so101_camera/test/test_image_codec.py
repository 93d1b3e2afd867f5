# SPDX-License-Identifier: Apache-2.0
"""One codec for cameras, virtual cameras and data recording."""

import cv2
import numpy as np
import pytest
from so101_camera.core.frame import Frame
from so101_camera.errors import ImageCodecError
from so101_camera.image_codec import (
    decode_image,
    encode_jpeg,
    encode_png,
    frame_size,
    jpeg_of,
    pixels_of,
    resized_png,
)
from so101_node.resizing import resized


def gradient() -> np.ndarray:
    rows, columns = np.mgrid[0:48, 0:64].astype(np.uint8)
    return np.ascontiguousarray(np.stack([rows * 4, columns * 3, rows + columns], axis=2))


def test_png_gives_back_exactly_the_pixels() -> None:
    assert np.array_equal(decode_image(encode_png(gradient())), gradient())


def test_jpeg_gives_back_nearly_the_pixels_in_the_same_channel_order() -> None:
    error = np.abs(decode_image(encode_jpeg(gradient())).astype(int) - gradient())
    assert error.mean() < 4


def test_the_same_pixels_give_the_same_bytes() -> None:
    assert encode_jpeg(gradient()) == encode_jpeg(gradient().copy())


def test_a_lower_quality_gives_fewer_bytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert len(encode_jpeg(noise, 30)) < len(encode_jpeg(noise, 95))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"GET / HTTP/1.1"])
def test_bytes_that_are_no_picture_raise(data: bytes) -> None:
    with pytest.raises(ImageCodecError, match=f"{len(data)} bytes"):
        decode_image(data)


def test_a_frames_own_jpeg_bytes_are_handed_on_unchanged() -> None:
    data = encode_jpeg(gradient(), 55)
    assert jpeg_of(Frame(1, 0, jpeg=data, bgr=gradient())) is data


def test_pixels_of_a_jpeg_frame_are_decoded() -> None:
    data = encode_jpeg(gradient())
    assert np.array_equal(pixels_of(Frame(1, 0, jpeg=data)), decode_image(data))


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]])
def test_the_size_of_a_jpeg_is_read_from_its_header(options: list[int]) -> None:
    data = bytes(cv2.imencode(".jpg", gradient(), options)[1])
    assert frame_size(Frame(1, 0, jpeg=data)) == (64, 48)
    assert frame_size(Frame(1, 0, bgr=gradient())) == (64, 48)
    table, fill = b"\xff\xdb\x00\x04\x00\x00", b"\xff"
    assert frame_size(Frame(1, 0, jpeg=data[:2] + table + fill + data[2:])) == (64, 48)


def on_its_side(data: bytes) -> Frame:
    """The JPEG with a tag that says so."""
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + bytes(4)
    exif = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    return Frame(1, 0, jpeg=data[:2] + exif + data[2:])


def test_a_picture_that_says_it_lies_on_its_side_has_the_size_it_is_decoded_to() -> None:
    frame = on_its_side(encode_jpeg(gradient()))
    assert pixels_of(frame).shape == (64, 48, 3)
    assert frame_size(frame) == (48, 64)


def test_a_frame_that_says_it_lies_on_its_side_is_resized_as_the_sensor_gave_it() -> None:
    data = encode_jpeg(gradient())
    png = resized_png(on_its_side(data), 12, 16)
    assert png is not None
    assert np.array_equal(decode_image(png), resized(decode_image(data), 12, 16))
    assert resized_png(on_its_side(data), 16, 12) is None


@pytest.mark.parametrize(
    "data", [b"\xff\xd8", b"\xff\xd8\xff\xc0\x00", b"\xff\xd8" + b"\xff" * 40, b"\xff\xd8" + bytes(40)]
)
def test_a_torn_header_has_no_size(data: bytes) -> None:
    with pytest.raises(ImageCodecError, match=f"{len(data)} bytes of JPEG without a frame header"):
        frame_size(Frame(1, 0, jpeg=data))


def test_a_frame_at_the_policys_size_has_the_pixels_that_the_server_would_make() -> None:
    data = encode_jpeg(gradient())
    as_file, encoded_here = Frame(1, 5, jpeg=data), Frame(1, 5, jpeg=data, bgr=gradient())
    for frame, pixels in ((as_file, decode_image(data)), (encoded_here, gradient())):
        png = resized_png(frame, 12, 16)
        assert png is not None
        assert np.array_equal(decode_image(png), resized(pixels, 12, 16))


@pytest.mark.parametrize(
    "size", [(48, 64), (96, 128), (24, 96), (24, 24), (24, 43)], ids=["same", "larger", "wider", "square", "16:9"]
)
def test_a_frame_that_would_not_be_smaller_or_would_be_distorted_goes_as_captured(size: tuple[int, int]) -> None:
    assert resized_png(Frame(1, 0, jpeg=encode_jpeg(gradient())), *size, lossless=True) is None


def test_a_frame_whose_png_would_have_more_bytes_than_its_jpeg_goes_as_captured() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    coarse = encode_jpeg(noise, 10)
    for frame in (Frame(1, 0, jpeg=coarse), Frame(1, 0, bgr=noise)):
        assert resized_png(frame, 45, 60) is None
        assert resized_png(frame, 45, 60, lossless=True) is not None
    assert resized_png(Frame(1, 0, jpeg=encode_jpeg(noise, 100)), 12, 16) is not None
