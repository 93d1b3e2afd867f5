# SPDX-License-Identifier: Apache-2.0
"""The joints of the SO-101 and the positions in which episodes begin."""

from typing import Final

JOINT_NAMES: Final = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
"""Order of every joint array, servo ids 1 to 6; LeRobot's names."""

GRIPPER: Final = JOINT_NAMES.index("gripper")

HOME_POSITIONS: Final = (0.0, -1.2, 1.1, 1.0, 0.0, -0.585)
"""Folded above the table with the gripper a little open, rad from the middle of each range, in JOINT_NAMES order.

Without torque an arm sinks from here, so it does not rest at these positions.
"""
