# SPDX-License-Identifier: Apache-2.0
"""Raw pictures of every encoding that cameras give, padded rows, and bytes that do not fit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from so101_policy_server.core.image import ImageDecodeError
from so101_policy_server.inference.raw_image import RawLayout, decode_raw

RGB = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
GRAY = np.ascontiguousarray(RGB[:, :, 0])


@pytest.mark.parametrize(
    ("encoding", "given", "expected"),
    [
        ("rgb8", RGB, RGB),
        ("bgr8", RGB[:, :, ::-1], RGB),
        ("8UC3", RGB[:, :, ::-1], RGB),
        ("rgba8", np.dstack([RGB, GRAY]), RGB),
        ("bgra8", np.dstack([RGB[:, :, ::-1], GRAY]), RGB),
        ("mono8", GRAY, np.dstack([GRAY] * 3)),
        ("8UC1", GRAY, np.dstack([GRAY] * 3)),
    ],
)
def test_each_encoding_comes_out_as_rgb(encoding: str, given: np.ndarray, expected: np.ndarray) -> None:
    data = np.ascontiguousarray(given).ravel()
    layout = RawLayout(encoding, 24, 32, len(data) // 24)
    assert np.array_equal(decode_raw(data, layout, 24, 32), expected)


def test_rows_padded_to_a_multiple_of_bytes_are_read_without_the_padding() -> None:
    padded = np.zeros((24, 128), np.uint8)
    padded[:, :96] = RGB.reshape(24, 96)
    layout = RawLayout("rgb8", 24, 32, 128)
    assert np.array_equal(decode_raw(padded.ravel(), layout, 24, 32), RGB)
    assert np.array_equal(decode_raw(padded.ravel()[:-32], layout, 24, 32), RGB)  # the last row without


def test_it_is_resized_as_a_compressed_picture_is() -> None:
    expected = cv2.resize(RGB, (16, 12), interpolation=cv2.INTER_AREA)
    assert np.array_equal(decode_raw(RGB.ravel(), RawLayout("rgb8", 24, 32, 96), 12, 16), expected)


def test_without_a_size_it_stays_as_it_is() -> None:
    assert np.array_equal(decode_raw(RGB.ravel(), RawLayout("rgb8", 24, 32, 96), None, None), RGB)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        (RawLayout("yuv422", 24, 32, 64), "encoding 'yuv422': expected one of rgb8, bgr8"),
        (RawLayout("rgb8", 25, 32, 96), "too few for 32 x 25 rgb8"),
        (RawLayout("rgb8", 24, 33, 96), "too few"),
        (RawLayout("rgb8", 0, 32, 96), "expected 1 to"),
        (RawLayout("rgb8", 100_000, 100_000, 300_000), "expected 1 to"),
    ],
)
def test_what_does_not_fit_is_one_line(layout: RawLayout, reason: str) -> None:
    with pytest.raises(ImageDecodeError, match=reason):
        decode_raw(RGB.ravel(), layout, 24, 32)
