# SPDX-License-Identifier: Apache-2.0
"""QoS of every topic, one name each, so that both ends cannot drift apart (the table in docs/reference/topics.md).

No profile requests a deadline or liveliness: a publisher with default QoS would silently not match.
"""

from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy


def _profile(depth: int, *, reliable: bool, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=QoSReliabilityPolicy.RELIABLE if reliable else QoSReliabilityPolicy.BEST_EFFORT,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE,
    )


def observation(history_steps: int = 1) -> QoSProfile:
    """Camera frames that answer requests: reliable, one frame deep per observation step of the policy."""
    return _profile(max(1, history_steps), reliable=True)


LATCHED = _profile(1, reliable=True, latched=True)
JOINT_STATES_WRITER = _profile(1, reliable=True)
JOINT_STATES_READER = _profile(1, reliable=False)
JOINT_COMMAND = _profile(1, reliable=True)
OBSERVATION = observation()
REQUEST_WRITER = _profile(1, reliable=True)
REQUEST_READER = _profile(10, reliable=True)
CHUNK_WRITER = _profile(10, reliable=True)
CHUNK_READER = _profile(10, reliable=True)
# Reliable, so that tools that ask for it see pictures too; a reader that asks for best effort, as ours do, is sent
# nothing again. One that stands still costs the writer nothing: the depth is 1, and nothing waits for it.
IMAGE_WRITER = _profile(1, reliable=True)
IMAGE = _profile(1, reliable=False)
STATUS = _profile(1, reliable=False)
# All cameras of a robot publish on it, now and then at the same moment.
FRAME_TIMING = _profile(16, reliable=False)
PLAN = _profile(1, reliable=True)
# Latched: a recorder that matches a moment late must not miss the begin of a session, without which nothing repeats.
DECISIONS = _profile(100, reliable=True, latched=True)
TELEMETRY = _profile(1, reliable=False)
# Latched: a recorder or observer that matches a moment late must not miss the begin of an episode.
EVENTS = _profile(10, reliable=True, latched=True)
