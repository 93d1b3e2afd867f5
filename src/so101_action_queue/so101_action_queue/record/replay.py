# SPDX-License-Identifier: Apache-2.0
"""Repeating a logged run: the same inputs to a fresh core, and every decision compared bit for bit."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from so101_msgs.msg import QueueDecision, QueueStatus
from so101_node.protocol import DecisionInput

from so101_action_queue.core.queue_core import ActionQueue
from so101_action_queue.record.decision_log import decision_message, input_from
from so101_action_queue.record.journal import JournalEntry, apply

_REWORDED = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"^waiting for the first answer$", "waiting for the first chunk"),
        (r"^waiting for an answer$", "waiting for a chunk"),
        (r"^waiting to ask again$", "waiting to request again"),
        (r"^answer came after (?=[\d.]+ s, rows live)", "chunk came after "),
        (r"^answers question (\d+), which was never asked$", r"answers request \1, which was never sent"),
        (r"^answers question (?=\d+; \d+ is in the queue already$)", "answers request "),
        (r"^(echoes step \d+), asked at step ", r"\1, requested at step "),
    )
)
"""Sentences of `cause` and `reason` as older logs have them, and as the same decision is worded now."""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Whether all `decisions` compared came out the same; else where the first difference lies, one line."""

    identical: bool
    decisions: int
    first_difference: str = ""


def replay(messages: Iterable[QueueDecision]) -> ReplayResult:
    """Replay a log in its order. Entries before the first core begins are left out: what they met is not known."""
    core: ActionQueue | None = None
    session = 0
    sequence: int | None = None
    count = 0
    for message in messages:
        # A core begins with a CONFIGURE that leaves it IDLE; a change of parameters on the way leaves it as it was.
        begins = message.input == DecisionInput.CONFIGURE and message.state == QueueStatus.IDLE
        fresh = begins and (core is None or message.session != session)
        if core is None and not fresh:
            continue
        if sequence is not None and message.sequence != sequence + 1:
            return ReplayResult(
                False, count, f"decisions {sequence + 1} to {message.sequence - 1} are missing in the log"
            )
        sequence = message.sequence
        try:
            kind, value = input_from(message)
        except (ValueError, KeyError, TypeError) as error:
            return ReplayResult(False, count, f"decision {sequence} cannot be read: {error}")
        if fresh or core is None:
            core, session, decision = ActionQueue(message.now_ns, value), message.session, None
        else:
            decision = apply(core, kind, message.now_ns, value)
        source = next((held[0] for held in _held(message) if held), None)
        entry = JournalEntry(
            sequence, session, message.now_ns, kind, value, source, decision,
            core.state, core.cause, core.step, core.length,
        )  # fmt: skip
        # The session of entries made before START is the coming one's; afterwards the core knows it.
        session = core.session or session
        again = decision_message(message.header.stamp, tuple(message.joint_names), entry)
        again.header = message.header
        again.correction = message.correction  # added beside the core, from camera frames that the log does not hold
        known = {parameter.name for parameter in message.parameters}  # a log of before a parameter was added lacks it
        again.parameters = [parameter for parameter in again.parameters if parameter.name in known]
        count += 1
        difference = _difference(message, again)
        if difference:
            return ReplayResult(False, count, difference)
    return ReplayResult(True, count)


def _held(message: QueueDecision) -> tuple[list[object], ...]:
    return (message.chunk, message.policy_status, message.driver_status, message.joint_limits)


def _difference(logged: QueueDecision, again: QueueDecision) -> str:
    """Name the fields in which two decisions differ, or return "".

    repr() of a float is exact and that of NaN is one word, so equal texts are equal bits. (Serialized bytes will not
    do: CDR leaves the bytes between aligned fields to chance.)
    """
    shown = []
    for name in logged.get_fields_and_field_types():
        value = getattr(logged, name)
        before = repr(_as_worded_now(value) if name in ("cause", "reason") else value)
        after = repr(getattr(again, name))
        if before != after:
            shown.append(f"{name} {before} -> {after}")
    return f"decision {logged.sequence} ({DecisionInput(logged.input).name}): {', '.join(shown)}" if shown else ""


def _as_worded_now(sentence: str) -> str:
    for old, new in _REWORDED:
        sentence = old.sub(new, sentence)
    return sentence
