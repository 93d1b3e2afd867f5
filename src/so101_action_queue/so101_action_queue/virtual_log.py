"""The decision log of a virtual session, as the messages that a bag of a real one holds.

The node logs the messages that it received; in a virtual session there were none, so they are made from the values.
"""

from dataclasses import replace
from typing import Any

from builtin_interfaces.msg import Time
from so101_msgs.msg import ActionChunk, DriverStatus, JointLimits, PolicyStatus, QueueDecision

from so101_action_queue.decision_log import decision_message
from so101_action_queue.journal import Entry, InputKind


def as_message(entry: Entry, joint_names: tuple[str, ...]) -> QueueDecision:
    """Return an entry of a virtual session as the node would publish it; `joint_names` are the queue's settings."""
    value: Any = entry.value
    source: Any = None
    if entry.kind is InputKind.CHUNK:
        source = ActionChunk(
            session=value.session, request_id=value.request_id, spec_id=value.spec_id, step=value.step,
            server_id=value.server_id, server_name=value.server_name, status=int(value.status), message=value.message,
            retry_after=value.retry_after_s, period=value.period_s, joint_names=list(value.joint_names),
            rows=value.rows, positions=value.positions.tolist(),
        )  # fmt: skip
    elif entry.kind is InputKind.POLICY_STATUS:
        source = PolicyStatus(
            server_id=value.server_id, server_name=value.server_name, spec_id=value.spec_id, state=int(value.state),
            busy_session=value.busy_session, n_obs_steps=value.n_obs_steps,
        )  # fmt: skip
    elif entry.kind is InputKind.DRIVER_STATUS:
        source = DriverStatus(
            driver_id=value.driver_id, state=int(value.state), joint_names=list(value.joint_names),
            goal=list(value.goal), cause=value.cause, message=value.message,
        )  # fmt: skip
    elif entry.kind is InputKind.JOINT_LIMITS:
        source = JointLimits(
            driver_id=value.driver_id, joint_names=list(value.joint_names), lower=list(value.lower),
            upper=list(value.upper), range_lower=list(value.range_lower), range_upper=list(value.range_upper),
            drive_mode=list(value.drive_mode),
        )  # fmt: skip
    return decision_message(Time(sec=1), joint_names, replace(entry, source=source))
