"""Decision logs for tests: the queue's own core in virtual time, its journal as the messages of a bag."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from bag_maker import JOINTS, BagMaker
from builtin_interfaces.msg import Time
from so101_action_queue.decision_log import decision_message
from so101_action_queue.decisions import Question
from so101_action_queue.inputs import FloatArray
from so101_action_queue.journal import Entry, InputKind
from so101_action_queue.settings import Settings
from so101_action_queue.virtual_session import Link, VirtualSession
from so101_msgs.msg import ActionChunk, DriverStatus, JointLimits, PolicyStatus, QueueDecision

SETTINGS = Settings(joint_names=tuple(JOINTS), cameras=("top", "wrist"))


def policy(question: Question) -> FloatArray:
    """Fifty rows of a slow wave that each question sees a little differently, as trained policies do."""
    steps = question.step + np.arange(50)
    wave = 0.4 * np.sin(steps / 25) + 0.03 * np.sin(question.request_id)
    return np.stack([wave * (1 - 0.1 * joint) for joint in range(6)], axis=1)


def decisions(seconds: float = 6.0, sessions: int = 2, settings: Settings = SETTINGS) -> list[QueueDecision]:
    """The log of a queue process: sessions one after another, each with an answer that is late."""
    session = VirtualSession(settings, policy, Link(inference_s=lambda number: 0.9 if number == 4 else 0.1))
    session.run(0.3)
    session.start()
    session.run(seconds)
    for number in range(1, sessions):
        session.journal.stop(session.now_ns)
        session.run(0.3)
        session.driver = replace(session.driver, state=2)
        session._say_driver()
        outcome = session.journal.start(session.now_ns, 5000 + number)
        assert outcome.done, outcome.reason
        session.run(seconds)
    return [as_message(entry) for entry in session.entries]


def write_log(folder: Path, messages: list[QueueDecision]) -> Path:
    """A bag with nothing but this log."""
    maker = BagMaker(folder)
    for index, message in enumerate(messages):
        maker.write("action_queue/decisions", "so101_msgs/msg/QueueDecision", message, index / 50)
    return maker.close()


def as_message(entry: Entry) -> QueueDecision:
    """The entry as the node publishes it."""
    value, source = entry.value, None
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
    return decision_message(Time(sec=1), SETTINGS.joint_names, replace(entry, source=source))
