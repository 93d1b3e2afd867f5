"""Repeating a logged run: the same inputs to a fresh core, and every decision compared bit for bit."""

from collections.abc import Iterable
from dataclasses import dataclass

from so101_msgs.msg import QueueDecision, QueueStatus

from so101_action_queue.decision_log import decision_message, input_from
from so101_action_queue.journal import Entry, InputKind, apply
from so101_action_queue.queue_core import ActionQueue


@dataclass(frozen=True, slots=True)
class Replay:
    """Whether all `decisions` compared came out the same; else where the first difference lies, one line."""

    identical: bool
    decisions: int
    first_difference: str = ""


def replay(messages: Iterable[QueueDecision]) -> Replay:
    """Replay a log in its order. Entries before the first core begins are left out: what they met is not known."""
    core: ActionQueue | None = None
    session = 0
    sequence: int | None = None
    count = 0
    for message in messages:
        # A core begins with a CONFIGURE that leaves it IDLE; a change of parameters on the way leaves it as it was.
        begins = message.input == InputKind.CONFIGURE and message.state == QueueStatus.IDLE
        fresh = begins and (core is None or message.session != session)
        if core is None and not fresh:
            continue
        if sequence is not None and message.sequence != sequence + 1:
            return Replay(False, count, f"decisions {sequence + 1} to {message.sequence - 1} are missing in the log")
        sequence = message.sequence
        try:
            kind, value = input_from(message)
        except (ValueError, KeyError, TypeError) as error:
            return Replay(False, count, f"decision {sequence} cannot be read: {error}")
        if fresh or core is None:
            core, session, decision = ActionQueue(message.now_ns, value), message.session, None
        else:
            decision = apply(core, kind, message.now_ns, value)
        source = next((held[0] for held in _held(message) if held), None)
        entry = Entry(
            sequence, session, message.now_ns, kind, value, source, decision,
            core.state, core.cause, core.execution.step, core.execution.length,
        )  # fmt: skip
        # The session of entries made before START is the coming one's; afterwards the core knows it.
        session = core.session or session
        again = decision_message(message.header.stamp, tuple(message.joint_names), entry)
        again.header = message.header
        known = {parameter.name for parameter in message.parameters}  # a log of before a parameter was added lacks it
        again.parameters = [parameter for parameter in again.parameters if parameter.name in known]
        count += 1
        difference = _difference(message, again)
        if difference:
            return Replay(False, count, difference)
    return Replay(True, count)


def _held(message: QueueDecision) -> tuple[list[object], ...]:
    return (message.chunk, message.policy_status, message.driver_status, message.joint_limits)


def _difference(logged: QueueDecision, again: QueueDecision) -> str:
    """Name the fields in which two decisions differ, or return "".

    repr() of a float is exact and that of NaN is one word, so equal texts are equal bits. (Serialized bytes will not
    do: CDR leaves the bytes between aligned fields to chance.)
    """
    shown = []
    for name in logged.get_fields_and_field_types():
        before, after = repr(getattr(logged, name)), repr(getattr(again, name))
        if before != after:
            shown.append(f"{name} {before} -> {after}")
    return f"decision {logged.sequence} ({InputKind(logged.input).name}): {', '.join(shown)}" if shown else ""
