# SPDX-License-Identifier: Apache-2.0
"""Decision logs for tests: the queue's own core in virtual time, its journal as the messages of a bag."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from bag_maker import JOINTS, BagMaker
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.decision_log import virtual_message
from so101_action_queue.record.virtual_session import VirtualLink, VirtualSession
from so101_msgs.msg import QueueDecision
from so101_node.protocol import FloatArray

SETTINGS = QueueSettings(joint_names=tuple(JOINTS), cameras=("top", "wrist"))


def policy(request: ChunkRequest) -> FloatArray:
    """Fifty rows of a slow wave that each request sees a little differently, as trained policies do."""
    steps = request.step + np.arange(50)
    wave = 0.4 * np.sin(steps / 25) + 0.03 * np.sin(request.request_id)
    return np.stack([wave * (1 - 0.1 * joint) for joint in range(6)], axis=1)


def decisions(seconds: float = 6.0, sessions: int = 2, settings: QueueSettings = SETTINGS) -> list[QueueDecision]:
    """The log of a queue process: sessions one after another, each with a chunk that is late."""
    session = VirtualSession(settings, policy, VirtualLink(inference_s=lambda number: 0.9 if number == 4 else 0.1))
    session.run(0.3)
    session.start()
    session.run(seconds)
    for number in range(1, sessions):
        session.journal.stop(session.now_ns)
        session.run(0.3)
        session.driver = replace(session.driver, state=2)
        session._say_driver()
        result = session.journal.start(session.now_ns, 5000 + number)
        assert result.done, result.reason
        session.run(seconds)
    return [virtual_message(entry, SETTINGS.joint_names) for entry in session.entries]


def write_log(folder: Path, messages: list[QueueDecision]) -> Path:
    """A bag with nothing but this log."""
    maker = BagMaker(folder)
    for index, message in enumerate(messages):
        maker.write("action_queue/decisions", "so101_msgs/msg/QueueDecision", message, index / 50)
    return maker.close()
