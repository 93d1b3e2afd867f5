# SPDX-License-Identifier: Apache-2.0
"""The policy spec to its message and back, field by field of the same name. Every array is copied on the way."""

from dataclasses import fields
from typing import Any

from builtin_interfaces.msg import Time
from so101_msgs.msg import PolicySpec as PolicySpecMessage

from so101_node.protocol.policy_spec import PolicySpec, ReceivedSpec


def spec_message(stamp: Time, spec: PolicySpec, session: int, task: str) -> PolicySpecMessage:
    """Return the spec as a message."""
    message = PolicySpecMessage(session=session, spec_id=spec.spec_id, task=task)
    message.header.stamp = stamp
    for field in fields(spec):
        value = getattr(spec, field.name)
        setattr(message, field.name, list(value) if isinstance(value, tuple) else value)
    return message


def spec_from(message: PolicySpecMessage) -> ReceivedSpec:
    """Return what a message says."""
    values = {field.name: getattr(message, field.name) for field in fields(PolicySpec)}
    plain: dict[str, Any] = {
        name: value if isinstance(value, (str, int, float)) else tuple(value) for name, value in values.items()
    }
    return ReceivedSpec(int(message.session), int(message.spec_id), str(message.task), PolicySpec(**plain))
