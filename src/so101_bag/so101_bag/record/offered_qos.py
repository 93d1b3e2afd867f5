# SPDX-License-Identifier: Apache-2.0
"""QoS of a topic's publishers: as rosbag2 notes it, and the strongest that a reader of all of them may request."""

from collections.abc import Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy

DEPTH = 500  # messages of one topic that wait while this process does not get to run: 5 s of the fastest one


def reader_profile(offered: Sequence[QoSProfile]) -> QoSProfile:
    """Return the profile to read with: reliable and latched where every publisher is."""
    reliable = all(profile.reliability == QoSReliabilityPolicy.RELIABLE for profile in offered)
    latched = all(profile.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=QoSReliabilityPolicy.RELIABLE if reliable else QoSReliabilityPolicy.BEST_EFFORT,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE,
    )


def as_rosbag2(profile: QoSProfile) -> dict[str, Any]:
    """Return a profile under rosbag2's keys."""
    return {
        "history": profile.history.name.lower(),
        "depth": profile.depth,
        "reliability": profile.reliability.name.lower(),
        "durability": profile.durability.name.lower(),
        "deadline": _time(profile.deadline),
        "lifespan": _time(profile.lifespan),
        "liveliness": profile.liveliness.name.lower(),
        "liveliness_lease_duration": _time(profile.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": profile.avoid_ros_namespace_conventions,
    }


def _time(duration: Duration) -> dict[str, int]:
    seconds, rest = divmod(duration.nanoseconds, 1_000_000_000)
    return {"sec": seconds, "nsec": rest}
