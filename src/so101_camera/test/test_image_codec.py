"""One codec for cameras, virtual cameras and data recording."""

import numpy as np
import pytest
from so101_camera.frame import Frame
from so101_camera.image_codec import ImageCodecError, decode_image, encode_jpeg, encode_png, jpeg_of, pixels_of


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
