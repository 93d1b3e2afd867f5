# SPDX-License-Identifier: Apache-2.0
"""Parameters of the node driver_pair."""

import re
from dataclasses import dataclass

from so101_node.parameters import ParameterError, parameter, precedence


@dataclass(frozen=True, slots=True)
class DriverPairParameters:
    """One field per parameter."""

    arms: tuple[str, ...] = parameter(
        ("left", "right"),
        "namespaces of the two drivers, with which their joints' names begin too (left_gripper), in the policy's order",
    )
    engage_tolerance_rad: float = parameter(
        0.2,
        "largest distance of a command from the measured joint positions, or from the goal, of either arm at which "
        "both engage, rad; each driver has its own, too",
        lower=0.01,
        upper=1.0,
    )
    engage_within_s: float = parameter(
        0.3,
        "both drivers must follow within this long after the first command, or neither does, s",
        lower=0.1,
        upper=2.0,
    )
    arm_silent_s: float = parameter(
        0.15,
        "an arm without joint_states for this long gets no more commands, nor does the other: both drivers hold, s",
        lower=0.05,
        upper=0.5,
    )
    max_skew_s: float = parameter(
        0.05,
        "joint_states of the two arms further apart than this are not put together, s; at most arm_silent_s",
        lower=0.01,
        upper=0.5,
    )
    thread_priority: int = precedence.thread_priority()
    niceness: int = precedence.niceness(-10)

    def validate(self) -> None:
        """Rules across fields."""
        arms = list(self.arms)
        if len(arms) != 2 or arms[0] == arms[1] or not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", arm) for arm in arms):
            raise ParameterError(f"arms = {arms}: expected two different names of letters, digits and _")
        if self.max_skew_s > self.arm_silent_s:
            raise ParameterError(
                f"max_skew_s = {self.max_skew_s:g}: must be at most arm_silent_s ({self.arm_silent_s:g}), after which "
                "an arm counts as silent"
            )
