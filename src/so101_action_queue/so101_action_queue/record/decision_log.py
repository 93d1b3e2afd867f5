# SPDX-License-Identifier: Apache-2.0
"""Entries of the journal as QueueDecision messages, and back: the log from which a replay repeats a session."""

import math
from array import array
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from so101_msgs.msg import ActionChunk, DriverStatus, JointLimits, PolicyStatus, QueueDecision
from so101_node.protocol import DecisionInput

from so101_action_queue.core.decisions import ChunkDecision, ServiceResult, TickDecision
from so101_action_queue.core.inputs import JointPositions
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.errors import LogError
from so101_action_queue.record.journal import JournalEntry
from so101_action_queue.translation import chunk_from, driver_from, limits_from, request_message, server_from

_REASON_LENGTH = 256  # string<=256 of reason and cause
_VALUE_FIELDS = {
    bool: (ParameterType.PARAMETER_BOOL, "bool_value"),
    int: (ParameterType.PARAMETER_INTEGER, "integer_value"),
    float: (ParameterType.PARAMETER_DOUBLE, "double_value"),
    str: (ParameterType.PARAMETER_STRING, "string_value"),
    tuple: (ParameterType.PARAMETER_STRING_ARRAY, "string_array_value"),  # every tuple in QueueSettings holds names
}
_LACKING = {"resume_within_s": 0.0}  # a queue from before this parameter always stopped
_FIELD_OF_TYPE = dict(_VALUE_FIELDS.values())


def settings_parameters(settings: QueueSettings) -> list[Parameter]:
    """Return the settings as parameter messages."""
    messages = []
    for item in fields(QueueSettings):
        value = getattr(settings, item.name)
        kind, field = _VALUE_FIELDS[type(value)]
        content = ParameterValue(type=kind)
        setattr(content, field, list(value) if isinstance(value, tuple) else value)
        messages.append(Parameter(name=item.name, value=content))
    return messages


def settings_from(parameters: Iterable[Parameter]) -> QueueSettings:
    """Return the settings of a CONFIGURE entry; what it lacks (an older log) is as older queues did it."""
    known = {item.name for item in fields(QueueSettings)}
    values: dict[str, Any] = dict(_LACKING)
    for message in parameters:
        if message.name in known:
            value = getattr(message.value, _FIELD_OF_TYPE[message.value.type])
            is_names = message.value.type == ParameterType.PARAMETER_STRING_ARRAY
            values[message.name] = tuple(value) if is_names else value
    return QueueSettings(**values)


def decision_message(stamp: Time, joint_names: tuple[str, ...], entry: JournalEntry) -> QueueDecision:
    """Return one entry as a message."""
    message = QueueDecision()
    message.header.stamp = stamp
    message.session = entry.session
    message.sequence = entry.sequence
    message.now_ns = entry.now_ns
    message.input = int(entry.kind)
    message.joint_names = list(joint_names)
    message.round_trip = math.nan
    message.state = int(entry.state)
    message.cause = entry.cause[:_REASON_LENGTH]
    message.step = entry.step
    message.length = entry.length
    _put_input(message, entry)
    _put_decision(message, stamp, entry)
    return message


def input_from(message: QueueDecision) -> tuple[DecisionInput, Any]:
    """Return what a logged input was, and its value as the core takes it.

    Raises:
        LogError: the message holds no such input.
    """
    try:
        kind = DecisionInput(message.input)
    except ValueError as error:
        raise LogError(f"decision {message.sequence}: {error}") from error
    match kind:
        case DecisionInput.CONFIGURE:
            return kind, settings_from(message.parameters)
        case DecisionInput.TASK:
            return kind, message.text
        case DecisionInput.TICK:
            positions = tuple(message.positions)
            return kind, JointPositions(positions, message.positions_age) if positions else None
        case DecisionInput.START:
            return kind, message.session
        case DecisionInput.STOP | DecisionInput.PAUSE:
            return kind, None
    held, read = {
        DecisionInput.CHUNK: (message.chunk, chunk_from),
        DecisionInput.POLICY_STATUS: (message.policy_status, server_from),
        DecisionInput.DRIVER_STATUS: (message.driver_status, driver_from),
        DecisionInput.JOINT_LIMITS: (message.joint_limits, limits_from),
    }[kind]
    if not held:
        raise LogError(f"decision {message.sequence}: {kind.name} without its message")
    return kind, read(held[0])


def _put_input(message: QueueDecision, entry: JournalEntry) -> None:
    match entry.kind:
        case DecisionInput.CONFIGURE:
            message.parameters = settings_parameters(entry.value)
        case DecisionInput.TASK:
            message.text = entry.value
        case DecisionInput.TICK if entry.value is not None:
            message.positions = array("d", entry.value.positions)
            message.positions_age = entry.value.age_s
        case DecisionInput.CHUNK:
            message.chunk = [entry.source]
        case DecisionInput.POLICY_STATUS:
            message.policy_status = [entry.source]
        case DecisionInput.DRIVER_STATUS:
            message.driver_status = [entry.source]
        case DecisionInput.JOINT_LIMITS:
            message.joint_limits = [entry.source]


def _put_decision(message: QueueDecision, stamp: Time, entry: JournalEntry) -> None:
    decision = entry.decision
    if isinstance(decision, TickDecision):
        message.setpoint = array("d", decision.setpoint or ())
        message.correction = array("d", entry.correction)
        message.reason = decision.fatal[:_REASON_LENGTH]
        if decision.request is not None:
            message.request = [request_message(stamp, decision.request)]
    elif isinstance(decision, ChunkDecision):
        message.verdict = int(decision.verdict)
        message.reason = decision.reason[:_REASON_LENGTH]
        message.round_trip = decision.round_trip_s
        message.rows_trimmed = decision.rows_trimmed
        message.values_clamped = decision.values_clamped
        message.rows_ramped = decision.rows_ramped
        message.seam = array("d", decision.seam)
    elif isinstance(decision, ServiceResult):
        message.reason = decision.reason[:_REASON_LENGTH]


def virtual_message(entry: JournalEntry, joint_names: tuple[str, ...]) -> QueueDecision:
    """Return an entry of a virtual session as the node would publish it; `joint_names` are the queue's settings.

    The node logs the messages that it received; in a virtual session there were none, so they are made from the values.
    """
    value: Any = entry.value
    source: Any = None
    if entry.kind is DecisionInput.CHUNK:
        source = ActionChunk(
            session=value.session, request_id=value.request_id, spec_id=value.spec_id, step=value.step,
            server_id=value.server_id, server_name=value.server_name, status=int(value.status), message=value.message,
            retry_after=value.retry_after_s, period=value.period_s, joint_names=list(value.joint_names),
            rows=value.rows, positions=value.positions.tolist(),
        )  # fmt: skip
    elif entry.kind is DecisionInput.POLICY_STATUS:
        source = PolicyStatus(
            server_id=value.server_id, server_name=value.server_name, spec_id=value.spec_id, state=int(value.state),
            busy_session=value.busy_session, n_obs_steps=value.n_obs_steps, leaving=value.leaving,
            message=value.message, horizon=value.horizon, supports_rtc=value.supports_rtc,
            cameras=list(value.cameras), cause=value.cause, fingerprint=value.fingerprint,
            frame_sizes=list(value.frame_sizes),
        )  # fmt: skip
    elif entry.kind is DecisionInput.DRIVER_STATUS:
        source = DriverStatus(
            driver_id=value.driver_id, state=int(value.state), joint_names=list(value.joint_names),
            goal=list(value.goal), cause=value.cause, message=value.message,
        )  # fmt: skip
    elif entry.kind is DecisionInput.JOINT_LIMITS:
        source = JointLimits(
            driver_id=value.driver_id, joint_names=list(value.joint_names), lower=list(value.lower),
            upper=list(value.upper), range_lower=list(value.range_lower), range_upper=list(value.range_upper),
            drive_mode=list(value.drive_mode),
        )  # fmt: skip
    return decision_message(Time(sec=1), joint_names, replace(entry, source=source))
