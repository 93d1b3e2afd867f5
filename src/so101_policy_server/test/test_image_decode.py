# SPDX-License-Identifier: Apache-2.0
"""Decoding: what a good frame becomes, and that every bad one is a one-line error."""

from __future__ import annotations

import array
import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from so101_policy_server.core.image import ImageDecodeError
from so101_policy_server.inference import image_decode
from so101_policy_server.inference.image_decode import decode_image


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth random picture, (H, W, 3) uint8 RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encode(rgb: np.ndarray, extension: str = ".jpg") -> bytes:
    ok, buffer = cv2.imencode(extension, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert ok
    return buffer.tobytes()


def test_a_png_of_the_right_size_comes_back_bit_for_bit_in_rgb() -> None:
    rgb = picture()
    assert np.array_equal(decode_image(encode(rgb, ".png"), "png", 48, 64), rgb)


def test_a_jpeg_keeps_its_colours_in_rgb_order() -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    decoded = decode_image(encode(red), "jpeg", 48, 64)
    assert decoded.shape == (48, 64, 3) and decoded.dtype == np.uint8
    assert np.abs(decoded.reshape(-1, 3).mean(0) - [200, 0, 0]).max() < 3


def test_shrinking_averages_areas() -> None:
    rgb = picture()
    expected = rgb.reshape(24, 2, 32, 2, 3).astype(np.float64).mean((1, 3))
    assert np.abs(decode_image(encode(rgb, ".png"), "png", 24, 32) - expected).max() <= 0.5


def test_growing_interpolates_to_the_wanted_size() -> None:
    assert decode_image(encode(picture(), ".png"), "png", 96, 128).shape == (96, 128, 3)


def test_without_a_size_the_picture_stays_as_it_is() -> None:
    rgb = picture(90, 160)
    assert np.array_equal(decode_image(encode(rgb, ".png"), "png", None, None), rgb)


SAMPLINGS = {"444": 0x111111, "422": 0x211111, "420": 0x221111, "440": 0x121111, "411": 0x411111}


def by_opencv(data: bytes) -> np.ndarray:
    """What policies were trained on: OpenCV's own pixels, RGB."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("size", [(480, 640), (477, 637), (33, 17), (1, 1)])
@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_every_kind_of_jpeg_has_opencvs_pixels_bit_for_bit(sampling: int, progressive: int, size) -> None:
    noise = np.random.default_rng(3).integers(-20, 20, (*size, 3))
    rgb = np.clip(picture(*size).astype(np.int16) + noise, 0, 255).astype(np.uint8)
    for quality in (40, 80, 100):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
        data = cv2.imencode(".jpg", rgb, [*options, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])[1].tobytes()
        assert np.array_equal(decode_image(data, "jpeg", None, None), by_opencv(data))


def test_a_grey_jpeg_and_one_without_huffman_tables_have_opencvs_pixels_too() -> None:
    grey = cv2.imencode(".jpg", picture()[..., 0])[1].tobytes()
    for data in (grey, without_huffman_tables(encode(picture()))):
        assert np.array_equal(decode_image(data, "jpeg", None, None), by_opencv(data))


def test_a_jpeg_damaged_in_the_middle_is_what_opencv_makes_of_it() -> None:
    data = bytearray(encode(picture(480, 640)))
    data[len(data) // 2] ^= 0x55
    assert np.array_equal(decode_image(data, "jpeg", None, None), by_opencv(bytes(data)))


def without_huffman_tables(jpeg: bytes) -> bytes:
    """As USB cameras send MJPG: decoders know the tables by heart."""
    kept, at = bytearray(jpeg[:2]), 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != 0xC4:
            kept += jpeg[at:end]
        at = end
    return bytes(kept) + jpeg[at:]


def test_without_the_faster_decoder_opencv_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(picture())
    fast = decode_image(data, "jpeg", 48, 64)
    monkeypatch.setattr(image_decode, "simplejpeg", None)
    assert np.array_equal(decode_image(data, "jpeg", 48, 64), fast)


@pytest.mark.parametrize(
    "buffer", [bytes, bytearray, memoryview, lambda b: array.array("B", b), lambda b: np.frombuffer(b, np.uint8)]
)
def test_every_kind_of_byte_buffer_gives_the_same_pixels(buffer) -> None:
    data = encode(picture())
    assert np.array_equal(decode_image(buffer(data), "jpeg", 48, 64), decode_image(data, "jpeg", 48, 64))


def test_zeros_behind_a_jpeg_are_padding() -> None:
    data = encode(picture())
    assert np.array_equal(decode_image(data + bytes(512), "jpeg", 48, 64), decode_image(data, "jpeg", 48, 64))


def test_the_format_text_of_image_transport_is_understood() -> None:
    assert decode_image(encode(picture()), "bgr8; jpeg compressed bgr8", 48, 64).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("data", "format", "reason"),
    [
        (b"", "jpeg", "empty image"),
        (bytes(10_000_000), "jpeg", "10000000 bytes: expected at most"),
        (bytes(range(256)) * 20, "jpeg", "no JPEG header"),
        (bytes(range(256)) * 20, "png", "no PNG header"),
        (encode(picture())[:-1], "jpeg", "truncated jpeg"),
        (encode(picture())[:500], "jpeg", "truncated jpeg"),
        (encode(picture(), ".png")[:-40], "png", "truncated png"),
        (encode(picture(), ".png"), "jpeg", "no JPEG header"),
        (encode(picture()), "bmp", "'bmp': expected jpeg or png"),
        (b"\xff\xd8\xff\xd9", "jpeg", "no frame header"),
        (b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(60) + b"\xff\xd9", "jpeg", "65535 x 65535 pixels"),
    ],
)
def test_a_bad_frame_is_an_error_that_says_why(data: bytes, format: str, reason: str) -> None:
    with pytest.raises(ImageDecodeError, match=reason) as error:
        decode_image(data, format, 48, 64)
    assert "\n" not in str(error.value)


def test_a_png_damaged_in_the_middle_is_an_error() -> None:
    data = bytearray(encode(picture(), ".png"))
    data[60:120] = bytes(60)
    with pytest.raises(ImageDecodeError, match="damaged"):
        decode_image(data, "png", 48, 64)


def test_a_size_that_is_not_positive_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="expected positive height and width"):
        decode_image(encode(picture()), "jpeg", 0, 64)


@settings(max_examples=150)
@given(
    cut=st.integers(0, 800),
    noise=st.binary(max_size=400),
    head=st.sampled_from([b"", b"\xff\xd8", image_decode._PNG_SIGNATURE]),
    format=st.sampled_from(["jpeg", "png"]),
)
def test_no_bytes_whatever_raise_anything_else(cut: int, noise: bytes, head: bytes, format: str) -> None:
    data = head + encode(picture(), "." + format)[len(head) : cut] + noise
    with contextlib.suppress(ImageDecodeError):
        assert decode_image(data, format, 48, 64).shape == (48, 64, 3)
