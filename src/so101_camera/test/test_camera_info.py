# SPDX-License-Identifier: Apache-2.0
"""Intrinsics from a calibration file, and those of an ideal camera."""

import math
from pathlib import Path

import pytest
from so101_camera.errors import CameraInfoError
from so101_camera.ros.camera_info import load_camera_info, pinhole_camera_info

CALIBRATION = """
image_width: 640
image_height: 480
camera_name: top
camera_matrix: {rows: 3, cols: 3, data: [600, 0, 320, 0, 601, 240, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [600, 0, 320, 0, 0, 601, 240, 0, 0, 0, 1, 0]}
"""


def test_a_calibration_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "top.yaml"
    path.write_text(CALIBRATION)
    info = load_camera_info(path)
    assert (info.width, info.height, info.k[0], info.k[4], info.p[5]) == (640, 480, 600, 601, 601)
    assert list(info.d) == [0.1, -0.2, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CALIBRATION.replace("601, 240, 0, 0, 1]", "601]"), "camera_matrix needs 9 numbers"),
        ("image_width: 640", "image_height"),
        ("just text", "expected keys"),
        ("{", "not YAML"),
    ],
)
def test_a_wrong_calibration_file_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "top.yaml"
    path.write_text(text)
    with pytest.raises(CameraInfoError, match=expected) as caught:
        load_camera_info(path)
    assert "\n" not in str(caught.value)


def test_a_missing_calibration_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CameraInfoError, match="camera_calibration"):
        load_camera_info(tmp_path / "none.yaml")


def test_a_ninety_degree_camera_has_half_its_height_as_focal_length() -> None:
    info = pinhole_camera_info(640, 480, math.pi / 2)
    assert info.k[0] == info.k[4] == pytest.approx(240)
    assert (info.k[2], info.k[5]) == (319.5, 239.5)
