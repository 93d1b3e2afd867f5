# SPDX-License-Identifier: Apache-2.0
"""Parameters of the recorder."""

from dataclasses import dataclass

from so101_node.parameters import ParameterError, parameter

TOPICS = [
    "joint_states",
    "joint_command",
    "joint_limits",
    "driver_status",
    "servo_telemetry",
    "observation_request",
    "*/observation",
    "*/image_raw/compressed",
    "action_chunk",
    "policy_spec",
    "policy_status",
    "action_queue/status",
    "action_queue/decisions",
    "action_plan",
    "episode",
    "robot_description",
    "/tf",
    "/tf_static",
    "/diagnostics",
    "/rosout",
]


@dataclass(frozen=True, slots=True)
class RecorderParameters:
    """Parameters of the recorder."""

    folder: str = parameter("", "folder of the bag; empty: outputs/bags/ and the time of day")
    topics: list[str] = parameter(
        list(TOPICS), "topics to record, relative to the namespace; * stands for one part of a name"
    )
    exclude: list[str] = parameter([""], "topics not to record, of the same form")
    split_mb: int = parameter(1024, "begin the next file of the bag at this size, MB; 0 = never", lower=0)
    min_free_mb: int = parameter(
        200, "stop recording when less is free on the disk, MB; on a small disk at most a twentieth of it", lower=0
    )
    flush_period_s: float = parameter(
        0.25,
        "hand what was recorded to the operating system this often, s; a killed recorder loses at most that much",
        lower=0.1,
        upper=1.0,
    )
    discovery_period_s: float = parameter(
        0.25, "look for new topics this often, s; at most duration_s, where that is given", lower=0.05, upper=5.0
    )
    duration_s: float = parameter(0.0, "stop after this long, s; 0 = only when told to", lower=0.0)
    niceness: int = parameter(
        10, "niceness of the thread that writes; those that receive keep theirs", lower=0, upper=19
    )

    def validate(self) -> None:
        """Check the patterns, and that something is recorded."""
        for pattern in [*self.topics, *(item for item in self.exclude if item)]:
            if not pattern or any(part != "*" and not part.replace("_", "").isalnum() for part in _parts(pattern)):
                raise ParameterError(
                    f"parameter topics: {pattern!r} is not a topic name, in which * may stand for one whole part"
                )
        if not set(self.topics) - set(self.exclude):
            raise ParameterError(f"parameter topics = {self.topics}: exclude = {self.exclude} leaves nothing to record")
        if 0 < self.duration_s < self.discovery_period_s:
            raise ParameterError(
                f"parameter duration_s = {self.duration_s:g}: must be at least discovery_period_s "
                f"({self.discovery_period_s:g}), or topics are not found before the end"
            )


def _parts(pattern: str) -> list[str]:
    return pattern.removeprefix("/").split("/")
