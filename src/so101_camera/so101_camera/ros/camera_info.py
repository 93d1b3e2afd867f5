# SPDX-License-Identifier: Apache-2.0
"""Reading a camera's intrinsics from the YAML file that ROS's camera calibrator writes."""

import math
from pathlib import Path
from typing import Any

import yaml
from sensor_msgs.msg import CameraInfo

from so101_camera.errors import CameraInfoError

_MATRICES = {"camera_matrix": ("k", 9), "rectification_matrix": ("r", 9), "projection_matrix": ("p", 12)}


def load_camera_info(path: Path) -> CameraInfo:
    """Return the intrinsics in a camera_calibration YAML file.

    Raises:
        CameraInfoError: naming the file and what is missing in it.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CameraInfoError(
            f"camera_info_url = {path}: {error.strerror}; give a file written by camera_calibration, or leave it empty"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CameraInfoError(f"camera_info_url = {path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise CameraInfoError(f"camera_info_url = {path}: expected keys such as camera_matrix, got {values!r}")
    try:
        return _camera_info(values)
    except (KeyError, TypeError, ValueError) as error:
        raise CameraInfoError(f"camera_info_url = {path}: missing or wrong key: {error}") from error


def pinhole_camera_info(width: int, height: int, vertical_fov_rad: float) -> CameraInfo:
    """Return the intrinsics of an ideal camera with square pixels and no distortion, such as a rendered one."""
    focal = height / 2 / math.tan(vertical_fov_rad / 2)
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    info.k = [focal, 0.0, centre_x, 0.0, focal, centre_y, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, centre_x, 0.0, 0.0, focal, centre_y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def _camera_info(values: dict[str, Any]) -> CameraInfo:
    info = CameraInfo(width=int(values["image_width"]), height=int(values["image_height"]))
    info.distortion_model = str(values["distortion_model"])
    info.d = [float(x) for x in values["distortion_coefficients"]["data"]]
    for key, (field, length) in _MATRICES.items():
        numbers = [float(x) for x in values[key]["data"]]
        if len(numbers) != length:
            raise ValueError(f"{key} needs {length} numbers, got {len(numbers)}")
        setattr(info, field, numbers)
    return info
