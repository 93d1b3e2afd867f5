# SPDX-License-Identifier: Apache-2.0
"""The protocol's values against the .msg files, and the policy spec on its way through its message."""

import subprocess
import sys
from dataclasses import fields

import pytest
from builtin_interfaces.msg import Time
from so101_msgs.msg import ActionChunk, DriverStatus, PolicySpec, PolicyStatus, QueueDecision, QueueStatus
from so101_node.protocol.spec_message import spec_from, spec_message

from so101_node import protocol

SPEC = protocol.PolicySpec(
    policy_type="act",
    pretrained_name_or_path="folder",
    policy_device="cpu",
    actions_per_chunk=50,
    fps=30.0,
    cameras=("front", "wrist"),
    joint_names=protocol.JOINT_NAMES,
    units=protocol.Units.DEGREES,
    range_lower=(-1.0, -1.25, -1.5, -1.75, -2.0, -0.5),
    range_upper=(1.0, 1.25, 1.5, 1.75, 2.0, 0.5),
    drive_mode=(0, 0, 0, 0, 1, 0),
    rename_from=("observation.images.front",),
    rename_to=("observation.images.top",),
)


def constants(message: type) -> dict[str, int]:
    kind = type(message)
    return {name: getattr(message, name) for name in dir(kind) if name.isupper() and not name.startswith("_")}


@pytest.mark.parametrize(
    ("enums", "message"),
    [
        ((protocol.QueueState,), QueueStatus),
        ((protocol.DriverState,), DriverStatus),
        ((protocol.PolicyState,), PolicyStatus),
        ((protocol.ChunkStatus,), ActionChunk),
        ((protocol.ChunkVerdict, protocol.DecisionInput), QueueDecision),
        ((protocol.Units,), PolicySpec),
    ],
)
def test_every_number_is_the_constant_of_that_name_in_the_message(enums, message) -> None:
    assert {one.name: one.value for kind in enums for one in kind} == constants(message)


def test_the_spec_has_every_field_of_its_message() -> None:
    beside = {"header", "session", "spec_id", "task"}
    assert {field.name for field in fields(protocol.PolicySpec)} == {*PolicySpec.get_fields_and_field_types()} - beside


def test_a_spec_comes_back_from_its_message_as_it_was() -> None:
    message = spec_message(Time(sec=3), SPEC, session=7, task="lift")
    assert message.header.stamp.sec == 3
    assert spec_from(message) == protocol.ReceivedSpec(7, SPEC.spec_id, "lift", SPEC)
    assert spec_from(message).spec.spec_id == SPEC.spec_id


def test_the_id_of_a_spec_stays_as_recorded_bags_have_it() -> None:
    assert SPEC.spec_id == 4617897089353686404


def test_the_protocol_needs_no_ros() -> None:
    code = "import so101_node.protocol, sys; sys.exit(any(n.startswith(('rclpy', 'so101_msgs')) for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
