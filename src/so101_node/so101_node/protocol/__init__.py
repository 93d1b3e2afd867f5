# SPDX-License-Identifier: Apache-2.0
"""What travels between the nodes, once: enums, joints, array types and the policy spec, free of ROS and messages.

`spec_message` turns the spec into its message and back, and is the one module here that knows a message. A test holds
every enum against the constants of its .msg file.
"""

from so101_node.protocol.arrays import BoolArray, Float32Array, FloatArray, IntArray
from so101_node.protocol.joints import GRIPPER, HOME_POSITIONS, JOINT_NAMES
from so101_node.protocol.policy_spec import PolicySpec, ReceivedSpec
from so101_node.protocol.states import (
    ChunkStatus,
    ChunkVerdict,
    DecisionInput,
    DriverState,
    PolicyState,
    QueueState,
    name_of,
)
from so101_node.protocol.units import Units

__all__ = [
    "GRIPPER",
    "HOME_POSITIONS",
    "JOINT_NAMES",
    "BoolArray",
    "ChunkStatus",
    "ChunkVerdict",
    "DecisionInput",
    "DriverState",
    "Float32Array",
    "FloatArray",
    "IntArray",
    "PolicySpec",
    "PolicyState",
    "QueueState",
    "ReceivedSpec",
    "Units",
    "name_of",
]
