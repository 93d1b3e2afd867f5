# SPDX-License-Identifier: Apache-2.0
"""Messages of two drivers as those of one: joint names begin with the arm's, arrays follow each other."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState
from so101_msgs.msg import DriverStatus, JointLimits, ServoTelemetry
from so101_node.protocol import DriverState, FloatArray

from so101_driver.core.pair_gate import ArmReport, PairShown

_PER_JOINT = ("lower", "upper", "max_speed", "max_acceleration", "range_lower", "range_upper", "drive_mode")
_TELEMETRY = ("temperature", "voltage", "current", "load", "error_bits", "tracking_error", "answered")


def joint_names(arms: Sequence[str], names: Iterable[Sequence[str]]) -> list[str]:
    """Names of all joints: `left_shoulder_pan` for `shoulder_pan` of the arm `left`."""
    return [f"{arm}_{name}" for arm, own in zip(arms, names, strict=True) for name in own]


def driver_id(own_id: int, ids: Iterable[int]) -> int:
    """One id of the pair: another one wherever a driver, or this node, was started again. 0 of a driver: unknown."""
    words = b"".join(value.to_bytes(8, "little") for value in (own_id, *ids))
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "little") >> 1 | 1


def report(status: DriverStatus) -> ArmReport:
    """What the gate needs of it. Raises ValueError: a state that this version does not know."""
    goal = np.array(status.goal, dtype=np.float64)
    return ArmReport(status.driver_id, DriverState(status.state), status.cause, status.message, goal)


def joint_state(arms: Sequence[str], states: Sequence[JointState]) -> JointState:
    """Positions and velocities of all joints; stamped with the older of the two stamps."""
    message = JointState(name=joint_names(arms, (state.name for state in states)))
    message.header.stamp = _oldest(states)
    message.position = [value for state in states for value in state.position]
    if all(len(state.velocity) == len(state.name) for state in states):
        message.velocity = [value for state in states for value in state.velocity]
    return message


def joint_limits(arms: Sequence[str], limits: Sequence[JointLimits], pair_id: int) -> JointLimits:
    """Limits of all joints."""
    message = JointLimits(driver_id=pair_id, joint_names=joint_names(arms, (one.joint_names for one in limits)))
    message.header.stamp = _oldest(limits)
    for field in _PER_JOINT:
        setattr(message, field, [value for one in limits for value in getattr(one, field)])
    return message


def driver_status(
    arms: Sequence[str],
    statuses: Sequence[DriverStatus],
    shown: PairShown,
    pair_id: int,
    rejected: int,
    alarm: str,
) -> DriverStatus:
    """The pair's status. `statuses`: of each arm, or empty while one was not heard; `rejected`: by the pair's gate.

    A command counts as accepted where both arms followed it. The stamp is the older of the two, as goals are.
    """
    message = DriverStatus(driver_id=pair_id, state=int(shown.state), cause=shown.cause)
    message.message = "; ".join(part for part in (shown.message, alarm) if part)[:512]
    message.commands_rejected = rejected
    if not statuses:
        return message
    message.header.stamp = _oldest(statuses)
    message.joint_names = joint_names(arms, (status.joint_names for status in statuses))
    message.parked = all(status.parked for status in statuses)
    message.shadow = any(status.shadow for status in statuses)
    message.torque = [value for status in statuses for value in status.torque]
    message.goal = [value for status in statuses for value in status.goal]
    message.commands_accepted = min(status.commands_accepted for status in statuses)
    message.commands_rejected += sum(status.commands_rejected for status in statuses)
    message.values_limited = sum(status.values_limited for status in statuses)
    return message


def servo_telemetry(arms: Sequence[str], parts: Sequence[ServoTelemetry]) -> ServoTelemetry:
    """Health of all servos; the counters of the two buses are added."""
    message = ServoTelemetry(joint_names=joint_names(arms, (part.joint_names for part in parts)))
    message.header.stamp = _oldest(parts)
    for field in _TELEMETRY:
        setattr(message, field, [value for part in parts for value in getattr(part, field)])
    for field in ("bus_reads", "bus_errors", "bus_retries"):
        setattr(message, field, sum(getattr(part, field) for part in parts))
    return message


def split(command: JointState, joints: Mapping[str, Sequence[str]]) -> dict[str, FloatArray] | str:
    """Positions for each arm, (joints,), rad, in the order of its joints; or in one line why there are none."""
    if len(command.name) != len(command.position):
        return f"{len(command.name)} names, {len(command.position)} positions"
    at = dict(zip(command.name, command.position, strict=True))
    wanted = {arm: [at.get(f"{arm}_{name}", math.nan) for name in names] for arm, names in joints.items()}
    lacking = [
        f"{arm}_{name}"
        for arm, names in joints.items()
        for name, value in zip(names, wanted[arm], strict=True)
        if not math.isfinite(value)
    ]
    if lacking:
        return f"no position, or one that is no number, of {', '.join(lacking)}"
    return {arm: np.array(values, dtype=np.float64) for arm, values in wanted.items()}


def _oldest(messages: Sequence[JointState | DriverStatus | JointLimits | ServoTelemetry]) -> Time:
    return min((message.header.stamp for message in messages), key=lambda stamp: (stamp.sec, stamp.nanosec))
