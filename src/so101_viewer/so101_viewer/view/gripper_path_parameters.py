# SPDX-License-Identifier: Apache-2.0
"""Parameters of the gripper's path."""

from dataclasses import dataclass

from so101_node.parameters import parameter, precedence

from so101_viewer.view.paths import TRAIL_S


@dataclass(frozen=True, slots=True)
class GripperPathParameters:
    """Parameters of the gripper's path."""

    rate_hz: float = parameter(
        10.0, "measured paths published per second while somebody looks, Hz", lower=1.0, upper=60
    )
    trail_s: float = parameter(TRAIL_S, "length of the measured path, s", lower=0.5, upper=60.0)
    niceness: int = precedence.niceness(10)
    frame_prefix: str = parameter("", "before each frame's name, as robot_state_publisher has it")
