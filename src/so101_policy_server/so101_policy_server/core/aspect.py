# SPDX-License-Identifier: Apache-2.0
"""Frames of another aspect ratio than those that trained the policy: fitted to its size, they are distorted."""

from __future__ import annotations

import math

from so101_node.protocol.aspect import is_distorted

from so101_policy_server.core.request import CameraNeed


def find_distortion(need: CameraNeed, height: int, width: int) -> str:
    """One line with both sizes where a frame of (height, width) pixels would be distorted, or ""."""
    if not need.trained_size or not is_distorted((width, height), (need.width, need.height)):
        return ""
    trained = f"{need.width}x{need.height} ({_ratio(need.width, need.height)})"
    return (
        f"frames are {width}x{height} ({_ratio(width, height)}), the policy was trained with {trained}: set width, "
        "height or rotation of the camera as in training; if the training's frames were squashed as well: "
        "aspect_mismatch: warn of policy_server"
    )


def _ratio(width: int, height: int) -> str:
    common = math.gcd(width, height)
    wide, high = width // common, height // common
    return f"{wide}:{high}" if max(wide, high) <= 21 else f"{width / height:.2f}:1"
