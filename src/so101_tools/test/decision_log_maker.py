"""Decision logs for tests: the queue's own core in virtual time, its journal as the messages of a bag."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from bag_maker import JOINTS, BagMaker
from so101_action_queue.decisions import Question
from so101_action_queue.inputs import FloatArray
from so101_action_queue.settings import Settings
from so101_action_queue.virtual_log import as_message
from so101_action_queue.virtual_session import Link, VirtualSession
from so101_msgs.msg import QueueDecision

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
    return [as_message(entry, SETTINGS.joint_names) for entry in session.entries]


def write_log(folder: Path, messages: list[QueueDecision]) -> Path:
    """A bag with nothing but this log."""
    maker = BagMaker(folder)
    for index, message in enumerate(messages):
        maker.write("action_queue/decisions", "so101_msgs/msg/QueueDecision", message, index / 50)
    return maker.close()
