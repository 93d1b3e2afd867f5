"""Entries of the journal as QueueDecision messages, and back: the log from which a replay repeats a session."""

import math
from array import array
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from so101_msgs.msg import QueueDecision

from so101_action_queue.decisions import ChunkDecision, Outcome, TickDecision
from so101_action_queue.inputs import Pose
from so101_action_queue.journal import Entry, InputKind
from so101_action_queue.settings import Settings
from so101_action_queue.translation import answer_from, driver_from, limits_from, request_message, server_from

_REASON_LENGTH = 256  # string<=256 of reason and cause
_VALUE_FIELDS = {
    bool: (ParameterType.PARAMETER_BOOL, "bool_value"),
    int: (ParameterType.PARAMETER_INTEGER, "integer_value"),
    float: (ParameterType.PARAMETER_DOUBLE, "double_value"),
    str: (ParameterType.PARAMETER_STRING, "string_value"),
    tuple: (ParameterType.PARAMETER_STRING_ARRAY, "string_array_value"),  # every tuple in Settings holds names
}
_LACKING = {"resume_within_s": 0.0}  # a queue from before this parameter always stopped
_FIELD_OF_TYPE = dict(_VALUE_FIELDS.values())


def settings_parameters(settings: Settings) -> list[Parameter]:
    """Return the settings as parameter messages."""
    messages = []
    for item in fields(Settings):
        value = getattr(settings, item.name)
        kind, field = _VALUE_FIELDS[type(value)]
        content = ParameterValue(type=kind)
        setattr(content, field, list(value) if isinstance(value, tuple) else value)
        messages.append(Parameter(name=item.name, value=content))
    return messages


def settings_from(parameters: Iterable[Parameter]) -> Settings:
    """Return the settings of a CONFIGURE entry; what it lacks (an older log) is as older queues did it."""
    known = {item.name for item in fields(Settings)}
    values: dict[str, Any] = dict(_LACKING)
    for message in parameters:
        if message.name in known:
            value = getattr(message.value, _FIELD_OF_TYPE[message.value.type])
            is_names = message.value.type == ParameterType.PARAMETER_STRING_ARRAY
            values[message.name] = tuple(value) if is_names else value
    return Settings(**values)


def decision_message(stamp: Time, joint_names: tuple[str, ...], entry: Entry) -> QueueDecision:
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


def input_from(message: QueueDecision) -> tuple[InputKind, Any]:
    """Return what a logged input was, and its value as the core takes it.

    Raises:
        ValueError: the message holds no such input.
    """
    kind = InputKind(message.input)
    match kind:
        case InputKind.CONFIGURE:
            return kind, settings_from(message.parameters)
        case InputKind.TASK:
            return kind, message.text
        case InputKind.TICK:
            positions = tuple(message.positions)
            return kind, Pose(positions, message.positions_age) if positions else None
        case InputKind.START:
            return kind, message.session
        case InputKind.STOP | InputKind.PAUSE:
            return kind, None
    held, read = {
        InputKind.CHUNK: (message.chunk, answer_from),
        InputKind.POLICY_STATUS: (message.policy_status, server_from),
        InputKind.DRIVER_STATUS: (message.driver_status, driver_from),
        InputKind.JOINT_LIMITS: (message.joint_limits, limits_from),
    }[kind]
    if not held:
        raise ValueError(f"decision {message.sequence}: {kind.name} without its message")
    return kind, read(held[0])


def _put_input(message: QueueDecision, entry: Entry) -> None:
    match entry.kind:
        case InputKind.CONFIGURE:
            message.parameters = settings_parameters(entry.value)
        case InputKind.TASK:
            message.text = entry.value
        case InputKind.TICK if entry.value is not None:
            message.positions = array("d", entry.value.positions)
            message.positions_age = entry.value.age_s
        case InputKind.CHUNK:
            message.chunk = [entry.source]
        case InputKind.POLICY_STATUS:
            message.policy_status = [entry.source]
        case InputKind.DRIVER_STATUS:
            message.driver_status = [entry.source]
        case InputKind.JOINT_LIMITS:
            message.joint_limits = [entry.source]


def _put_decision(message: QueueDecision, stamp: Time, entry: Entry) -> None:
    decision = entry.decision
    if isinstance(decision, TickDecision):
        message.setpoint = array("d", decision.setpoint or ())
        message.reason = decision.fatal[:_REASON_LENGTH]
        if decision.question is not None:
            message.request = [request_message(stamp, decision.question)]
    elif isinstance(decision, ChunkDecision):
        message.verdict = int(decision.verdict)
        message.reason = decision.reason[:_REASON_LENGTH]
        message.round_trip = decision.round_trip_s
        message.rows_trimmed = decision.rows_trimmed
        message.values_clamped = decision.values_clamped
        message.rows_ramped = decision.rows_ramped
        message.seam = array("d", decision.seam)
    elif isinstance(decision, Outcome):
        message.reason = decision.reason[:_REASON_LENGTH]
